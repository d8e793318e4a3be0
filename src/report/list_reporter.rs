//! Reports on a list of images while it is processed: failures at once, successes in the order of the list, and totals
//! at the end.

use super::console::Console;
use super::failure::Reason;
use super::list::{ListFailure, ListLine, ListOutcome};
use super::outcome::{Outcome, Totals};
use super::reporter::Reporter;
use super::stdout::{self, Lines, OutputFormat};
use super::subject::{ReportSubject, StepVerb};
use super::summary;
use crate::error::{Error, ExitStatus};

/// Collects the result of each line as it ends.
pub struct ListReporter {
    console: Console,
    verb: StepVerb,
    dry_run: bool,
    lines: Vec<ListLine>,
    /// The result of each line; `None` while it is in progress.
    ended: Vec<Option<Result<Outcome, ListFailure>>>,
    /// The first line that isn't on stdout yet.
    next: usize,
    /// Prints a line per destination; `None` if stdout gets the report.
    stdout: Option<Lines>,
}

impl ListReporter {
    /// A reporter without results. With [`OutputFormat::Text`], lines go to stdout as soon as all before them are done,
    /// so that a reader can start with the first image while the last is transferred.
    pub fn new(verb: StepVerb, dry_run: bool, lines: Vec<ListLine>, format: OutputFormat, console: &Console) -> Self {
        let ended = lines.iter().map(|_| None).collect();
        let stdout = (format == OutputFormat::Text).then(|| Lines::begin(console));
        Self { console: console.clone(), verb, dry_run, lines, ended, next: 0, stdout }
    }

    /// The line at `position` has ended.
    pub fn ended(&mut self, position: usize, result: Result<Outcome, Error>) {
        let line = self.lines[position].clone();
        let ended = result.map_err(|error| {
            self.console.error(&format!("line {}: {}", line.line, error.one_line()));
            ListFailure::new(line.clone(), Reason::from(&error))
        });
        if let Ok(outcome) = &ended {
            for warning in &outcome.warnings {
                self.console.warn(&format!("line {}: {warning}", line.line));
            }
            for moved in summary::moved(outcome) {
                self.console.note(&format!("line {}: {moved}", line.line));
            }
            if self.dry_run {
                self.console.note(&summary::summary(ReportSubject::image(self.verb, outcome)));
            }
        }
        self.ended[position] = Some(ended);
        self.print_what_is_due();
    }

    fn print_what_is_due(&mut self) {
        while let Some(Some(ended)) = self.ended.get(self.next) {
            self.next += 1;
            if let (Ok(outcome), Some(stdout)) = (ended, &self.stdout) {
                stdout.print(stdout::lines(outcome));
            }
        }
    }

    /// The outcomes, if all lines succeeded.
    pub fn done(&self) -> Option<Vec<&Outcome>> {
        self.ended.iter().map(|ended| ended.as_ref()?.as_ref().ok()).collect()
    }

    /// Reports the totals, as [`Reporter::finish`] does for one image. Results and outputs are written only if all
    /// lines succeeded; the job summary always.
    ///
    /// Returns the exit status: that of the first line of the list that failed.
    ///
    /// # Errors
    ///
    /// As [`Reporter::finish`].
    pub fn finish(mut self, requests: u64, seconds: f64, reporter: &Reporter) -> Result<u8, Error> {
        let lines = self.stdout.take();
        let list = self.outcome(requests, seconds);
        let subject = ReportSubject::list(reporter.verb, &list);
        reporter.console.note(&summary::summary(subject));
        reporter.deliver(subject, || match lines {
            Some(lines) => lines.end(),
            None => stdout::render(subject, OutputFormat::Json).and_then(|text| stdout::print(&text)),
        })?;
        Ok(list.failed.first().map_or(ExitStatus::Done as u8, |failure| failure.status))
    }

    fn outcome(self, requests: u64, seconds: f64) -> ListOutcome {
        let (mut reports, mut failed) = (Vec::new(), Vec::new());
        for ended in self.ended.into_iter().flatten() {
            match ended {
                Ok(outcome) => reports.push(outcome),
                Err(failure) => failed.push(failure),
            }
        }
        let sum = |of: fn(&Totals) -> u64| reports.iter().map(|report| of(&report.totals)).fold(0, u64::saturating_add);
        let totals = Totals {
            requests: if self.dry_run { sum(|totals| totals.requests) } else { requests },
            sent_bytes: sum(|totals| totals.sent_bytes),
            mounted_bytes: sum(|totals| totals.mounted_bytes),
            present_bytes: sum(|totals| totals.present_bytes),
            seconds,
        };
        ListOutcome { schema_version: 1, step: self.verb.name, dry_run: self.dry_run, reports, failed, totals }
    }
}
