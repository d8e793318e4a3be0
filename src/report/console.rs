//! The console: every line for people goes through here, to stderr.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::MultiProgress;

use super::github::{Level, annotation};
use crate::error::printable;

/// The longest line in characters; a CI log cuts or wraps anything longer beyond reading.
const LINE_LIMIT: usize = 8_000;

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Errors only (`-q`).
    Quiet,
    /// Notes, warnings and errors.
    #[default]
    Normal,
    /// Each request as well (`-v`).
    Verbose,
}

/// A handle on stderr; clones share it, and lines of several threads don't mix.
///
/// Text may come from a registry: control characters are escaped, and no line can speak a CI's commands.
#[derive(Clone)]
pub struct Console {
    shared: Arc<Shared>,
}

struct Shared {
    verbosity: Verbosity,
    github_actions: bool,
    writer: Mutex<Box<dyn Write + Send>>,
    /// The bars that must make room while a line is printed.
    bars: Mutex<Option<MultiProgress>>,
}

impl Console {
    /// A console on stderr. With `github_actions`, warnings and errors are annotations of the workflow run.
    pub fn new(verbosity: Verbosity, github_actions: bool) -> Self {
        Self::with_writer(verbosity, github_actions, Box::new(std::io::stderr()))
    }

    /// A console that says nothing but errors, outside of any CI.
    pub fn quiet() -> Self {
        Self::new(Verbosity::Quiet, false)
    }

    /// A console that writes to `writer` in place of stderr: for tests.
    pub fn with_writer(verbosity: Verbosity, github_actions: bool, writer: Box<dyn Write + Send>) -> Self {
        Self {
            shared: Arc::new(Shared { verbosity, github_actions, writer: Mutex::new(writer), bars: Mutex::new(None) }),
        }
    }

    /// How much is said.
    pub fn verbosity(&self) -> Verbosity {
        self.shared.verbosity
    }

    /// Says what was or will be done. `text` may have several lines.
    pub fn note(&self, text: &str) {
        if self.shared.verbosity >= Verbosity::Normal {
            self.print(&safe_lines(text));
        }
    }

    /// Says what a user should know: `warning: …`, or an annotation in GitHub Actions.
    pub fn warn(&self, text: &str) {
        if self.shared.verbosity >= Verbosity::Normal {
            self.print(&self.marked(Level::Warning, "warning: ", text));
        }
    }

    /// Says what was asked of a registry and what it answered, with `-v` only. The caller redacts secrets.
    pub fn request(&self, text: &str) {
        if self.shared.verbosity >= Verbosity::Verbose {
            self.print(&safe_lines(text));
        }
    }

    /// Says what went wrong, even with `-q`: `error: …`, or an annotation in GitHub Actions.
    pub fn error(&self, text: &str) {
        self.print(&self.marked(Level::Error, "error: ", text));
    }

    /// From now on, lines are printed above `bars`; `None` ends that.
    pub(super) fn attach(&self, bars: Option<MultiProgress>) {
        *lock(&self.shared.bars) = bars;
    }

    /// Does what writes to the same terminal as the bars, which make room meanwhile.
    pub(super) fn beside_bars<T>(&self, write: impl FnOnce() -> T) -> T {
        let bars = lock(&self.shared.bars).clone();
        match bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    fn marked(&self, level: Level, prefix: &str, text: &str) -> String {
        let lines = safe_lines(text);
        if self.shared.github_actions { annotation(level, "imgstep", &lines) } else { format!("{prefix}{lines}") }
    }

    fn print(&self, lines: &str) {
        let text = format!("{lines}\n");
        // One write for all: stderr has no buffer, and other processes write to the same log.
        // A log that can't be written to is no reason to fail, and there is nowhere left to say so.
        let write = || {
            let mut writer = lock(&self.shared.writer);
            let _ = writer.write_all(text.as_bytes()).and_then(|()| writer.flush());
        };
        self.beside_bars(write);
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("verbosity", &self.shared.verbosity).finish_non_exhaustive()
    }
}

/// Each line of `text` in a form that neither a terminal nor a CI's log reader takes for a command.
fn safe_lines(text: &str) -> String {
    let lines: Vec<String> = text.trim_end().lines().map(safe_line).collect();
    lines.join("\n")
}

fn safe_line(line: &str) -> String {
    // GitHub's runner reads `##[command]` and Azure's agent `##vso[command]` anywhere in a line.
    let line = printable(line, LINE_LIMIT).replace("##[", "# #[").replace("##vso[", "# #vso[");
    // `::command::` counts at the start of a line, behind any blanks.
    let rest = line.trim_start();
    match rest.strip_prefix("::") {
        Some(after) => format!("{}: :{after}", &line[..line.len() - rest.len()]),
        None => line,
    }
}

/// Locks without regard to a panic elsewhere: what is guarded here is never left half-changed.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A writer whose bytes can be looked at.
    #[derive(Clone, Default)]
    pub struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub fn text(&self) -> String {
            String::from_utf8(lock(&self.0).clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    pub fn captured(verbosity: Verbosity, github_actions: bool) -> (Console, Captured) {
        let captured = Captured::default();
        (Console::with_writer(verbosity, github_actions, Box::new(captured.clone())), captured)
    }

    fn say_everything(verbosity: Verbosity, github_actions: bool) -> String {
        let (console, captured) = captured(verbosity, github_actions);
        console.note("a note");
        console.warn("a warning");
        console.request("GET https://r.example/v2/");
        console.error("an error");
        captured.text()
    }

    #[test]
    fn each_level_says_what_it_should() {
        assert_eq!(say_everything(Verbosity::Quiet, false), "error: an error\n");
        assert_eq!(say_everything(Verbosity::Normal, false), "a note\nwarning: a warning\nerror: an error\n");
        assert_eq!(
            say_everything(Verbosity::Verbose, false),
            "a note\nwarning: a warning\nGET https://r.example/v2/\nerror: an error\n"
        );
        assert_eq!(
            say_everything(Verbosity::Normal, true),
            "a note\n::warning title=imgstep::a warning\n::error title=imgstep::an error\n"
        );
    }

    #[test]
    fn text_of_others_speaks_no_commands() {
        let (console, captured) = captured(Verbosity::Normal, false);
        console.note("first\n::set-output name=digest::x\n  ::stop-commands::y\n\u{1b}[2J\u{202e}");
        console.warn("said ##[set-output name=digest]x and ##vso[task.setvariable]y\r\n");
        assert_eq!(
            captured.text(),
            "first\n: :set-output name=digest::x\n  : :stop-commands::y\n\\u{1b}[2J\\u{202e}\n\
             warning: said # #[set-output name=digest]x and # #vso[task.setvariable]y\n"
        );
    }

    #[test]
    fn several_lines_stay_one_annotation() {
        let (console, captured) = captured(Verbosity::Normal, true);
        console.error("50% done\nthen ::no::");
        assert_eq!(captured.text(), "::error title=imgstep::50%25 done%0Athen ::no::\n");
    }

    #[test]
    fn lines_are_printed_while_bars_are_attached() {
        let (console, captured) = captured(Verbosity::Normal, false);
        let bars = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        console.attach(Some(bars));
        console.note("above the bars");
        console.attach(None);
        console.note("after them");
        assert_eq!(captured.text(), "above the bars\nafter them\n");
    }
}
