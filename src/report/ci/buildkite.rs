//! Buildkite: meta-data of the build and an annotation on its page, by the agent's own program.

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Stdio};
use std::rc::Rc;

use super::system::{CiSystem, OutputWriter, Outputs, SourceVariables};
use crate::error::Error;
use crate::image::digest::Digest;
use crate::report::console::Console;
use crate::report::level::{self, Level, LogStyle};
use crate::report::results::ResultFile;
use crate::report::subject::{ReportScope, ReportSubject};
use crate::report::{markdown, values};
use crate::text::printable;

/// Buildkite.
pub(super) const SYSTEM: CiSystem = CiSystem {
    name: "buildkite",
    help: "Meta-data of the build",
    detect: &["BUILDKITE"],
    debug: None,
    source_variables: Some(SourceVariables {
        address: &["BUILDKITE_REPO"],
        commit: "BUILDKITE_COMMIT",
        tag: "BUILDKITE_TAG",
        tag_if: None,
        needs_commit: true,
    }),
    // A group ends where the next one starts, so it would swallow what follows the requests.
    log: LogStyle { mark: marked, one_text: false, group: None },
    outputs: Outputs::Own(|_| Ok(Rc::new(Agent))),
};

/// Maximum size of an annotation, in bytes.
const SUMMARY_LIMIT: usize = 1024 * 1024;

const AGENT: &str = "buildkite-agent";

/// The agent's program.
#[derive(Debug)]
struct Agent;

impl OutputWriter for Agent {
    fn preflight(&self) -> Result<(), Error> {
        run(&["--version"], "").map(drop)
    }

    fn result_file(&self) -> Option<ResultFile> {
        None
    }

    fn check(&self, _: ReportSubject) -> Result<(), Error> {
        Ok(())
    }

    fn write(&self, subject: ReportSubject, console: &Console) -> Result<(), Error> {
        set_meta_data(&values::outputs(subject)?)?;
        if !subject.is_plan()
            && let Err(error) = annotate(place(subject), &markdown::render(subject, SUMMARY_LIMIT))
        {
            console.warn(&format!("the build has no annotation: {error}"));
        }
        Ok(())
    }
}

/// Distinguishes a step from others in the build: its first destination.
fn place(subject: ReportSubject<'_>) -> &str {
    match (subject.destinations().next(), subject.scope) {
        (Some(destination), _) => &destination.reference,
        (None, ReportScope::Image(outcome)) => values::name(outcome),
        (None, ReportScope::List(_)) => "a list",
    }
}

/// An error expands its group, which is collapsed otherwise.
fn marked(level: Level, text: &str) -> String {
    let plain = level::plain(level, text);
    match level {
        Level::Warning => plain,
        Level::Error => format!("^^^ +++\n{plain}"),
    }
}

/// Sets the outputs as `imgstep-<name>`. Earlier values stay, since meta-data can't be removed.
///
/// # Errors
///
/// `ErrorKind::CiOutput` with what the agent said.
fn set_meta_data(outputs: &[(&str, String)]) -> Result<(), Error> {
    let set = |(name, value): &(&str, String)| {
        let key = format!("imgstep-{name}");
        let said = run(&["meta-data", "set", &key, value], "")?;
        // The agent then exits with 0, and a later step reads a different value. Only its log shows it.
        if said.contains("redacted") {
            let error = Error::ci_output(format!("{AGENT} changed the value of {key}, since it contains a secret"));
            return Err(error.with_hint("see BUILDKITE_REDACTED_VARS"));
        }
        Ok(())
    };
    // The agent refuses empty values, such as the tags of a result written by digest alone.
    outputs.iter().filter(|(_, value)| !value.is_empty()).try_for_each(set)
}

/// Shows `markdown` on the build's page, replacing what an earlier run showed for `place`.
///
/// # Errors
///
/// `ErrorKind::CiOutput` with what the agent said.
fn annotate(place: &str, markdown: &str) -> Result<(), Error> {
    let digest = Digest::of(place.as_bytes());
    let context = format!("imgstep-{}", &digest.as_str()["sha256:".len()..][..16]);
    run(&["annotate", "--style", "info", "--context", &context], markdown).map(drop)
}

/// Runs the agent's program; returns its stderr.
fn run(words: &[&str], input: &str) -> Result<String, Error> {
    let fail =
        |reason: String| Error::ci_output(format!("{AGENT} {}: {reason}", words[..words.len().min(3)].join(" ")));
    let mut command = Command::new(AGENT);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::usage(format!("--ci buildkite: {AGENT} is not in PATH"))
            .with_hint("run the step where the agent runs, or use --result KEY=FILE instead of --ci"),
        _ => fail(error.to_string()),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // If the agent doesn't read its input to the end, its exit status decides whether that is an error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| fail(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let last = said.trim().lines().last().unwrap_or("it said nothing");
    Err(fail(format!("{}: {}", output.status, printable(last, 500))))
}
