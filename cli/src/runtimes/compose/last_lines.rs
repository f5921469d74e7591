//! The last lines of a container, for the error that reports its end.

use contracts::Timestamp;
use futures_util::StreamExt;

use engine::{Engine, logs::Wanted};
use logs::files::Line;

/// How many lines an error quotes.
const LINES: usize = 15;

/// Returns the last lines that a container printed. If the engine does not return them, there are none: the error in whose
/// text they go matters more.
pub(super) async fn last_lines(engine: &Engine, id: &str, service: &str) -> Vec<String> {
    let mut printed = engine.logs(id, Wanted { tail: Some(LINES), ..Wanted::default() });
    let mut lines = Vec::new();
    while let Some(Ok(batch)) = printed.next().await {
        lines.extend(batch.iter().map(|line| plain(&line.text, service, line.time)));
    }
    lines
}

fn plain(text: &[u8], service: &str, time: Timestamp) -> String {
    let line = Line::read(text, service, time);
    if line.fields.is_empty() && line.order.is_none() && !text.starts_with(b"{") {
        return line.message;
    }
    line.to_string()
}
