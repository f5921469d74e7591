//! Quantities of memory and processors in manifests and metrics.

/// Parses a quantity of memory, such as `128Mi`, in bytes.
pub fn bytes(quantity: &str) -> Option<u64> {
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

/// Returns a size for people in its largest unit, with one decimal unless it is whole: `512 bytes`, `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((unit, of_unit)) = UNITS.into_iter().find(|(_, of_unit)| bytes >= *of_unit) else {
        return format!("{bytes} bytes");
    };
    match (bytes / of_unit, bytes % of_unit * 10 / of_unit) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, tenths) => format!("{whole}.{tenths} {unit}"),
    }
}

/// Parses a quantity of processors, such as `250m`, in billionths.
pub fn nanos(quantity: &str) -> Option<u64> {
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
    fn people_read_a_size_in_its_largest_unit() {
        let sizes = [0, 1023, 1024, 1_048_575, 3 << 19, 64 << 20, u64::MAX].map(size);
        let expected = [
            "0 bytes",
            "1023 bytes",
            "1 KiB",
            "1023.9 KiB",
            "1.5 MiB",
            "64 MiB",
            "17179869183.9 GiB",
        ];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn processors_are_read_as_clusters_tell_them() {
        assert_eq!(nanos("12345n"), Some(12345));
        assert_eq!(nanos("250m"), Some(250_000_000));
        assert_eq!(nanos("2"), Some(2_000_000_000));
    }
}
