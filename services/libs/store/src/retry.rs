//! Pauses between attempts.

use std::time::Duration;

/// Returns between half and all of a pause, so that many clients that wait do not come back at once.
#[must_use]
pub fn jittered(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    pause.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}
