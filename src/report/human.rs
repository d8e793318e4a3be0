//! Formats numbers for people: bytes in decimal units, seconds, and counted nouns.

use std::time::Duration;

/// Decimal units, as registries and CI quotas count.
const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];

/// `bytes` in decimal units with one place: `999 B`, `1.0 kB`, `120.5 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // Tenths of the unit in whole numbers: floating point would round 999 950 up to `1000.0 kB`.
    let mut tenths = (u128::from(bytes) * 10 + 500) / 1000;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths = (tenths + 500) / 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A number of seconds: `0.34 s` below one, `3.2 s` below a minute, then `2 min 05 s` and `1 h 02 min`.
pub(super) fn seconds(seconds: f64) -> String {
    // Rounded first, so that 59.96 is a minute and not `60.0 s`.
    if seconds < 0.995 {
        return format!("{:.2} s", seconds.max(0.0));
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    // The cast saturates; no step takes seconds of 18 digits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// The time that is left, without places: `6 s`, `2 min 05 s`.
pub(super) fn remaining(left: Duration) -> String {
    match left.as_secs() {
        below @ 0..60 => format!("{below} s"),
        more => seconds(std::time::Duration::from_secs(more).as_secs_f64()),
    }
}

/// A count and its noun: `1 blob`, `2 blobs`.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_decimal_with_one_place() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (1050, "1.1 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (120_450_000, "120.5 MB"),
            (7_340_032_000, "7.3 GB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn seconds_grow_into_minutes_and_hours() {
        for (number, text) in [
            (0.0, "0.00 s"),
            (-1.0, "0.00 s"),
            (0.344, "0.34 s"),
            (0.999, "1.0 s"),
            (3.21, "3.2 s"),
            (59.94, "59.9 s"),
            (59.96, "1 min 00 s"),
            (125.0, "2 min 05 s"),
            (3599.7, "1 h 00 min"),
            (3_720.0, "1 h 02 min"),
        ] {
            assert_eq!(seconds(number), text);
        }
        assert_eq!(remaining(Duration::from_millis(6900)), "6 s");
        assert_eq!(remaining(Duration::from_secs(65)), "1 min 05 s");
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(count(0, "blob"), "0 blobs");
        assert_eq!(count(1, "blob"), "1 blob");
        assert_eq!(count(2, "blob"), "2 blobs");
    }
}
