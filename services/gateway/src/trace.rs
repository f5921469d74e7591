//! The W3C trace context (<https://www.w3.org/TR/trace-context-2/>) of a request: the caller's own, or a new one, and
//! whether it is to be recorded.

use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::limits::{Bucket, Rate};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// How many traces callers may have recorded: recording costs us, and the flag costs them nothing.
const CALLERS_SAMPLED_MAX: Rate = Rate::new(10, 50);
/// The flag of a trace that is to be recorded.
const SAMPLED: u8 = 0b01;
/// The flag of a trace whose id is random.
const RANDOM: u8 = 0b10;

/// Which share of new traces is recorded, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TraceRatio(f64);

/// A text that is no [`TraceRatio`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a share: it should be from 0 to 1, such as 0.01")]
pub struct ParseTraceRatioError;

impl FromStr for TraceRatio {
    type Err = ParseTraceRatioError;

    fn from_str(text: &str) -> Result<Self, ParseTraceRatioError> {
        let share = text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Self).ok_or(ParseTraceRatioError)
    }
}

impl TraceRatio {
    /// Returns whether the trace with this id is recorded. All who decide by the same ratio decide alike: OpenTelemetry's
    /// `TraceIdRatioBased` reads the same 63 bits.
    fn includes(self, trace: &[u8; 16]) -> bool {
        let [.., a, b, c, d, e, f, g, h] = *trace;
        let drawn = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
        drawn < (self.0 * (1_u64 << 63) as f64) as u64
    }
}

/// Gives each request its trace.
#[derive(Debug)]
pub(crate) struct Tracer {
    ratio: TraceRatio,
    callers_sampled: Bucket,
}

impl Tracer {
    pub(crate) fn new(ratio: TraceRatio) -> Self {
        Self { ratio, callers_sampled: Bucket::full() }
    }

    /// Returns the trace that a request belongs to; a new one if it says none, or something that is none. That a caller
    /// wants to have it recorded counts within [`CALLERS_SAMPLED_MAX`]; beyond, the ratio decides.
    pub(crate) fn trace_of(&self, headers: &HeaderMap) -> HeaderValue {
        let Some((given, context)) = headers
            .get(TRACEPARENT)
            .and_then(|given| Some((given, Context::read(given.as_bytes())?)))
        else {
            return self.begin(Context::new());
        };
        let is_honoured =
            context.flags & SAMPLED == 0 || self.callers_sampled.take(CALLERS_SAMPLED_MAX).is_ok();
        if is_honoured {
            return given.clone();
        }
        // Who changes the flag is another participant than the caller, and says so.
        self.begin(Context { parent: new_parent(), flags: context.flags & RANDOM, ..context })
    }

    fn begin(&self, mut context: Context) -> HeaderValue {
        if self.ratio.includes(&context.trace) {
            context.flags |= SAMPLED;
        }
        context.header()
    }
}

/// What a `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Context {
    trace: [u8; 16],
    parent: [u8; 8],
    flags: u8,
}

impl Context {
    fn new() -> Self {
        // The fixed bits of a UUIDv4 are in its bytes 6 and 8. Turned by five, they are in the first half: so the second
        // half, which samplers read, is random, and the first is never zero.
        let mut trace = *Uuid::new_v4().as_bytes();
        trace.rotate_left(5);
        Self { trace, parent: new_parent(), flags: RANDOM }
    }

    /// Reads a trace context of version 00: `00-<16 bytes>-<8 bytes>-<flags>`, in lower case, no id all zero.
    fn read(text: &[u8]) -> Option<Self> {
        let well_formed = text.len() == 55
            && text.starts_with(b"00-")
            && (text[35], text[52]) == (b'-', b'-')
            && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
        if !well_formed {
            return None;
        }
        let [flags] = from_hex(&text[53..])?;
        let context =
            Self { trace: from_hex(&text[3..35])?, parent: from_hex(&text[36..52])?, flags };
        (context.trace != [0; 16] && context.parent != [0; 8]).then_some(context)
    }

    fn header(self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&mut text[3..35], &self.trace);
        write_hex(&mut text[36..52], &self.parent);
        write_hex(&mut text[53..], &[self.flags]);
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Returns a new parent id. The second half of a UUIDv4 has a bit that is set, so it is never zero.
fn new_parent() -> [u8; 8] {
    let [.., a, b, c, d, e, f, g, h] = *Uuid::new_v4().as_bytes();
    [a, b, c, d, e, f, g, h]
}

fn write_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn tracer(ratio: &str) -> Tracer {
        Tracer::new(ratio.parse().unwrap())
    }

    fn asked(tracer: &Tracer, given: &'static str) -> HeaderValue {
        let headers = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(given))]);
        tracer.trace_of(&headers)
    }

    fn read(trace: &HeaderValue) -> Context {
        Context::read(trace.as_bytes()).unwrap()
    }

    #[test]
    fn a_good_trace_is_kept_and_anything_else_is_replaced() {
        for good in [GOOD, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"] {
            assert_eq!(asked(&tracer("0"), good), good);
        }
        for bad in [
            "",
            "00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-6-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        ] {
            let replaced = asked(&tracer("0"), bad);
            assert_ne!(read(&replaced).trace, read(&HeaderValue::from_static(GOOD)).trace, "{bad}");
        }
    }

    #[test]
    fn of_20000_orders_one_in_a_hundred_is_recorded() {
        let tracer = tracer("0.01");
        let traces: Vec<Context> =
            (0..20_000).map(|_| read(&tracer.trace_of(&HeaderMap::new()))).collect();
        let recorded = traces.iter().filter(|trace| trace.flags == SAMPLED | RANDOM).count();
        assert!((140..=260).contains(&recorded), "{recorded}");
        let others = traces.iter().filter(|trace| trace.flags == RANDOM).count();
        assert_eq!(recorded + others, traces.len());
    }

    #[test]
    fn a_sampler_that_reads_any_of_the_low_bytes_takes_the_share_that_it_should() {
        let tracer = tracer("0");
        let traces: Vec<Context> =
            (0..20_000).map(|_| read(&tracer.trace_of(&HeaderMap::new()))).collect();
        for first in 8..=14 {
            let low = |trace: &[u8; 16]| u16::from_be_bytes([trace[first], trace[first + 1]]);
            for (share, range) in [(0.01, 120..=280), (0.75, 14_700..=15_300)] {
                let below = (share * 65_536.0) as u16;
                let taken = traces.iter().filter(|context| low(&context.trace) < below).count();
                assert!(range.contains(&taken), "{taken} at {share}, bytes {first} and the next");
            }
        }
    }

    #[test]
    fn none_and_all_are_shares_too() {
        for (ratio, flags) in [("0", RANDOM), ("1", RANDOM | SAMPLED)] {
            let tracer = tracer(ratio);
            for _ in 0..1_000 {
                assert_eq!(read(&tracer.trace_of(&HeaderMap::new())).flags, flags);
            }
        }
        assert!(TraceRatio(1.0).includes(&[0xff; 16]));
        for bad in ["-0.1", "1.1", "NaN", "all", ""] {
            assert!(bad.parse::<TraceRatio>().is_err(), "{bad}");
        }
    }

    #[test]
    fn callers_have_their_traces_recorded_within_a_rate() {
        let tracer = tracer("0");
        let told: Vec<HeaderValue> = (0..1_000).map(|_| asked(&tracer, GOOD)).collect();
        let kept = told.iter().take_while(|trace| *trace == GOOD).count();
        assert!(kept >= 50, "{kept}");
        let recorded = told.iter().filter(|trace| read(trace).flags & SAMPLED != 0).count();
        assert!(recorded < 100, "{recorded}");
        let (first, last) = (read(&told[0]), read(&told[999]));
        assert_eq!((first.trace, last.flags), (last.trace, 0), "it is the caller's trace still");
        assert_ne!(first.parent, last.parent);
    }
}
