//! How fast a connection is, and whether it is what its reader waits for.

use std::time::{Duration, Instant};

/// A connection that is faster than this, in bytes per second, is not throttled: the processor or the network is the limit.
const THROTTLED_RATE: u64 = 100_000_000;
/// How long a connection is watched before it is judged.
const WINDOW: Duration = Duration::from_millis(500);

/// The throughput of one connection.
#[derive(Debug)]
pub(super) struct Throughput {
    since: Instant,
    bytes: u64,
    waited: Duration,
}

impl Throughput {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), bytes: 0, waited: Duration::ZERO }
    }

    /// Counts `bytes` that arrived after a wait.
    pub(super) fn observe(&mut self, bytes: usize, waited: Duration) {
        self.bytes += bytes as u64;
        self.waited += waited;
    }

    /// The rate in bytes per second, if the connection seems throttled: it was watched for long enough, it was waited for
    /// most of that time, and it is slow. Otherwise it is watched anew.
    pub(super) fn throttled_rate(&mut self) -> Option<u64> {
        let time = self.since.elapsed();
        if time < WINDOW {
            return None;
        }
        let rate = rate(self.bytes, time);
        let is_waited_for = self.waited * 10 > time * 7;
        *self = Self::new();
        (is_waited_for && rate < THROTTLED_RATE).then_some(rate)
    }
}

/// Bytes per second.
pub(super) fn rate(bytes: u64, time: Duration) -> u64 {
    bytes.saturating_mul(1000) / u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throughput(bytes: u64, seconds: f64, waited: f64) -> Throughput {
        let since = Instant::now().checked_sub(Duration::from_secs_f64(seconds)).unwrap();
        Throughput { since, bytes, waited: Duration::from_secs_f64(waited) }
    }

    #[test]
    fn a_connection_is_throttled_if_it_is_waited_for_and_slow() {
        let rate = throughput(50_000_000, 1.0, 0.9).throttled_rate().unwrap();
        assert!((40_000_000..=50_000_000).contains(&rate), "{rate}");
        assert_eq!(throughput(5_000_000, 0.1, 0.1).throttled_rate(), None, "too early to tell");
        assert_eq!(throughput(200_000_000, 1.0, 0.9).throttled_rate(), None, "fast");
        assert_eq!(throughput(50_000_000, 1.0, 0.3).throttled_rate(), None, "something else is waited for");
        let mut watched = throughput(200_000_000, 1.0, 0.9);
        watched.throttled_rate();
        assert_eq!(watched.bytes, 0, "watched anew");
    }
}
