//! The rate at which a body must arrive: a byte a minute must not hold up a step forever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a body is watched before it is judged, and the longest silence that is tolerated.
const WINDOW: Duration = Duration::from_secs(60);
/// The minimum rate of all bodies that are read at the same time together, in bytes per second. Less counts as silence.
const MINIMUM_RATE: u64 = 1000;

/// The rate of one body. Only the time spent waiting for bytes counts: whoever reads the body may be slow.
pub(super) struct BodyRate {
    waited: Duration,
    bytes: u64,
    /// How many bodies are being read. They share a slow line.
    bodies: Arc<AtomicUsize>,
}

impl BodyRate {
    /// One more body in addition to `bodies`.
    pub(super) fn new(bodies: &Arc<AtomicUsize>) -> Self {
        bodies.fetch_add(1, Ordering::Relaxed);
        Self { waited: Duration::ZERO, bytes: 0, bodies: Arc::clone(bodies) }
    }

    /// How long the next bytes may take.
    pub(super) fn time_left(&self) -> Duration {
        WINDOW.saturating_sub(self.waited)
    }

    /// Counts `bytes` that arrived after a wait; 0 if none did.
    ///
    /// # Errors
    /// Too few arrived within the window: a reason, and the time that was waited.
    pub(super) fn observe(&mut self, bytes: usize, waited: Duration) -> Result<(), (String, Duration)> {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < WINDOW {
            return Ok(());
        }
        let (bytes, waited) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.waited));
        let sharing = self.bodies.load(Ordering::Relaxed).max(1) as u64;
        if bytes >= MINIMUM_RATE * WINDOW.as_secs() / sharing && bytes > 0 {
            return Ok(());
        }
        let seconds = waited.as_secs();
        let reason = match bytes {
            0 => format!("no data for {seconds} s"),
            1 => format!("only 1 byte in {seconds} s"),
            bytes => format!("only {bytes} bytes in {seconds} s"),
        };
        Err((reason, waited))
    }
}

impl Drop for BodyRate {
    fn drop(&mut self) {
        self.bodies.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn a_trickle_counts_as_silence() {
        let mut rate = BodyRate::new(&Arc::default());
        for _ in 0..3 {
            assert_eq!(rate.observe(1, seconds(19)), Ok(()));
        }
        assert_eq!(rate.time_left(), seconds(3));
        let (reason, waited) = rate.observe(0, seconds(3)).unwrap_err();
        assert_eq!((reason.as_str(), waited), ("only 3 bytes in 60 s", seconds(60)));
    }

    #[test]
    fn a_slow_line_is_waited_for_and_so_is_a_slow_reader() {
        let mut rate = BodyRate::new(&Arc::default());
        for _ in 0..100 {
            assert_eq!(rate.observe(30_000, seconds(29)), Ok(()));
        }
        assert_eq!(rate.observe(1, Duration::ZERO), Ok(()));
    }

    #[test]
    fn a_line_is_shared_by_all_that_is_read() {
        let bodies = Arc::default();
        let mut rates: Vec<BodyRate> = (0..10).map(|_| BodyRate::new(&bodies)).collect();
        assert_eq!(rates[0].observe(7000, seconds(60)), Ok(()));
        drop(rates.split_off(1));
        assert!(rates[0].observe(7000, seconds(60)).is_err());
    }
}
