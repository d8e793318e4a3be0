//! Times as people write them: `90s`, `10m`, `1h30m`.

use std::time::Duration;

/// A time limit, and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The time.
    pub time: Duration,
    /// As it was written.
    pub text: String,
}

/// Parses a time limit: numbers with the units h, m and s, the larger before the smaller.
///
/// # Errors
/// Says how a time is written.
pub fn parse(text: &str) -> Result<Limit, String> {
    let time = seconds(text.trim()).filter(|&seconds| seconds > 0).map(Duration::from_secs);
    let time = time.ok_or("write a time such as 90s, 10m or 1h30m")?;
    Ok(Limit { time, text: text.trim().to_owned() })
}

fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    for (unit, worth) in [('h', 3600), ('m', 60), ('s', 1)] {
        let Some((number, after)) = rest.split_once(unit) else { continue };
        // A sign is no digit, though Rust reads one.
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(worth)?)?;
        rest = after;
    }
    (rest.is_empty() && !text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, expected) in
            [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2h", 7200), ("1h0m5s", 3605), (" 5m ", 300)]
        {
            assert_eq!(parse(text).map(|limit| limit.time.as_secs()), Ok(expected), "{text}");
        }
        for bad in
            ["", "90", "s", "0s", "1d", "m5", "1s5m", "-5m", "+5m", "1.5h", "5m5", "1h1h", "99999999999999999999h"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
