//! The console: every line for people goes through here, to stderr.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};

use super::level::{Level, LogStyle};
use super::screen::Screen;
use crate::lock::lock;
use crate::text::printable;

/// Maximum length of a line, in characters; CI logs cut or wrap longer ones.
const LINE_LIMIT: usize = 8_000;

/// How much to print on stderr.
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

/// A handle on stderr; clones share it, and lines of different threads don't mix.
///
/// Text may come from a registry: control characters are escaped, and no line can contain a CI command.
#[derive(Clone)]
pub struct Console {
    shared: Arc<SharedConsole>,
}

struct SharedConsole {
    verbosity: Verbosity,
    style: LogStyle,
    writer: Mutex<Output>,
    /// The progress bars, hidden while a line is printed.
    bars: Mutex<Option<Screen>>,
}

/// Where the lines go.
struct Output {
    writer: Box<dyn Write + Send>,
    /// The line that ends the open group of requests.
    group: Option<String>,
    /// The number of groups so far.
    groups: usize,
}

impl Output {
    fn write(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        // One write for all: stderr has no buffer, and other processes write to the same log. Failing to write the log
        // must not fail the step, and there is nowhere left to report it.
        let _ = self.writer.write_all(text.as_bytes()).and_then(|()| self.writer.flush());
    }

    /// The lines to print before a line that is inside or outside of a group.
    fn turn(&mut self, style: LogStyle, grouped: bool) -> String {
        let mut lines = String::new();
        if grouped && self.group.is_none() {
            if let Some(group) = style.group {
                let (start, end) = group(self.groups + 1);
                self.groups += 1;
                self.group = Some(end);
                lines = start + "\n";
            }
        } else if !grouped && let Some(end) = self.group.take() {
            lines = end + "\n";
        }
        lines
    }
}

impl Console {
    /// A console on stderr, in the style of the log it goes to.
    pub fn new(verbosity: Verbosity, style: LogStyle) -> Self {
        Self::with_writer(verbosity, style, Box::new(std::io::stderr()))
    }

    /// A console that prints errors only, outside of any CI system.
    pub fn quiet() -> Self {
        Self::new(Verbosity::Quiet, LogStyle::PLAIN)
    }

    /// A console that writes to `writer` instead of stderr, for tests.
    pub fn with_writer(verbosity: Verbosity, style: LogStyle, writer: Box<dyn Write + Send>) -> Self {
        let output = Output { writer, group: None, groups: 0 };
        Self {
            shared: Arc::new(SharedConsole { verbosity, style, writer: Mutex::new(output), bars: Mutex::new(None) }),
        }
    }

    /// The verbosity.
    pub fn verbosity(&self) -> Verbosity {
        self.shared.verbosity
    }

    /// Prints a note. `text` may have several lines.
    pub fn note(&self, text: &str) {
        if self.shared.verbosity >= Verbosity::Normal {
            self.print(&safe_lines(text), false);
        }
    }

    /// Prints a warning: `warning: …`, or as the CI system marks it.
    pub fn warn(&self, text: &str) {
        if self.shared.verbosity >= Verbosity::Normal {
            self.print(&self.marked(Level::Warning, text), false);
        }
    }

    /// Prints a request and its response, with `-v` only. The caller redacts secrets.
    pub fn request(&self, text: &str) {
        if self.shared.verbosity >= Verbosity::Verbose {
            self.print(&safe_lines(text), true);
        }
    }

    /// Prints an error, even with `-q`: `error: …`, or as the CI system marks it.
    pub fn error(&self, text: &str) {
        self.print(&self.marked(Level::Error, text), false);
    }

    /// Prints an error and its hint: on two lines, or as one text if the log turns errors into annotations.
    pub fn failure(&self, text: &str, hint: Option<&str>) {
        self.print(&self.shared.style.failure(&safe_lines(text), hint.map(safe_lines).as_deref()), false);
    }

    /// Prints a CI command as it is, even with `-q`. The caller has escaped its values.
    pub(super) fn command(&self, line: &str) {
        self.print(line, false);
    }

    /// Prints lines above `bars` from now on; `None` stops that.
    pub(super) fn attach(&self, bars: Option<Screen>) {
        *lock(&self.shared.bars) = bars;
    }

    /// Ends the open group of requests, so that the next output on stdout is outside of it.
    pub fn end_group(&self) {
        let mut output = lock(&self.shared.writer);
        let end = output.turn(self.shared.style, false);
        output.write(&end);
    }

    /// Runs `write`, which writes to the terminal of the bars, while they are hidden.
    pub(super) fn beside_bars<T>(&self, write: impl FnOnce() -> T) -> T {
        let bars = lock(&self.shared.bars).clone();
        match bars {
            Some(bars) => bars.beside(write),
            None => write(),
        }
    }

    fn marked(&self, level: Level, text: &str) -> String {
        (self.shared.style.mark)(level, &safe_lines(text))
    }

    fn print(&self, lines: &str, grouped: bool) {
        let write = || {
            let mut output = lock(&self.shared.writer);
            let before = output.turn(self.shared.style, grouped);
            output.write(&format!("{before}{lines}\n"));
        };
        self.beside_bars(write);
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("verbosity", &self.shared.verbosity).finish_non_exhaustive()
    }
}

/// Escapes each line of `text` so that neither a terminal nor a CI log sees a command.
pub(super) fn safe_lines(text: &str) -> String {
    let lines: Vec<String> = text.trim_end().lines().map(safe_line).collect();
    lines.join("\n")
}

fn safe_line(line: &str) -> String {
    let line = printable(line, LINE_LIMIT);
    // Buildkite starts a group with each of these.
    if ["--- ", "+++ ", "~~~ ", "^^^ "].iter().any(|mark| line.starts_with(mark)) {
        return format!(" {line}");
    }
    // `::command::` is recognised at the start of a line, after any blanks.
    let rest = line.trim_start();
    match rest.strip_prefix("::") {
        Some(after) => format!("{}: :{after}", &line[..line.len() - rest.len()]),
        None => line,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A log with marks and groups.
    const STYLE: LogStyle = LogStyle {
        mark: |level, text| format!("<{}> {text}", level.name()),
        one_text: true,
        group: Some(|number| (format!("<group {number}>"), "</group>".to_owned())),
    };

    /// A writer whose bytes can be inspected.
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

    pub fn captured(verbosity: Verbosity, style: LogStyle) -> (Console, Captured) {
        let captured = Captured::default();
        (Console::with_writer(verbosity, style, Box::new(captured.clone())), captured)
    }

    fn say_everything(verbosity: Verbosity, style: LogStyle) -> String {
        let (console, captured) = captured(verbosity, style);
        console.note("a note");
        console.warn("a warning");
        console.request("GET https://r.example/v2/");
        console.error("an error");
        captured.text()
    }

    #[test]
    fn each_level_says_what_it_should() {
        assert_eq!(say_everything(Verbosity::Quiet, LogStyle::PLAIN), "error: an error\n");
        assert_eq!(say_everything(Verbosity::Normal, LogStyle::PLAIN), "a note\nwarning: a warning\nerror: an error\n");
        assert_eq!(
            say_everything(Verbosity::Verbose, LogStyle::PLAIN),
            "a note\nwarning: a warning\nGET https://r.example/v2/\nerror: an error\n"
        );
        assert_eq!(say_everything(Verbosity::Normal, STYLE), "a note\n<warning> a warning\n<error> an error\n");
    }

    #[test]
    fn text_of_others_speaks_no_commands() {
        let (console, captured) = captured(Verbosity::Normal, LogStyle::PLAIN);
        console.note("first\n::set-output name=digest::x\n  ::stop-commands::y\n\u{1b}[2J\u{202e}");
        console.warn("said ##[set-output name=digest]x and ##vso[task.setvariable]y\r\n");
        console.note("--- a group\n^^^ +++");
        assert_eq!(
            captured.text(),
            "first\n: :set-output name=digest::x\n  : :stop-commands::y\n\\u{1b}[2J\\u{202e}\n\
             warning: said # #[set-output name=digest]x and # #vso[task.setvariable]y\n --- a group\n ^^^ +++\n"
        );
    }

    #[test]
    fn requests_are_folded_away_and_nothing_else() {
        let (console, captured) = captured(Verbosity::Verbose, STYLE);
        console.request("GET a");
        console.clone().request("GET b");
        console.note("done");
        console.command("##vso[task.setvariable variable=x]y");
        console.request("GET c");
        let before = "<group 1>\nGET a\nGET b\n</group>\ndone\n##vso[task.setvariable variable=x]y\n<group 2>\nGET c\n";
        assert_eq!(captured.text(), before);
        console.end_group();
        console.end_group();
        assert_eq!(captured.text(), format!("{before}</group>\n"));
    }
}
