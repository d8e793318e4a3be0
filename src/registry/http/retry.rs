//! When a request is sent again, how long to wait before, and how much may fail in all.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use http::header::{HeaderMap, RETRY_AFTER};

use super::response::HttpResponse;
use crate::error::Error;
use crate::lock::lock;

/// The first wait; each later one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(300);
/// The longest wait of our own choice.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// How long a host may be silent in all tries together.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// The part of a blob, one in this many, that counts as progress.
const PARTS_OF_PROGRESS: u64 = 50;

/// How much may fail in one piece of work: a request, or all that is done to read a blob or to upload it somewhere.
/// Clones are the same budget.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Mutex<Spent>>);

#[derive(Debug)]
struct Spent {
    retries: u32,
    /// How many of the failures may be server errors; `None` for all.
    server_errors: Option<u32>,
    /// Failures since there was progress.
    failures: u32,
    silence: Duration,
    /// The most bytes that were done when there was progress.
    best: u64,
}

/// How a try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No complete answer came; the host was silent for this long.
    Unanswered(Duration),
    /// The answer had this status.
    Status(u16),
}

/// Whether a later try may be answered differently.
pub(crate) fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// How a try failed, and the pause that the host asks for, if another try may be answered differently.
pub(crate) fn temporary_failure(result: &Result<HttpResponse, Error>) -> Option<(FailureKind, Option<Duration>)> {
    match result {
        Ok(response) if is_temporary(response.status().as_u16()) => {
            Some((FailureKind::Status(response.status().as_u16()), retry_after(response.headers())))
        }
        Err(error) if error.is_network() => Some((FailureKind::Unanswered(error.silence()), None)),
        _ => None,
    }
}

impl Budget {
    /// A budget of `retries` retries.
    pub fn new(retries: u32) -> Self {
        let silence = Duration::ZERO;
        Self(Arc::new(Mutex::new(Spent { retries, server_errors: None, failures: 0, silence, best: 0 })))
    }

    /// The same budget, of which at most `limit` retries may be spent on server errors.
    #[must_use]
    pub fn with_server_errors(self, limit: u32) -> Self {
        self.spent().server_errors = Some(limit);
        self
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        lock(&self.0)
    }

    /// Counts a failure. Returns the wait before the next try; `None` if there must be no other.
    pub fn next(&self, failure: FailureKind) -> Option<Duration> {
        let mut spent = self.spent();
        if let FailureKind::Unanswered(silence) = failure {
            spent.silence += silence;
        }
        if let (FailureKind::Status(500..), Some(left)) = (failure, spent.server_errors) {
            spent.server_errors = Some(left.checked_sub(1)?);
        }
        if spent.failures >= spent.retries || spent.silence >= SILENCE_LIMIT {
            return None;
        }
        spent.failures += 1;
        Some(backoff(spent.failures))
    }

    /// The number of failures since there was progress.
    pub fn failures(&self) -> u32 {
        self.spent().failures
    }

    /// Forgives earlier failures if `done` of `size` bytes is a good deal more than ever before: a connection that breaks
    /// again and again, but further on each time, is not given up.
    pub fn progress(&self, done: u64, size: u64) {
        let mut spent = self.spent();
        if done > spent.best && (done - spent.best > size / PARTS_OF_PROGRESS || done == size) {
            spent.best = done;
            spent.failures = 0;
            spent.silence = Duration::ZERO;
        }
    }
}

/// A time in words.
pub(crate) fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// The wait after `failures` failures: doubled each time, with jitter so that parallel jobs spread out.
pub(crate) fn backoff(failures: u32) -> Duration {
    let full = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_WAIT);
    full.mul_f64(0.5 + 0.5 * fastrand::f64())
}

/// The pause that a host asks for (RFC 9110, section 10.2.3): seconds, or a date, which counts from the answer's own
/// `Date` if it has one, since clocks differ.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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
    fn a_budget_is_spent_once_by_all_who_share_it() {
        let budget = Budget::new(3);
        let other = budget.clone();
        let broken = FailureKind::Unanswered(Duration::ZERO);
        assert!(budget.next(broken).is_some() && other.next(FailureKind::Status(503)).is_some());
        assert!(budget.next(broken).is_some());
        assert_eq!((budget.next(broken), other.next(broken)), (None, None));
        assert_eq!(Budget::new(0).next(broken), None);
    }

    #[test]
    fn progress_renews_a_budget_and_a_byte_is_none() {
        let (budget, broken) = (Budget::new(1), FailureKind::Unanswered(Duration::ZERO));
        for done in [300, 600, 1000] {
            budget.progress(done, 1000);
            assert!(budget.next(broken).is_some());
        }
        let budget = Budget::new(1);
        assert!(budget.next(broken).is_some());
        for done in 1..=20 {
            budget.progress(done, 1000);
            assert!(budget.next(broken).is_none(), "{done} bytes");
        }
    }

    #[test]
    fn two_minutes_of_silence_are_enough() {
        let budget = Budget::new(5);
        assert!(budget.next(FailureKind::Unanswered(Duration::from_secs(60))).is_some());
        assert!(budget.next(FailureKind::Unanswered(Duration::from_secs(60))).is_none());
    }

    #[test]
    fn server_errors_may_have_a_limit_of_their_own() {
        let budget = Budget::new(5).with_server_errors(1);
        assert!(budget.next(FailureKind::Status(500)).is_some());
        assert!(budget.next(FailureKind::Status(429)).is_some());
        assert!(budget.next(FailureKind::Status(502)).is_none());
    }

    #[test]
    fn times_in_words() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!(
            [words(7), words(60), words(90), words(3600), words(99_999)],
            ["7 s", "1 min", "1 min 30 s", "1 h", "27 h 46 min"]
        );
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
