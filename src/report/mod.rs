//! What a step says: stdout, result files, each CI's outputs, and progress on the way.
//!
//! ```text
//! transfer ──▶ Progress ──┐
//! steps ─────▶ Console ───┴▶ stderr
//! steps ─────▶ Outcome ──▶ finish ──▶ result files, GitHub's outputs and summary, stdout
//! ```
//!
//! Nothing else in the library prints. Stdout holds the step's answer and nothing else; people read stderr.

pub mod console;
mod display;
mod files;
pub mod github;
pub mod human;
pub mod inspection;
pub mod list;
pub mod list_teller;
mod markdown;
pub mod outcome;
pub mod progress;
pub mod results;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod schema_test;
pub mod stdout;
mod summary;
mod tekton;
pub mod tree;
mod values;

pub use console::{Console, Verbosity};
pub use github::CiEnvironment;
pub use list_teller::ListTeller;
pub use outcome::Outcome;
pub use progress::{Item, Progress};
pub use results::{ResultFile, ResultKey};
pub use stdout::OutputFormat;
pub use summary::summary;

use std::io::Write;

use crate::error::Error;

/// Tells what a step did, to everybody who asked: warnings and the summary line on `console`, then the result files
/// (all or none), GitHub's outputs and job summary, and stdout last, since its reader may act upon it at once.
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
    ci: &CiEnvironment,
    format: OutputFormat,
    console: &Console,
) -> Result<(), Error> {
    finish_on(&mut std::io::stdout().lock(), outcome, results, ci, format, console)
}

fn finish_on(
    stdout: &mut dyn Write,
    outcome: &Outcome,
    results: &[ResultFile],
    ci: &CiEnvironment,
    format: OutputFormat,
    console: &Console,
) -> Result<(), Error> {
    for warning in &outcome.warnings {
        console.warn(warning);
    }
    for line in summary::plan(outcome) {
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
pub fn answer(
    outcome: &Outcome,
    results: &[ResultFile],
    ci: &CiEnvironment,
    text: &str,
    console: &Console,
) -> Result<(), Error> {
    answer_on(&mut std::io::stdout().lock(), outcome, results, ci, text, console)
}

fn answer_on(
    stdout: &mut dyn Write,
    outcome: &Outcome,
    results: &[ResultFile],
    ci: &CiEnvironment,
    text: &str,
    console: &Console,
) -> Result<(), Error> {
    results::write_all(results, outcome)?;
    let told = tell_ci(outcome, ci, console).and_then(|()| stdout::print_on(stdout, text));
    if told.is_err() {
        results::withdraw(results, outcome.dry_run);
    }
    told
}

fn tell_ci(outcome: &Outcome, ci: &CiEnvironment, console: &Console) -> Result<(), Error> {
    if let Some(file) = &ci.github_output {
        github::append_outputs(file, outcome)?;
    }
    if let Some(file) = &ci.github_step_summary
        && let Err(error) = github::append_summary(file, outcome)
    {
        console.warn(&format!("the job summary is missing: {error}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::console::tests::captured;
    use super::files::tests::Folder;
    use super::*;

    /// What came of [`finish_on`], what stdout holds, and what stderr holds.
    fn run(outcome: &Outcome, results: &[ResultFile], ci: &CiEnvironment) -> (Result<(), Error>, String, String) {
        let (console, said) = captured(Verbosity::Normal, false);
        let mut stdout = Vec::new();
        let result = finish_on(&mut stdout, outcome, results, ci, OutputFormat::Text, &console);
        (result, String::from_utf8(stdout).unwrap(), said.text())
    }

    fn digest_in(folder: &Folder) -> [ResultFile; 1] {
        [ResultFile { key: ResultKey::Digest, path: folder.path("digest") }]
    }

    #[test]
    fn everybody_is_told() {
        let folder = Folder::new();
        let mut outcome = sample::single();
        outcome.warnings.push("beware".into());
        let ci = CiEnvironment {
            github_output: Some(folder.path("output")),
            github_step_summary: Some(folder.path("summary")),
            github_actions: true,
        };
        let (result, stdout, stderr) = run(&outcome, &digest_in(&folder), &ci);
        result.unwrap();
        assert_eq!(folder.names(), ["digest", "output", "summary"]);
        assert_eq!(stdout, format!("registry.example/team/app@{}\n", outcome.digest));
        assert_eq!(stderr, format!("warning: beware\n{}\n", summary(&outcome)));
    }

    #[test]
    fn a_step_that_fails_at_its_end_leaves_no_results_and_no_answer() {
        let folder = Folder::new();
        let ci = CiEnvironment { github_output: Some(folder.path("missing/output")), ..CiEnvironment::default() };
        let (result, stdout, _) = run(&sample::promoted(), &digest_in(&folder), &ci);
        result.unwrap_err();
        assert_eq!(stdout, "");
        assert!(folder.names().is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_lost_answer_is_a_failure() {
        let folder = Folder::new();
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (console, _) = captured(Verbosity::Quiet, false);
        let (results, ci) = (digest_in(&folder), CiEnvironment::default());
        finish_on(&mut full, &sample::single(), &results, &ci, OutputFormat::Json, &console).unwrap_err();
        assert!(folder.names().is_empty());
    }

    #[test]
    fn a_missing_job_summary_is_a_warning() {
        let folder = Folder::new();
        let ci = CiEnvironment { github_step_summary: Some(folder.path("missing/x")), ..CiEnvironment::default() };
        let (result, stdout, stderr) = run(&sample::single(), &[], &ci);
        result.unwrap();
        assert_eq!(stdout.lines().count(), 1);
        assert!(stderr.contains("\nwarning: the job summary is missing: write "), "{stderr}");
    }
}
