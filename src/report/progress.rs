//! Counts the progress of a transfer, as reported by the engine.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::console::{Console, Verbosity};
use super::display::{Display, InFlight, Snapshot};
use super::outcome::Action;
use super::screen;
use crate::image::digest::Digest;
use crate::lock::lock;

/// The progress of one step; clones share it, on any thread.
///
/// Drawing doesn't block the caller: a separate thread reads the counters a few times a second.
#[derive(Clone)]
pub struct Progress {
    shared: Arc<SharedProgress>,
}

/// A blob in flight. If dropped without [`Item::finish`], it counts as not transferred.
pub struct Item {
    shared: Arc<SharedProgress>,
    flight: Arc<InFlight>,
    settled: bool,
}

/// The state that the engine updates and the drawing thread reads.
struct SharedProgress {
    console: Console,
    counts: Counts,
    /// The blobs in flight, in order of their start.
    flights: Mutex<Vec<Arc<InFlight>>>,
    painter: Mutex<Painter>,
    /// Wakes the drawing thread early.
    wake: Condvar,
}

/// State that only the drawing thread and [`Progress::finish`] use.
struct Painter {
    display: Display,
    /// Whether the drawing thread was started.
    begun: bool,
    /// Whether it has ended; nothing is drawn afterwards.
    finished: bool,
}

/// Counters that many tasks update. Each is exact; read together they may be an instant apart.
#[derive(Default)]
struct Counts {
    /// Blobs announced.
    blobs: AtomicUsize,
    /// Blobs completed in any way.
    done: AtomicUsize,
    /// Blobs that needed no transfer: present, mounted or foreign.
    spared: AtomicUsize,
    /// Bytes of the announced blobs.
    bytes: AtomicU64,
    /// Bytes of the blobs that needed no transfer.
    spared_bytes: AtomicU64,
    /// Bytes transferred, without those of failed attempts.
    moved: AtomicU64,
}

impl Progress {
    /// Progress shown through `console`: bars if stderr is an interactive terminal, otherwise a few lines for a log;
    /// nothing if the console is quiet.
    pub fn new(console: Console) -> Self {
        Self::shown(console, screen::interactive())
    }

    fn shown(console: Console, terminal: bool) -> Self {
        let display = match console.verbosity() {
            Verbosity::Quiet => Display::Silent,
            _ if terminal => Display::terminal(&console),
            _ => Display::log(),
        };
        Self::with_display(console, display)
    }

    /// Progress that is never shown.
    pub fn silent() -> Self {
        Self::with_display(Console::quiet(), Display::Silent)
    }

    fn with_display(console: Console, display: Display) -> Self {
        let painter = Painter { display, begun: false, finished: false };
        Self {
            shared: Arc::new(SharedProgress {
                console,
                counts: Counts::default(),
                flights: Mutex::default(),
                painter: Mutex::new(painter),
                wake: Condvar::new(),
            }),
        }
    }

    /// Announces `blobs` more blobs with `bytes` bytes in total; called as manifests are discovered.
    pub fn expect(&self, blobs: usize, bytes: u64) {
        self.shared.counts.blobs.fetch_add(blobs, Ordering::Relaxed);
        self.shared.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Starts the blob `digest` of `size` bytes, which [`Progress::expect`] announced.
    pub fn start(&self, digest: &Digest, size: u64) -> Item {
        self.item(InFlight::new(digest, size))
    }

    /// Starts a blob that is still being built: its digest and size are unknown, and it wasn't announced.
    /// [`Item::grow`] reports its growth.
    pub fn start_growing(&self, name: &str) -> Item {
        self.expect(1, 0);
        self.item(InFlight::growing(name))
    }

    fn item(&self, flight: InFlight) -> Item {
        let flight = Arc::new(flight);
        lock(&self.shared.flights).push(Arc::clone(&flight));
        self.begin_painting();
        Item { shared: Arc::clone(&self.shared), flight, settled: false }
    }

    /// Ends the display: bars disappear, and no line follows. [`Reporter`](super::reporter::Reporter) prints the
    /// summary.
    pub fn finish(&self) {
        self.shared.end();
    }

    fn begin_painting(&self) {
        let mut painter = lock(&self.shared.painter);
        if painter.begun || painter.finished || matches!(painter.display, Display::Silent) {
            return;
        }
        painter.begun = true;
        begin(&self.shared, painter.display.period());
    }
}

impl Item {
    /// Counts `bytes` more bytes of the blob as transferred. Cheap: two additions.
    pub fn advance(&self, bytes: u64) {
        self.flight.moved.fetch_add(bytes, Ordering::Relaxed);
        self.shared.counts.moved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A blob being built has grown by `bytes` bytes.
    pub fn grow(&self, bytes: u64) {
        self.flight.grow(bytes);
        self.shared.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Restarts the blob at 0 for another attempt.
    pub fn restart(&self) {
        let moved = self.flight.moved.swap(0, Ordering::Relaxed);
        self.shared.counts.moved.fetch_sub(moved, Ordering::Relaxed);
    }

    /// Completes the blob with this action.
    pub fn finish(mut self, action: Action) {
        self.settled = true;
        let counts = &self.shared.counts;
        let size = self.flight.size();
        // Whatever was counted on the way, a completed blob was transferred in full or not at all.
        self.restart();
        if action == Action::Sent {
            counts.moved.fetch_add(size, Ordering::Relaxed);
        } else {
            counts.spared.fetch_add(1, Ordering::Relaxed);
            counts.spared_bytes.fetch_add(size, Ordering::Relaxed);
        }
        counts.done.fetch_add(1, Ordering::Relaxed);
        self.land();
    }

    /// Removes the blob from those in flight.
    fn land(&self) {
        lock(&self.shared.flights).retain(|flight| !Arc::ptr_eq(flight, &self.flight));
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        if !self.settled {
            self.restart();
            self.land();
        }
    }
}

impl SharedProgress {
    /// The counters at this moment.
    fn snapshot(&self) -> Snapshot {
        let counts = &self.counts;
        Snapshot {
            blobs: counts.blobs.load(Ordering::Relaxed),
            done: counts.done.load(Ordering::Relaxed),
            spared: counts.spared.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed).saturating_sub(counts.spared_bytes.load(Ordering::Relaxed)),
            moved: counts.moved.load(Ordering::Relaxed),
        }
    }

    /// The blobs in flight at this moment, in order of their start.
    fn flights(&self) -> Vec<Arc<InFlight>> {
        lock(&self.flights).clone()
    }

    fn end(&self) {
        let mut painter = lock(&self.painter);
        painter.finished = true;
        painter.display.clear(&self.console);
        self.wake.notify_all();
    }
}

impl Drop for SharedProgress {
    fn drop(&mut self) {
        // A step that fails must not leave bars on the screen.
        self.end();
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.shared.snapshot()).finish()
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Item").field(&self.flight).finish()
    }
}

/// Starts the thread that draws every `period`, until the progress ends or all its handles are dropped.
fn begin(shared: &Arc<SharedProgress>, period: Duration) {
    let shared = Arc::downgrade(shared);
    let thread = std::thread::Builder::new().name("progress".into());
    // If no thread can be started, progress isn't shown.
    let _ = thread.spawn(move || paint_on(&shared, period));
}

fn paint_on(shared: &Weak<SharedProgress>, period: Duration) {
    let begin = Instant::now();
    while let Some(shared) = shared.upgrade() {
        let painter = lock(&shared.painter);
        if painter.finished {
            return;
        }
        let (mut painter, _) = shared.wake.wait_timeout(painter, period).unwrap_or_else(PoisonError::into_inner);
        if painter.finished {
            return;
        }
        let (now, flights) = (shared.snapshot(), shared.flights());
        painter.display.paint(begin.elapsed(), &now, flights, &shared.console);
    }
}

#[cfg(test)]
mod tests {
    use super::super::console::tests::captured;
    use super::super::level::LogStyle;
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    #[test]
    fn counters_follow_the_blobs() {
        let progress = Progress::silent();
        progress.expect(3, 600);
        progress.expect(1, 400);
        let sent = progress.start(&digest("sent"), 100);
        let mounted = progress.start(&digest("mounted"), 200);
        let failed = progress.start(&digest("failed"), 300);
        sent.advance(60);
        sent.restart();
        sent.advance(40);
        failed.advance(250);
        assert_eq!(progress.shared.snapshot(), Snapshot { blobs: 4, done: 0, spared: 0, bytes: 1000, moved: 290 });
        assert_eq!(progress.shared.flights().len(), 3);

        sent.finish(Action::Sent);
        mounted.finish(Action::Mounted);
        drop(failed);
        assert_eq!(progress.shared.snapshot(), Snapshot { blobs: 4, done: 2, spared: 1, bytes: 800, moved: 100 });
        assert!(progress.shared.flights().is_empty());
    }

    #[test]
    fn clones_share_the_counters() {
        let progress = Progress::silent();
        let clone = progress.clone();
        std::thread::spawn(move || clone.expect(2, 20)).join().unwrap();
        assert_eq!(progress.shared.snapshot().blobs, 2);
    }

    #[test]
    fn a_quiet_console_has_no_display() {
        let (console, _) = captured(Verbosity::Quiet, LogStyle::PLAIN);
        let progress = Progress::shown(console, true);
        drop(progress.start(&digest("x"), 1));
        let painter = lock(&progress.shared.painter);
        assert!(matches!(painter.display, Display::Silent));
        assert!(!painter.begun);
    }

    #[test]
    fn nothing_is_drawn_after_the_end() {
        let (console, captured) = captured(Verbosity::Normal, LogStyle::PLAIN);
        let progress = Progress::shown(console, false);
        progress.finish();
        progress.expect(1, 10);
        progress.start(&digest("x"), 10).advance(10);
        assert!(!lock(&progress.shared.painter).begun);
        assert_eq!(captured.text(), "");
    }
}
