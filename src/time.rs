//! Times as image configs write them (RFC 3339, section 5.6).

/// Whether a text is a time: `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±HH:MM)`.
pub(crate) fn is_rfc3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = |bytes: &[u8], shape: &str| {
        bytes.len() == shape.len()
            && bytes.iter().zip(shape.bytes()).all(
                |(byte, mark)| {
                    if mark == b'0' { byte.is_ascii_digit() } else { *byte == mark }
                },
            )
    };
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<u64>().ok());
    if bytes.len() < 20 || !shape(&bytes[..19], "0000-00-00T00:00:00") {
        return false;
    }
    let within = |range, low, high| number(range).is_some_and(|number| (low..=high).contains(&number));
    let days = days_in(number(0..4).unwrap_or_default(), number(5..7).unwrap_or_default());
    let is_date = within(5..7, 1, 12) && within(8..10, 1, days);
    let is_time = within(11..13, 0, 23) && within(14..16, 0, 59) && within(17..19, 0, 60);
    let mut rest = &bytes[19..];
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        rest = &fraction[digits..];
    }
    is_date && is_time && (rest == b"Z" || shape(rest, "+00:00") || shape(rest, "-00:00"))
}

/// The time this many seconds after the beginning of 1970; `None` after the year 9999.
pub(crate) fn rfc3339(seconds: u64) -> Option<String> {
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let (mut year, mut month) = (1970, 1);
    // Four centuries have the same number of days, whichever they are.
    year += days / 146_097 * 400;
    days %= 146_097;
    loop {
        let length = days_in(year, month);
        if days < length {
            break;
        }
        days -= length;
        (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    }
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    let day = days + 1;
    (year <= 9999).then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

fn days_in(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_time() {
        for good in ["2024-02-29T23:59:60Z", "2024-05-06T07:08:09.123456789+05:30", "1970-01-01T00:00:00-00:00"] {
            assert!(is_rfc3339(good), "{good}");
        }
        for bad in [
            "",
            "now",
            "2024-05-06",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-05-06T07:08:09",
            "2024-05-06T07:08:09.Z",
            "2024-05-06 07:08:09Z",
            "-1",
        ] {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }

    #[test]
    fn seconds_since_1970() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_714_979_289, "2024-05-06T07:08:09Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (12_622_780_800, "2370-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds).unwrap(), text);
        }
        assert_eq!(rfc3339(253_402_300_800), None);
    }
}
