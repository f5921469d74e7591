//! Quantities of memory and processors in manifests and metrics.

/// Parses a quantity of memory, such as `128Mi`, in bytes.
pub(crate) fn bytes(quantity: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 6] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
    ];
    read(quantity, &UNITS, 1)
}

/// Parses a quantity of processors, such as `250m`, in billionths.
pub(crate) fn nanos(quantity: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 3] = [("n", 1), ("u", 1_000), ("m", 1_000_000)];
    read(quantity, &UNITS, 1_000_000_000)
}

fn read(quantity: &str, units: &[(&str, u64)], otherwise: u64) -> Option<u64> {
    let unit =
        units.iter().find_map(|(unit, factor)| Some((quantity.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((quantity, otherwise));
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_manifests_write_it() {
        assert_eq!(bytes("128Mi"), Some(128 << 20));
        assert_eq!(bytes("1G"), Some(1_000_000_000));
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("lots"), None);
    }

    #[test]
    fn processors_are_read_as_clusters_tell_them() {
        assert_eq!(nanos("12345n"), Some(12345));
        assert_eq!(nanos("250m"), Some(250_000_000));
        assert_eq!(nanos("2"), Some(2_000_000_000));
    }
}
