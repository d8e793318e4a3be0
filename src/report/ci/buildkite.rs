//! Buildkite: meta-data of the build and an annotation at its page, by the agent's own program.

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::image::digest::Digest;
use crate::text::printable;

/// The most that Buildkite takes as one annotation, in bytes.
pub(super) const SUMMARY_LIMIT: usize = 1024 * 1024;

const AGENT: &str = "buildkite-agent";

/// Sees whether the agent's program is here.
///
/// # Errors
///
/// `ErrorKind::Usage` if it is not.
pub(super) fn preflight() -> Result<(), Error> {
    run(&["--version"], "").map(drop)
}

/// Sets the outputs as `imgstep-<name>`. What was set stays, since meta-data can't be removed.
///
/// # Errors
///
/// `ErrorKind::CiOutput` with what the agent said.
pub(super) fn set_meta_data(outputs: &[(&str, String)]) -> Result<(), Error> {
    let set = |(name, value): &(&str, String)| {
        let key = format!("imgstep-{name}");
        let said = run(&["meta-data", "set", &key, value], "")?;
        // The agent succeeds then, and a later step reads another value. Its log is all that tells.
        if said.contains("redacted") {
            let error = Error::ci_output(format!("{AGENT} changed the value of {key}, since it contains a secret"));
            return Err(error.with_hint("see BUILDKITE_REDACTED_VARS"));
        }
        Ok(())
    };
    // The agent refuses empty values: there are no tags of what was written by digest alone.
    outputs.iter().filter(|(_, value)| !value.is_empty()).try_for_each(set)
}

/// Shows `markdown` at the build's page, in the place of what an earlier run showed of `subject`.
///
/// # Errors
///
/// `ErrorKind::CiOutput` with what the agent said.
pub(super) fn annotate(subject: &str, markdown: &str) -> Result<(), Error> {
    let digest = Digest::of(subject.as_bytes());
    let context = format!("imgstep-{}", &digest.as_str()["sha256:".len()..][..16]);
    run(&["annotate", "--style", "info", "--context", &context], markdown).map(drop)
}

/// Runs the agent's program; what it said on stderr.
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
        // An agent that doesn't read its input to the end says by its status whether that is an error.
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
