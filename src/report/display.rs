//! Displays progress: bars on a terminal, a few lines in a log.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::console::Console;
use super::human;
use super::screen::Screen;
use crate::image::digest::Digest;
use crate::text::printable;

/// How often to draw the bars.
const BAR_PERIOD: Duration = Duration::from_millis(100);
/// How often to check whether a line is due.
const LOG_PERIOD: Duration = Duration::from_secs(1);
/// The minimum time between two lines in a log.
const LINE_PERIOD: Duration = Duration::from_secs(10);
/// The period over which the rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// Maximum number of blobs with a bar of their own.
const LAYER_BARS: usize = 5;
/// Width of the overall bar and of a blob's, in characters.
const OVERALL_WIDTH: usize = 30;
const LAYER_WIDTH: usize = 20;

/// A blob in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    name: String,
    /// The size in bytes, if known.
    size: AtomicU64,
    /// Bytes transferred in this attempt.
    pub(super) moved: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// Blobs announced.
    pub(super) blobs: usize,
    /// Blobs completed.
    pub(super) done: usize,
    /// Blobs among these that needed no transfer.
    pub(super) spared: usize,
    /// Total bytes to transfer, as far as known.
    pub(super) bytes: u64,
    /// Bytes transferred.
    pub(super) moved: u64,
}

/// Where and how progress is shown.
pub(super) enum Display {
    /// Nowhere.
    Silent,
    /// As lines of a log.
    Log(Log),
    /// As bars on a terminal.
    Terminal(Bars),
}

/// The state of the lines in a log.
#[derive(Default)]
pub(super) struct Log {
    rate: Rate,
    /// When the last line was written, and the bytes transferred by then.
    last: Option<(Duration, u64)>,
}

/// The bars on a screen: one overall, and one for each of the largest blobs.
pub(super) struct Bars {
    screen: Screen,
    /// The blobs that have a bar.
    layers: Vec<Arc<InFlight>>,
    rate: Rate,
}

/// Bytes per second, over the last few seconds.
#[derive(Default)]
struct Rate {
    samples: VecDeque<(Duration, u64)>,
}

impl InFlight {
    pub(super) fn new(digest: &Digest, size: u64) -> Self {
        Self { name: digest.short().to_owned(), size: AtomicU64::new(size), moved: AtomicU64::new(0) }
    }

    /// For a blob that is still being built.
    pub(super) fn growing(name: &str) -> Self {
        Self { name: name.to_owned(), size: AtomicU64::new(0), moved: AtomicU64::new(0) }
    }

    pub(super) fn grow(&self, bytes: u64) {
        self.size.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }
}

impl Display {
    /// Lines of a log.
    pub(super) fn log() -> Self {
        Self::Log(Log::default())
    }

    /// Bars on stderr; lines of `console` are printed above them.
    pub(super) fn terminal(console: &Console) -> Self {
        let bars = Bars::on(Screen::stderr());
        console.attach(Some(bars.screen.clone()));
        Self::Terminal(bars)
    }

    /// How often to call [`Display::paint`].
    pub(super) fn period(&self) -> Duration {
        if matches!(self, Self::Terminal(_)) { BAR_PERIOD } else { LOG_PERIOD }
    }

    /// Shows the progress at `elapsed` after the start.
    pub(super) fn paint(&mut self, elapsed: Duration, now: &Snapshot, flights: Vec<Arc<InFlight>>, console: &Console) {
        match self {
            Self::Silent => {}
            Self::Log(log) => {
                if let Some(line) = log.line(elapsed, now) {
                    console.note(&line);
                }
            }
            Self::Terminal(bars) => bars.draw(elapsed, now, flights),
        }
    }

    /// Clears the screen.
    pub(super) fn clear(&mut self, console: &Console) {
        if let Self::Terminal(bars) = self {
            bars.screen.clear();
            console.attach(None);
        }
    }
}

impl Log {
    /// The line that is due now, if any: the first after a moment (a shorter step needs only its summary), then one now
    /// and then while bytes move.
    fn line(&mut self, elapsed: Duration, now: &Snapshot) -> Option<String> {
        let rate = self.rate.observe(elapsed, now.moved);
        let Some((last, moved)) = self.last else {
            if now.moved == 0 {
                return None;
            }
            self.last = Some((elapsed, now.moved));
            let mut line = format!(
                "moving {}, {}",
                human::count(now.blobs - now.spared.min(now.blobs), "blob"),
                human::bytes(now.bytes)
            );
            if now.spared > 0 {
                let _ = write!(line, "; {} already there or mounted", now.spared);
            }
            return Some(line);
        };
        if elapsed < last + LINE_PERIOD || now.moved == moved {
            return None;
        }
        self.last = Some((elapsed, now.moved));
        Some(format!("moved {}", now.describe(rate)))
    }
}

impl Bars {
    fn on(screen: Screen) -> Self {
        Self { screen, layers: Vec::new(), rate: Rate::default() }
    }

    fn draw(&mut self, elapsed: Duration, now: &Snapshot, flights: Vec<Arc<InFlight>>) {
        let lines = self.lines(elapsed, now, flights);
        self.screen.paint(&lines);
    }

    /// The lines to show now.
    fn lines(&mut self, elapsed: Duration, now: &Snapshot, flights: Vec<Arc<InFlight>>) -> Vec<String> {
        let rate = self.rate.observe(elapsed, now.moved);
        self.choose_layers(flights);
        let overall = (now.moved > 0 || now.done > 0)
            .then(|| format!("[{}] {}", bar(OVERALL_WIDTH, now.moved, now.bytes), now.describe(rate)));
        overall.into_iter().chain(self.layers.iter().map(|flight| layer_line(flight))).collect()
    }

    /// Gives a bar to the largest blobs with transferred bytes, and removes those of others.
    fn choose_layers(&mut self, mut flights: Vec<Arc<InFlight>>) {
        flights.retain(|flight| flight.moved.load(Ordering::Relaxed) > 0);
        // The sort is stable: among equals, the ones that started first keep their bars.
        flights.sort_by_key(|flight| std::cmp::Reverse(flight.size()));
        flights.truncate(LAYER_BARS);
        self.layers.retain(|old| flights.iter().any(|flight| Arc::ptr_eq(flight, old)));
        for flight in flights {
            if !self.layers.iter().any(|old| Arc::ptr_eq(old, &flight)) {
                self.layers.push(flight);
            }
        }
    }
}

fn layer_line(flight: &InFlight) -> String {
    let (moved, size) = (flight.moved.load(Ordering::Relaxed), flight.size());
    let (name, bar) = (printable(&flight.name, 20), bar(LAYER_WIDTH, moved, size));
    format!("  {name} [{bar}] {} of {}", human::bytes(moved), human::bytes(size))
}

/// `===> `, `width` characters wide.
fn bar(width: usize, moved: u64, bytes: u64) -> String {
    let share = u128::from(moved.min(bytes)) * width as u128 / u128::from(bytes.max(1));
    let full = usize::try_from(share).unwrap_or(width).min(width);
    let head = if full < width && moved > 0 { ">" } else { "" };
    format!("{:width$}", format!("{}{head}", "=".repeat(full)))
}

impl Snapshot {
    /// `120.5 MB of 340.2 MB, 12 of 40 blobs, 35.1 MB/s, 6 s left`; `rate` is in bytes per second.
    fn describe(&self, rate: Option<u64>) -> String {
        let mut text = format!(
            "{} of {}, {} of {}",
            human::bytes(self.moved),
            human::bytes(self.bytes),
            self.done,
            human::count(self.blobs, "blob")
        );
        if let Some(rate) = rate.filter(|rate| *rate > 0) {
            let left = Duration::from_secs(self.bytes.saturating_sub(self.moved).div_ceil(rate));
            let _ = write!(text, ", {}/s, {} left", human::bytes(rate), human::remaining(left));
        }
        text
    }
}

impl Rate {
    /// Takes a sample and returns bytes per second, once there is an earlier one.
    fn observe(&mut self, elapsed: Duration, moved: u64) -> Option<u64> {
        self.samples.push_back((elapsed, moved));
        while self.samples.len() > 2 && self.samples[1].0 + RATE_WINDOW <= elapsed {
            self.samples.pop_front();
        }
        let (begin, before) = *self.samples.front()?;
        let milliseconds = u64::try_from(elapsed.saturating_sub(begin).as_millis()).ok().filter(|span| *span >= 500)?;
        Some(moved.saturating_sub(before).saturating_mul(1000) / milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABYTE: u64 = 1_000_000;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn snapshot(moved: u64) -> Snapshot {
        Snapshot { blobs: 12, done: 4, spared: 3, bytes: 340 * MEGABYTE, moved: moved * MEGABYTE }
    }

    #[test]
    fn a_log_has_few_lines() {
        let mut log = Log::default();
        assert_eq!(log.line(at(1), &snapshot(0)), None);
        let first = log.line(at(2), &snapshot(10));
        assert_eq!(first.as_deref(), Some("moving 9 blobs, 340.0 MB; 3 already there or mounted"));
        for second in 3..12 {
            assert_eq!(log.line(at(second), &snapshot(10 * (second - 1))), None);
        }
        let second = log.line(at(12), &snapshot(110));
        assert_eq!(second.as_deref(), Some("moved 110.0 MB of 340.0 MB, 4 of 12 blobs, 10.0 MB/s, 23 s left"));
    }

    #[test]
    fn a_log_is_silent_while_nothing_moves() {
        let mut log = Log::default();
        log.line(at(1), &snapshot(10)).unwrap();
        assert_eq!(log.line(at(60), &snapshot(10)), None);
        assert_eq!(log.line(at(61), &snapshot(11)).map(|line| line.contains("11.0 MB of")), Some(true));
    }

    #[test]
    fn a_rate_forgets_what_is_long_ago() {
        let mut rate = Rate::default();
        assert_eq!(rate.observe(at(0), 0), None);
        assert_eq!(rate.observe(Duration::from_millis(400), 999), None);
        assert_eq!(rate.observe(at(10), 1000 * MEGABYTE), Some(100 * MEGABYTE));
        assert_eq!(rate.observe(at(20), 1000 * MEGABYTE), Some(0));
        // Bytes of a failed attempt are subtracted.
        assert_eq!(rate.observe(at(21), 0), Some(0));
    }

    #[test]
    fn the_largest_blobs_on_their_way_have_bars() {
        let flight = |size: u64, moved: u64| {
            let flight = InFlight::new(&Digest::of(&size.to_le_bytes()), size);
            flight.moved.store(moved, Ordering::Relaxed);
            Arc::new(flight)
        };
        let mut flights: Vec<_> = (1..=7).map(|size| flight(size * 100, 50)).collect();
        flights.push(flight(9000, 0));
        let mut bars = Bars::on(Screen::stderr());
        let sizes = |bars: &Bars| bars.layers.iter().map(|flight| flight.size()).collect::<Vec<_>>();
        let lines = bars.lines(at(1), &snapshot(1), flights.clone());
        assert_eq!(sizes(&bars), [700, 600, 500, 400, 300]);
        assert_eq!(lines.len(), 6);
        assert_eq!(lines[0], format!("[>{}] 1.0 MB of 340.0 MB, 4 of 12 blobs", " ".repeat(29)));
        assert!(lines[1].ends_with(" [=>                  ] 50 B of 700 B"), "{lines:?}");

        flights.remove(5);
        flights[6].moved.store(1, Ordering::Relaxed);
        bars.lines(at(2), &snapshot(2), flights);
        assert_eq!(sizes(&bars), [700, 500, 400, 300, 9000]);
        let nothing = Snapshot { blobs: 0, done: 0, spared: 0, bytes: 0, moved: 0 };
        assert!(Bars::on(Screen::stderr()).lines(at(1), &nothing, Vec::new()).is_empty());
    }

    #[test]
    fn a_bar_is_as_wide_as_it_is() {
        for (moved, bytes, expected) in [
            (0, 0, "    "),
            (0, 10, "    "),
            (1, 10, ">   "),
            (5, 10, "==> "),
            (10, 10, "===="),
            (20, 10, "===="),
            (u64::MAX, u64::MAX, "===="),
        ] {
            assert_eq!(bar(4, moved, bytes), expected, "{moved} of {bytes}");
        }
    }
}
