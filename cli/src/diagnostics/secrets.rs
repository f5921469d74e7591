//! The secrets that this command can know, to leave them out of texts.

use std::{env, fs};

use super::text_of;
use crate::{
    config::{Settings, passwords},
    state::Environment,
};

/// Shorter values are words of any text.
const SECRET_BYTES_MIN: usize = 4;
/// In place of a secret.
const LEFT_OUT: &str = "[secret]";

/// Secrets, the longest first.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Finds the admin key, everything in the folder of secrets, the passwords in URLs, and variables that are secret by their name.
    pub(super) fn find(settings: &Settings, environment: &Environment) -> Self {
        let last = environment.former_settings().ok().flatten();
        let urls: Vec<String> = [Some(settings), last.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|settings| {
                let database = settings.database_url.as_ref().map(|url| url.reveal().to_owned());
                [database, settings.market_url.clone()]
            })
            .flatten()
            .collect();
        let kept = fs::read_dir(environment.secrets()).into_iter().flatten().flatten();
        let files = kept.map(|file| file.path()).chain([environment.admin_key_file()]);
        let mut all: Vec<String> = files.flat_map(|file| values(&text_of(&file))).collect();
        all.extend(env::vars().filter(|(name, _)| is_secret(name)).map(|(_, value)| value));
        all.extend(urls.iter().flat_map(|url| passwords(url)).map(str::to_owned));
        all.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(all)
    }

    /// Returns the text without them.
    pub(super) fn left_out_of(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, LEFT_OUT))
    }
}

/// Returns the values of a file with one secret, or with lines `NAME=value`.
fn values(text: &str) -> Vec<String> {
    let of_lines = text.lines().filter_map(|line| line.split_once('=')).map(|(_, value)| value);
    [text].into_iter().chain(of_lines).map(|value| value.trim().to_owned()).collect()
}

fn is_secret(variable: &str) -> bool {
    const WORDS: [&str; 5] = ["KEY", "PASSWORD", "PEPPER", "SECRET", "TOKEN"];
    let is_place = variable.ends_with("_FILE");
    !is_place && variable.split('_').any(|word| WORDS.contains(&word))
}
