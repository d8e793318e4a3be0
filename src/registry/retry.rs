//! When a request is sent again, and how long to wait before.

use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, RETRY_AFTER};

/// The first wait; each later one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(300);
/// No wait of our own choice is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// A registry that wants us to come back later than this is not waited for: a CI job's time costs more than its run.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The wait before try number `failures` + 1: doubled each time, with jitter so that parallel jobs spread out.
pub fn backoff(failures: u32) -> Duration {
    let full = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_WAIT);
    full.mul_f64(0.5 + 0.5 * fastrand::f64())
}

/// The wait that a registry asks for (RFC 9110, section 10.2.3): seconds, or a date, which counts from the answer's own
/// `Date` where there is one, since clocks differ.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
    let now = date.and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, String)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<http::header::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn waits_double_and_end() {
        for failures in 1..40 {
            assert!(backoff(failures) <= LONGEST_WAIT);
        }
        assert!(backoff(1) <= FIRST_WAIT);
        assert!(backoff(6) > backoff(1));
    }

    #[test]
    fn retry_after_in_seconds_and_as_a_date() {
        assert_eq!(retry_after(&headers(&[("retry-after", "7".into())])), Some(Duration::from_secs(7)));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let later = httpdate::fmt_http_date(now + Duration::from_secs(90));
        let both = headers(&[("retry-after", later), ("date", httpdate::fmt_http_date(now))]);
        assert_eq!(retry_after(&both), Some(Duration::from_secs(90)));
        assert_eq!(retry_after(&headers(&[("retry-after", "soon".into())])), None);
        let past = headers(&[("retry-after", httpdate::fmt_http_date(now))]);
        assert_eq!(retry_after(&past), Some(Duration::ZERO));
    }
}
