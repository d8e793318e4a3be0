//! Whether the body of an answer comes fast enough to be waited for: a byte a minute must not hold a step for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// So long what comes is watched before it is judged; no silence is longer.
const WATCHED: Duration = Duration::from_secs(60);
/// All that is read at once must come at this rate together, in bytes a second; less is as good as silence.
const LEAST_RATE: u64 = 1000;

/// How one body comes. Only the time that is spent waiting for it counts: whoever reads it may be slow.
pub struct Flow {
    waited: Duration,
    bytes: u64,
    /// How many are being read. A slow line is shared by all of them.
    others: Arc<AtomicUsize>,
}

impl Flow {
    /// The flow of one more body beside `others`.
    pub fn beside(others: &Arc<AtomicUsize>) -> Self {
        others.fetch_add(1, Ordering::Relaxed);
        Self { waited: Duration::ZERO, bytes: 0, others: Arc::clone(others) }
    }

    /// So long the next bytes are to be waited for.
    pub fn patience(&self) -> Duration {
        WATCHED.saturating_sub(self.waited)
    }

    /// `bytes` came after a wait, or none.
    ///
    /// # Errors
    /// Too few came in all of the time that is watched: a reason, and that time.
    pub fn observe(&mut self, bytes: usize, waited: Duration) -> Result<(), (String, Duration)> {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited < WATCHED {
            return Ok(());
        }
        let (bytes, waited) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.waited));
        let sharing = self.others.load(Ordering::Relaxed).max(1) as u64;
        if bytes >= LEAST_RATE * WATCHED.as_secs() / sharing && bytes > 0 {
            return Ok(());
        }
        let seconds = waited.as_secs();
        let reason = match bytes {
            0 => format!("silence for {seconds} s in mid-body"),
            1 => format!("no more than a byte in {seconds} s"),
            bytes => format!("no more than {bytes} bytes in {seconds} s"),
        };
        Err((reason, waited))
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.others.fetch_sub(1, Ordering::Relaxed);
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
        let mut flow = Flow::beside(&Arc::default());
        for _ in 0..3 {
            assert_eq!(flow.observe(1, seconds(19)), Ok(()));
        }
        assert_eq!(flow.patience(), seconds(3));
        let (reason, waited) = flow.observe(0, seconds(3)).unwrap_err();
        assert_eq!((reason.as_str(), waited), ("no more than 3 bytes in 60 s", seconds(60)));
    }

    #[test]
    fn a_slow_line_is_waited_for_and_so_is_a_slow_reader() {
        let mut flow = Flow::beside(&Arc::default());
        for _ in 0..100 {
            assert_eq!(flow.observe(30_000, seconds(29)), Ok(()));
        }
        assert_eq!(flow.observe(1, Duration::ZERO), Ok(()));
    }

    #[test]
    fn a_line_is_shared_by_all_that_is_read() {
        let others = Arc::default();
        let mut flows: Vec<Flow> = (0..10).map(|_| Flow::beside(&others)).collect();
        assert_eq!(flows[0].observe(7000, seconds(60)), Ok(()));
        drop(flows.split_off(1));
        assert!(flows[0].observe(7000, seconds(60)).is_err());
    }
}
