//! Pauses that hosts ask for with `Retry-After`: no request is sent to such a host before its pause is over.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// The longest `Retry-After` that is honoured. Beyond it, failing the CI job costs less than waiting.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// The longest time that all pauses of a step may take together.
const PAUSES_LIMIT: Duration = Duration::from_secs(900);

/// The pauses of all hosts (`host[:port]`).
#[derive(Default)]
pub(crate) struct Pauses(Mutex<PauseState>);

#[derive(Default)]
struct PauseState {
    until: HashMap<String, Instant>,
    /// The sum of all pauses.
    total: Duration,
}

impl Pauses {
    fn state(&self) -> MutexGuard<'_, PauseState> {
        lock(&self.0)
    }

    /// Pauses all requests to `authority`, if it asked for that. Returns false if it asked for too long a pause, or if
    /// the step would pause for too long in all: then the request has failed.
    pub(crate) fn pause(&self, authority: &str, retry_after: Option<Duration>) -> bool {
        let Some(wait) = retry_after else { return true };
        if wait > LONGEST_RETRY_AFTER {
            return false;
        }
        let mut state = self.state();
        let now = Instant::now();
        let pending = state.until.get(authority).map(|until| until.saturating_duration_since(now));
        // A pause within a pause adds only what is longer.
        let added = wait.saturating_sub(pending.unwrap_or_default());
        if state.total + added > PAUSES_LIMIT {
            return false;
        }
        state.total += added;
        let until = state.until.entry(authority.to_owned()).or_insert(now);
        *until = (*until).max(now + wait);
        true
    }

    /// Waits until requests may be sent to `authority`.
    pub(crate) async fn wait(&self, authority: &str) {
        loop {
            let until = self.state().until.get(authority).copied();
            match until.and_then(|until| until.checked_duration_since(Instant::now())) {
                Some(wait) if !wait.is_zero() => tokio::time::sleep(wait).await,
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_all_pauses_is_bounded() {
        let pauses = Pauses::default();
        let pause = |host: &str, seconds| pauses.pause(host, Some(Duration::from_secs(seconds)));
        assert!(!pause("a", 301), "too long");
        assert!(pause("a", 300) && pause("a", 200), "the second ends before the first");
        assert!(pause("b", 300) && pause("c", 290));
        assert!(!pause("d", 300), "too long together");
        assert!(pauses.pause("d", None));
    }

    #[test]
    fn a_pause_within_a_pause_adds_what_is_longer() {
        let pauses = Pauses::default();
        let pause = |seconds| pauses.pause("r", Some(Duration::from_secs(seconds)));
        assert!(pause(10) && pause(5) && pause(30));
        let total = pauses.state().total;
        assert!((29..=31).contains(&total.as_secs()), "{total:?}");
    }
}
