//! The W3C trace context (<https://www.w3.org/TR/trace-context/>) of a request: the guest's own, or a new one.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Returns the trace that a request belongs to; a new one if it says none, or something that is none.
pub(crate) fn trace_of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(TRACEPARENT) {
        Some(given) if is_traceparent(given.as_bytes()) => given.clone(),
        _ => new_trace(),
    }
}

/// Returns a new trace, sampled: `00-<16 bytes>-<8 bytes>-01`.
fn new_trace() -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-01";
    let trace = uuid::Uuid::now_v7();
    let span = uuid::Uuid::now_v7();
    write_hex(&mut text[3..35], trace.as_bytes());
    // The second half of a UUIDv7 is its random part, with two fixed bits, so never zero.
    write_hex(&mut text[36..52], &span.as_bytes()[8..]);
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""))
}

fn write_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Returns whether this is a trace context of the one version there is.
fn is_traceparent(text: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let some = |part: &[u8]| hex(part) && part.iter().any(|byte| *byte != b'0');
    text.len() == 55
        && text.starts_with(b"00-")
        && some(&text[3..35])
        && text[35] == b'-'
        && some(&text[36..52])
        && text[52] == b'-'
        && hex(&text[53..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_trace_is_kept_and_anything_else_is_replaced() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let kept = |text: &'static str| {
            let headers = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(text))]);
            trace_of(&headers) == text
        };
        assert!(kept(good));
        for bad in [
            "",
            "00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        ] {
            assert!(!kept(bad), "{bad}");
        }
    }

    #[test]
    fn a_new_trace_is_a_good_one_and_has_no_twin() {
        let traces = [new_trace(), new_trace()];
        assert_ne!(traces[0], traces[1]);
        assert!(traces.iter().all(|trace| is_traceparent(trace.as_bytes())));
    }
}
