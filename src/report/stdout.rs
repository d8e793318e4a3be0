//! Standard output: one line for each destination, or the whole report as JSON.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::console::Console;
use super::outcome::Outcome;
use super::subject::ReportSubject;
use super::{json, values};
use crate::error::Error;

/// How long an interrupted step waits for the reader of its output.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Whether anything was written to stdout.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// Whether anything was or may have been written to stdout: then no document can follow.
pub(super) fn is_begun() -> bool {
    BEGUN.load(Ordering::Relaxed)
}

/// The format of stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// `registry/repository@sha256:…`, a line per destination.
    #[default]
    Text,
    /// The report, one JSON document on one line.
    Json,
}

/// Prints `text` on stdout. A closed pipe is ignored.
///
/// # Errors
///
/// `ErrorKind::System` if stdout can't be written, such as a file on a full disk: then the step's result is lost.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    print_on(&mut io::stdout().lock(), text)
}

/// [`print()`] on another writer.
pub(super) fn print_on(stdout: &mut dyn Write, text: &str) -> Result<(), Error> {
    write_to(stdout, text.as_bytes()).map_err(Error::system("can't write to stdout"))
}

/// Writes any `bytes` to stdout; a closed pipe isn't an error.
pub(super) fn write(bytes: &[u8]) -> io::Result<()> {
    write_to(&mut io::stdout().lock(), bytes)
}

fn write_to(stdout: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    BEGUN.store(true, Ordering::Relaxed);
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The text of `subject` for stdout in `format`.
pub(super) fn render(subject: ReportSubject, format: OutputFormat) -> Result<String, Error> {
    match format {
        OutputFormat::Json => json::line(&subject),
        OutputFormat::Text => Ok(subject.reports().iter().map(lines).collect()),
    }
}

/// A line per destination.
pub(super) fn lines(outcome: &Outcome) -> String {
    if outcome.destinations.is_empty() {
        return values::pinned(outcome) + "\n";
    }
    let mut lines = String::new();
    for destination in &outcome.destinations {
        let _ = writeln!(lines, "{}", destination.pinned);
    }
    lines
}

/// Prints lines as they come on a separate thread, so that a slow reader doesn't delay transfers.
pub(super) struct Lines {
    sender: Option<mpsc::Sender<String>>,
    printed: mpsc::Receiver<Result<(), Error>>,
}

impl Lines {
    /// Starts printing on stdout. If that is a terminal, bars are hidden for each line.
    pub(super) fn begin(console: &Console) -> Self {
        let (console, is_terminal) = (console.clone(), io::stdout().is_terminal());
        Self::begin_with(move |text| {
            console.end_group();
            if is_terminal { console.beside_bars(|| print(text)) } else { print(text) }
        })
    }

    fn begin_with(print: impl Fn(&str) -> Result<(), Error> + Send + 'static) -> Self {
        let (sender, texts) = mpsc::channel::<String>();
        let (done, printed) = mpsc::channel();
        std::thread::spawn(move || {
            // After a failure, printing stops: the output would have a gap.
            let result = texts.iter().try_for_each(|text| print(&text));
            let _ = done.send(result);
        });
        Self { sender: Some(sender), printed }
    }

    /// Prints `text` when its turn comes.
    pub(super) fn print(&self, text: String) {
        if let Some(sender) = &self.sender {
            // A failure is reported at the end.
            let _ = sender.send(text);
        }
    }

    /// Waits until everything is printed.
    ///
    /// # Errors
    ///
    /// As [`print()`].
    pub(super) fn end(mut self) -> Result<(), Error> {
        self.sender = None;
        self.printed.recv().unwrap_or_else(|_| Err(Error::bug("the thread that writes to stdout is gone")))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if self.sender.take().is_some() {
            let _ = self.printed.recv_timeout(LAST_WAIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_line_for_each_destination() {
        let outcome = sample::promoted();
        let digest = &outcome.digest;
        assert_eq!(
            render(sample::subject(&outcome), OutputFormat::Text).unwrap(),
            format!("registry.example/team/app@{digest}\nmirror.example/app@{digest}\n")
        );
    }

    #[test]
    fn a_step_that_writes_nothing_names_what_it_read() {
        let mut outcome = sample::promoted();
        outcome.destinations.clear();
        let line = format!("ghcr.io/org/build@{}\n", outcome.digest);
        assert_eq!(render(sample::subject(&outcome), OutputFormat::Text).unwrap(), line);
    }

    #[test]
    fn the_report_is_one_line_of_json() {
        let text = render(sample::subject(&sample::promoted()), OutputFormat::Json).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.ends_with("}\n"));
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["destinations"][0]["tags"][1], "latest");
    }

    /// Fails like a full disk.
    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_a_full_disk_is_one() {
        print_on(&mut Broken(ErrorKind::BrokenPipe), "answer").unwrap();
        let error = print_on(&mut Broken(ErrorKind::StorageFull), "answer").unwrap_err();
        assert!(matches!(error.kind(), crate::ErrorKind::System { .. }), "{error}");
    }

    #[test]
    fn lines_come_in_order_and_a_slow_reader_holds_nothing_up() {
        let (sender, seen) = mpsc::channel();
        let (reader, may_read) = mpsc::channel::<()>();
        let lines = Lines::begin_with(move |text| {
            let _ = may_read.recv();
            sender.send(text.to_owned()).unwrap();
            Ok(())
        });
        for text in ["a\n", "b\n", "c\n"] {
            lines.print(text.to_owned());
        }
        assert!(seen.try_recv().is_err(), "nothing was read, and all of it was given");
        drop(reader);
        lines.end().unwrap();
        assert_eq!(seen.iter().collect::<String>(), "a\nb\nc\n");
    }

    #[test]
    fn lines_that_can_not_be_printed_are_an_error_at_the_end() {
        let lines = Lines::begin_with(|text| Err(Error::bug(format!("no {text}"))));
        lines.print("a".to_owned());
        lines.print("b".to_owned());
        assert_eq!(lines.end().unwrap_err().to_string(), "no a");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_real_full_disk_is_an_error() {
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        print_on(&mut full, "answer").unwrap_err();
    }
}
