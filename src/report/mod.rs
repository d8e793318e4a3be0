//! What a step says: stdout, result files, each CI's outputs, and progress on the way.
//!
//! ```text
//! transfer ──▶ Progress ──┐
//! steps ─────▶ Console ───┴▶ stderr
//! steps ─────▶ Outcome ──▶ finish ──▶ result files, a CI's outputs and summary, stdout
//! ```
//!
//! Nothing else in the library prints. Stdout holds the step's answer and nothing else; people read stderr.

pub mod ci;
pub mod console;
mod display;
pub mod failure;
mod files;
pub mod github;
pub mod human;
pub mod inspection;
pub mod list;
pub mod list_reporter;
mod markdown;
pub mod outcome;
pub mod progress;
pub mod results;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod schema_test;
mod screen;
pub mod stdout;
mod summary;
pub mod tekton;
#[cfg(test)]
mod terminal;
pub mod tree;
mod values;

pub use ci::Ci;
pub use console::{Console, Verbosity};
pub use github::CiEnvironment;
pub use list_reporter::ListReporter;
pub use outcome::Outcome;
pub use progress::{Item, Progress};
pub use results::{ResultFile, ResultKey};
pub use stdout::OutputFormat;
pub use summary::summary;
pub use values::VARIABLES;

use std::io::Write;

use crate::error::Error;

/// Tells what a step did, to everybody who asked: warnings and the summary line on `console`, then the result files
/// (all or none), the CI's outputs and summary, and stdout last, since its reader may act upon it at once.
///
/// [`Progress::finish`] comes before it. What is in `outcome.warnings` is printed here and nowhere else.
///
/// # Errors
///
/// The first of results, outputs and stdout that can't be written; no result file of this run is left then. A job
/// summary that can't be written is a warning: nothing depends on it.
pub fn finish(
    outcome: &Outcome,
    results: &[ResultFile],
    ci: &Ci,
    format: OutputFormat,
    console: &Console,
) -> Result<(), Error> {
    finish_on(&mut std::io::stdout().lock(), outcome, results, ci, format, console)
}

fn finish_on(
    stdout: &mut dyn Write,
    outcome: &Outcome,
    results: &[ResultFile],
    ci: &Ci,
    format: OutputFormat,
    console: &Console,
) -> Result<(), Error> {
    for warning in &outcome.warnings {
        console.warn(warning);
    }
    for line in summary::plan(outcome).into_iter().chain(summary::moved(outcome)) {
        console.note(&line);
    }
    console.note(&summary(outcome));
    let text = stdout::render(outcome, format)?;
    answer_on(stdout, outcome, results, ci, &text, console)
}

/// Tells what a step found out and wrote nowhere: as [`finish`], with `text` on stdout and no summary line.
///
/// # Errors
///
/// As [`finish`].
pub fn answer(outcome: &Outcome, results: &[ResultFile], ci: &Ci, text: &str, console: &Console) -> Result<(), Error> {
    answer_on(&mut std::io::stdout().lock(), outcome, results, ci, text, console)
}

fn answer_on(
    stdout: &mut dyn Write,
    outcome: &Outcome,
    results: &[ResultFile],
    ci: &Ci,
    text: &str,
    console: &Console,
) -> Result<(), Error> {
    let subject = ci::ReportSubject::Image(outcome);
    ci.check(&subject)?;
    results::write_all(results, outcome)?;
    let told = ci.tell(&subject, console).and_then(|()| {
        console.end_group();
        stdout::print_on(stdout, text)
    });
    if told.is_err() {
        results::withdraw(results, outcome.dry_run);
    }
    told
}

/// Tells those who read no stderr that a step failed: a job summary, and stdout if it is to hold JSON and holds nothing yet.
///
/// # Errors
///
/// Stdout can't be written.
pub fn failed(failed: &failure::FailedStep, ci: &Ci, json: bool, console: &Console) -> Result<(), Error> {
    ci.failed(failed, console);
    console.end_group();
    if !json || stdout::is_begun() {
        return Ok(());
    }
    stdout::print(&stdout::json(failed)?)
}

/// Tells what an image is made of: `text` on stdout, and GitHub's outputs and job summary.
///
/// # Errors
///
/// Outputs or stdout can't be written.
pub fn inspected(inspection: &inspection::Inspection, ci: &Ci, text: &str, console: &Console) -> Result<(), Error> {
    ci.inspected(inspection, console)?;
    stdout::print(text)
}

#[cfg(test)]
mod tests {
    use super::console::tests::captured;
    use super::files::tests::Folder;
    use super::*;

    /// What came of [`finish_on`], what stdout holds, and what stderr holds.
    fn run(outcome: &Outcome, results: &[ResultFile], ci: &Ci) -> (Result<(), Error>, String, String) {
        let (console, said) = captured(Verbosity::Normal, None);
        let mut stdout = Vec::new();
        let result = finish_on(&mut stdout, outcome, results, ci, OutputFormat::Text, &console);
        (result, String::from_utf8(stdout).unwrap(), said.text())
    }

    fn digest_in(folder: &Folder) -> [ResultFile; 1] {
        [ResultFile { key: ResultKey::Digest, path: folder.path("digest") }]
    }

    fn on_github(folder: &Folder, output: &str, summary: &str) -> Ci {
        let variable = |name: &str| match name {
            "GITHUB_OUTPUT" => Some(folder.path(output).into()),
            "GITHUB_STEP_SUMMARY" => Some(folder.path(summary).into()),
            _ => None,
        };
        Ci::new(ci::Choice::Auto, &variable).unwrap()
    }

    #[test]
    fn everybody_is_told() {
        let folder = Folder::new();
        let mut outcome = sample::single();
        outcome.warnings.push("beware".into());
        let ci = on_github(&folder, "output", "summary");
        let (result, stdout, stderr) = run(&outcome, &digest_in(&folder), &ci);
        result.unwrap();
        assert_eq!(folder.names(), ["digest", "output", "summary"]);
        assert_eq!(stdout, format!("registry.example/team/app@{}\n", outcome.digest));
        assert_eq!(stderr, format!("warning: beware\n{}\n", summary(&outcome)));
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
        let ci = Ci::new(ci::Choice::System(ci::System::Azure), &|_| None).unwrap();
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
        let (console, _) = captured(Verbosity::Quiet, None);
        let (results, ci) = (digest_in(&folder), Ci::default());
        finish_on(&mut full, &sample::single(), &results, &ci, OutputFormat::Json, &console).unwrap_err();
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
