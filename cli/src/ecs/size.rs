//! The size of a task.

use manifests::quantities::{bytes, nanos};

/// ECS's units of a CPU.
const UNITS: u64 = 1024;
const NANOS_OF_A_CPU: u64 = 1_000_000_000;
const BYTES_OF_A_MEBIBYTE: u64 = 1 << 20;
const GIBIBYTE: u64 = 1024;

/// The sizes of Fargate: CPU units, and the least, the most and the step of memory in MiB.
const SOLD: [(u64, u64, u64, u64); 7] = [
    (256, GIBIBYTE / 2, 2 * GIBIBYTE, GIBIBYTE),
    (512, GIBIBYTE, 4 * GIBIBYTE, GIBIBYTE),
    (1_024, 2 * GIBIBYTE, 8 * GIBIBYTE, GIBIBYTE),
    (2_048, 4 * GIBIBYTE, 16 * GIBIBYTE, GIBIBYTE),
    (4_096, 8 * GIBIBYTE, 30 * GIBIBYTE, GIBIBYTE),
    (8_192, 16 * GIBIBYTE, 60 * GIBIBYTE, 4 * GIBIBYTE),
    (16_384, 32 * GIBIBYTE, 120 * GIBIBYTE, 8 * GIBIBYTE),
];

/// The size of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) cpu_units: u64,
    pub(super) mebibytes: u64,
}

impl Size {
    /// Returns the smallest size with at least as much; `None` if Fargate has none.
    pub(super) fn smallest(cpu_units: u64, mebibytes: u64) -> Option<Self> {
        let (units, least, _, step) = SOLD
            .into_iter()
            .find(|(units, _, most, _)| *units >= cpu_units && *most >= mebibytes)?;
        let mebibytes = if mebibytes <= least {
            least
        } else {
            // The smallest begins at half a step.
            mebibytes.next_multiple_of(step)
        };
        Some(Self { cpu_units: units, mebibytes })
    }
}

/// Parses a quantity of CPU, such as `50m` or `2`.
pub(super) fn cpu_units(quantity: &str) -> Result<u64, String> {
    let nanos = nanos(quantity).and_then(|nanos| nanos.checked_mul(UNITS));
    nanos
        .map(|nanos| nanos.div_ceil(NANOS_OF_A_CPU))
        .ok_or_else(|| format!("the quantity `{quantity}`, which should be like 50m or 2"))
}

/// Parses a quantity of memory, such as `128Mi` or `2Gi`.
pub(super) fn mebibytes(quantity: &str) -> Result<u64, String> {
    bytes(quantity)
        .map(|bytes| bytes.div_ceil(BYTES_OF_A_MEBIBYTE))
        .ok_or_else(|| format!("the quantity `{quantity}`, which should be like 128Mi or 2Gi"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_and_others_named() {
        assert_eq!([cpu_units("50m"), cpu_units("2"), cpu_units("1m")], [Ok(52), Ok(2048), Ok(2)]);
        assert_eq!([mebibytes("128Mi"), mebibytes("2Gi")], [Ok(128), Ok(2048)]);
        for odd in ["", "m", "-1", "0.5", "1k", "99999999999"] {
            assert!(cpu_units(odd).unwrap_err().contains(&format!("`{odd}`")));
        }
        assert_eq!([mebibytes("128M"), mebibytes("1")], [Ok(123), Ok(1)]);
        for odd in ["", "Mi", "1m", "1.5Gi"] {
            assert!(mebibytes(odd).unwrap_err().contains(&format!("`{odd}`")));
        }
    }

    #[test]
    fn a_task_has_the_smallest_size_that_is_sold_and_large_enough() {
        let size =
            |cpu, memory| Size::smallest(cpu, memory).map(|one| (one.cpu_units, one.mebibytes));
        assert_eq!(size(1, 1), Some((256, 512)));
        assert_eq!(size(256, 512), Some((256, 512)));
        assert_eq!(size(256, 513), Some((256, 1024)));
        assert_eq!(size(256, 2049), Some((512, 3072)));
        assert_eq!(size(257, 1), Some((512, 1024)));
        assert_eq!(size(8_192, 20_000), Some((8_192, 20_480)));
        assert_eq!(size(16_384, 122_880), Some((16_384, 122_880)));
        assert_eq!(size(16_385, 1), None);
        assert_eq!(size(1, 122_881), None);
    }
}
