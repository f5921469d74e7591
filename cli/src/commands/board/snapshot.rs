//! What the board shows now, as one page that needs no server.

use std::{collections::BTreeMap, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::{Client, ClientError};
use contracts::{Timestamp, api::live::View};
use futures_util::{StreamExt as _, stream};
use gateway::page::{DOCUMENT, SCRIPT, STYLE};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::feed::Feed;
use crate::{
    background::chain,
    commands::connect,
    error::{CliError, Result},
    output::Output,
    output_file::OutputFile,
    progress::Waiting,
    state::Environment,
};

/// What the page asks for, besides stories. What the role of the key may not see is left out.
const PATHS: [&str; 4] =
    ["/v1/recipes", "/v1/orders?limit=200", "/v1/dead-letters", "/v1/audit?live=true"];
/// How many requests are under way at once.
const ASKED_MAX: usize = 8;
/// The tags of the document in whose place the parts are put.
const STYLE_TAG: &str = r#"<link rel="stylesheet" href="/board/app.css">"#;
const SCRIPT_TAG: &str = r#"<script type="module" src="/board/app.js"></script>"#;

/// What the page shows in place of a gateway's answers.
#[derive(Debug, Serialize)]
struct Snapshot {
    schema_version: u32,
    /// The name of the environment.
    environment: String,
    /// When the view was put together.
    taken_at: Timestamp,
    view: View,
    /// The answers to GET requests, by path.
    answers: BTreeMap<String, Value>,
}

/// Writes the snapshot of an environment.
///
/// # Errors
/// As every command that asks the gateway; [`CliError::Io`] if the file can't be written.
pub(super) async fn write(path: &Path, environment: &Environment, output: &Output) -> Result<()> {
    let file = OutputFile::prepare(path)?;
    let feed = Feed::open(environment).await?;
    let view = feed.news().borrow().view.clone();
    let client = connect(environment).await?;
    let answers = {
        let _waiting = Waiting::new(output, "Taking a snapshot");
        answers(&client, &view, output).await
    };
    let (environment, taken_at) = (environment.name().to_string(), view.at);
    let snapshot = Snapshot { schema_version: 1, environment, taken_at, view, answers };
    let json = serde_json::to_string(&snapshot).map_err(|error| CliError::Failed {
        what: "can't write the snapshot".into(),
        hint: "report this as a bug of chefcito".into(),
        source: Some(error.into()),
    })?;
    file.write(&page(&json))?;
    output
        .status(format_args!("Wrote {}: it opens in a browser, without a server", path.display()));
    Ok(())
}

/// Asks for all that the page shows. The restaurant may be in trouble, and that may be why the snapshot is taken: so what can't be had
/// is left out.
async fn answers(client: &Client, view: &View, output: &Output) -> BTreeMap<String, Value> {
    let stories = view.orders.iter().map(|ticket| format!("/v1/orders/{}/story", ticket.id));
    let paths = PATHS.into_iter().map(ToOwned::to_owned).chain(stories);
    let asked = paths.map(|path| async move { (client.get::<Value>(&path).await, path) });
    let mut asked = stream::iter(asked).buffer_unordered(ASKED_MAX);
    let mut answers = BTreeMap::new();
    let mut left_out: BTreeMap<String, usize> = BTreeMap::new();
    while let Some((answer, path)) = asked.next().await {
        let is_story = !PATHS.contains(&path.as_str());
        match answer {
            Ok(answer) => drop(answers.insert(path, answer)),
            // The events of an order may be kept no longer.
            Err(ClientError::Refused { problem, .. }) if is_story && problem.status == 404 => {}
            Err(error) => {
                let path = if is_story { "/v1/orders/ID/story".to_owned() } else { path };
                *left_out.entry(format!("{path}: {}", chain(&error))).or_default() += 1;
            }
        }
    }
    for (what, times) in left_out {
        let times = if times == 1 { String::new() } else { format!(" ({times} times)") };
        output.warn(format_args!("the snapshot is without {what}{times}"));
    }
    answers
}

/// Puts the parts of the page, and what it shows, into one document. It may run and load nothing but these.
fn page(snapshot: &str) -> String {
    // An end tag within would end the element. In JSON `<` occurs in strings alone.
    let snapshot = snapshot.replace('<', "\\u003c");
    let script = SCRIPT.replace("</script", "<\\/script");
    let style = STYLE.replace("</style", "<\\/style");
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(&script),
        hash(&style)
    );
    let head = format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n    <style>{style}</style>"
    );
    let scripts = format!(
        "<script type=\"application/json\" id=\"snapshot\">{snapshot}</script>\n    <script type=\"module\">{script}</script>"
    );
    DOCUMENT.replacen(STYLE_TAG, &head, 1).replacen(SCRIPT_TAG, &scripts, 1)
}

/// Names a script or style in a content security policy (<https://www.w3.org/TR/CSP3/#grammardef-hash-source>).
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_loads_nothing_and_no_text_of_the_snapshot_ends_its_element() {
        let hostile = r#"{"dish":"</script><script>alert(1)</script><!--"}"#;
        let page = page(hostile);
        assert!(!page.contains("/board/app"), "the page refers to a gateway");
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script").count(), 2);
        assert!(!page.contains("<!--"));
        let (_, rest) = page.split_once("id=\"snapshot\">").unwrap();
        let (json, _) = rest.split_once("</script>").unwrap();
        let read = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        assert_eq!(read(json), read(hostile));
    }
}
