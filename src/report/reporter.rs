//! Writes a report to all its destinations: result files, the CI system, stdout, and a line for people.

use std::io::Write;

use super::ci::Ci;
use super::console::Console;
use super::failure::FailedStep;
use super::inspection::Inspection;
use super::outcome::Outcome;
use super::results::{self, ResultFile};
use super::stdout::{self, OutputFormat};
use super::subject::{ReportSubject, StepVerb};
use super::{json, summary, tree};
use crate::error::Error;

/// Where the report of a step goes.
pub struct Reporter<'a> {
    /// The step's verb in its summary.
    pub verb: StepVerb,
    /// The files of `--result`.
    pub results: &'a [ResultFile],
    /// The CI system.
    pub ci: &'a Ci,
    /// The format of stdout.
    pub format: OutputFormat,
    /// Where warnings and the summary go.
    pub console: &'a Console,
}

impl Reporter<'_> {
    /// Reports what a step wrote: warnings and the summary on the console, then the result files (all or none), the CI
    /// system's outputs, and stdout last, since its reader may act on it at once.
    ///
    /// [`Progress::finish`](super::progress::Progress::finish) comes before it. `outcome.warnings` are printed here and
    /// nowhere else.
    ///
    /// # Errors
    ///
    /// The first of results, outputs and stdout that can't be written; no result file of this run is left then. A job
    /// summary that can't be written is a warning: nothing depends on it.
    pub fn finish(&self, outcome: &Outcome) -> Result<(), Error> {
        self.finish_on(&mut std::io::stdout().lock(), outcome)
    }

    fn finish_on(&self, stdout: &mut dyn Write, outcome: &Outcome) -> Result<(), Error> {
        for warning in &outcome.warnings {
            self.console.warn(warning);
        }
        for line in summary::plan(outcome).into_iter().chain(summary::moved(outcome)) {
            self.console.note(&line);
        }
        let subject = ReportSubject::image(self.verb, outcome);
        self.console.note(&summary::summary(subject));
        let text = stdout::render(subject, self.format)?;
        self.deliver(subject, || stdout::print_on(stdout, &text))
    }

    /// Reports a lookup: like [`Reporter::finish`], but without a summary, and with only the digest on stdout.
    ///
    /// # Errors
    ///
    /// As [`Reporter::finish`].
    pub fn finish_query(&self, outcome: &Outcome) -> Result<(), Error> {
        let text = match self.format {
            OutputFormat::Text => format!("{}\n", outcome.digest),
            OutputFormat::Json => json::line(outcome)?,
        };
        self.deliver(ReportSubject::image(self.verb, outcome), || stdout::print(&text))
    }

    /// Reports the content of an image on stdout and to the CI system. With `is_whole`, lines aren't cut for a
    /// terminal.
    ///
    /// # Errors
    ///
    /// Outputs or stdout can't be written.
    pub fn finish_inspection(&self, inspection: &Inspection, is_whole: bool) -> Result<(), Error> {
        let text = match self.format {
            OutputFormat::Text if is_whole => tree::tree(inspection, tree::Width::Whole),
            OutputFormat::Text => tree::tree(inspection, tree::width_of_stdout()),
            OutputFormat::Json => json::line(inspection)?,
        };
        self.console.end_group();
        self.ci.write_inspection(inspection, self.console)?;
        stdout::print(&text)
    }

    /// Writes results and outputs if everything succeeded, then calls `print`. Results are removed if a later part
    /// fails.
    pub(super) fn deliver(
        &self,
        subject: ReportSubject,
        print: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let results = if subject.failed().is_empty() { self.results } else { &[] };
        self.ci.check(subject)?;
        results::write_all(results, subject)?;
        let delivered = self.ci.write(subject, self.console).and_then(|()| {
            self.console.end_group();
            print()
        });
        if delivered.is_err() {
            results::withdraw(results, subject);
        }
        delivered
    }
}

/// Reports a failed step beyond stderr: a job summary, and JSON on stdout if requested and nothing was printed yet.
///
/// # Errors
///
/// Stdout can't be written.
pub(crate) fn report_failure(
    failed: &FailedStep,
    ci: &Ci,
    format: OutputFormat,
    console: &Console,
) -> Result<(), Error> {
    ci.write_failure(failed, console);
    console.end_group();
    if format == OutputFormat::Text || stdout::is_begun() {
        return Ok(());
    }
    stdout::print(&json::line(failed)?)
}

#[cfg(test)]
mod tests {
    use super::super::ci::{self, Choice};
    use super::super::console::Verbosity;
    use super::super::console::tests::captured;
    use super::super::files::tests::Folder;
    use super::super::level::LogStyle;
    use super::super::sample;
    use super::super::values::tests::named;
    use super::*;

    fn reporter<'a>(results: &'a [ResultFile], ci: &'a Ci, console: &'a Console) -> Reporter<'a> {
        Reporter { verb: sample::PROMOTE, results, ci, format: OutputFormat::Text, console }
    }

    /// The result of [`Reporter::finish`], stdout and stderr.
    fn run(outcome: &Outcome, results: &[ResultFile], ci: &Ci) -> (Result<(), Error>, String, String) {
        let (console, said) = captured(Verbosity::Normal, LogStyle::PLAIN);
        let mut stdout = Vec::new();
        let result = reporter(results, ci, &console).finish_on(&mut stdout, outcome);
        (result, String::from_utf8(stdout).unwrap(), said.text())
    }

    fn digest_in(folder: &Folder) -> [ResultFile; 1] {
        [ResultFile { value: named("digest"), path: folder.path("digest") }]
    }

    fn on_github(folder: &Folder, output: &str, summary: &str) -> Ci {
        let variable = |name: &str| match name {
            "GITHUB_OUTPUT" => Some(folder.path(output).into()),
            "GITHUB_STEP_SUMMARY" => Some(folder.path(summary).into()),
            _ => None,
        };
        Ci::new(Choice::Auto, &variable).unwrap()
    }

    #[test]
    fn everybody_hears_of_it() {
        let folder = Folder::new();
        let mut outcome = sample::single();
        outcome.warnings.push("beware".into());
        let ci = on_github(&folder, "output", "summary");
        let (result, stdout, stderr) = run(&outcome, &digest_in(&folder), &ci);
        result.unwrap();
        assert_eq!(folder.names(), ["digest", "output", "summary"]);
        assert_eq!(stdout, format!("registry.example/team/app@{}\n", outcome.digest));
        assert_eq!(stderr, format!("warning: beware\n{}\n", summary::summary(sample::subject(&outcome))));
    }

    #[test]
    fn a_step_that_fails_at_its_end_leaves_no_results_and_no_answer() {
        let folder = Folder::new();
        let ci = on_github(&folder, "missing/output", "summary");
        let (result, stdout, _) = run(&sample::promoted(), &digest_in(&folder), &ci);
        result.unwrap_err();
        assert_eq!(stdout, "");
        assert!(folder.names().is_empty());
    }

    #[test]
    fn azure_reads_its_outputs_on_stderr() {
        let ci = Ci::new(ci::named("azure").unwrap(), &|_| None).unwrap();
        let (result, stdout, stderr) = run(&sample::single(), &[], &ci);
        result.unwrap();
        assert_eq!(stdout.lines().count(), 1);
        let commands = stderr.lines().filter(|line| line.starts_with("##vso[task.setvariable variable="));
        assert_eq!(commands.count(), 6, "{stderr}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_lost_answer_is_a_failure() {
        let folder = Folder::new();
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (console, _) = captured(Verbosity::Quiet, LogStyle::PLAIN);
        let (results, ci) = (digest_in(&folder), Ci::default());
        let reporter = Reporter { format: OutputFormat::Json, ..reporter(&results, &ci, &console) };
        reporter.finish_on(&mut full, &sample::single()).unwrap_err();
        assert!(folder.names().is_empty());
    }

    #[test]
    fn a_missing_job_summary_is_a_warning() {
        let folder = Folder::new();
        let ci = on_github(&folder, "output", "missing/x");
        let (result, stdout, stderr) = run(&sample::single(), &[], &ci);
        result.unwrap();
        assert_eq!(stdout.lines().count(), 1);
        assert!(stderr.contains("\nwarning: the job summary is missing: write "), "{stderr}");
    }
}
