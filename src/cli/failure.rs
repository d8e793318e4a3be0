//! Reports a failed step: on stderr, as JSON on stdout if requested, and in GitHub's job summary.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::CommandFactory as _;

use super::args::variable;
use super::{Cli, Step};
use crate::error::Error;
use crate::report::ci::{Choice, Ci, Variable};
use crate::report::console::Console;
use crate::report::failure::{FailedRequest, FailedStep};
use crate::report::reporter::report_failure;
use crate::report::stdout::OutputFormat;

/// Where to report a failure, and the request.
pub(crate) struct FailureReporter {
    asked: FailedRequest,
    format: OutputFormat,
    ci: Ci,
}

impl FailureReporter {
    /// From arguments that haven't been parsed.
    pub(crate) fn of_words(words: &[OsString], value_of: Variable) -> Self {
        let named = words.get(1).and_then(|word| word.to_str());
        let step = named.filter(|word| Cli::command().find_subcommand(word).is_some()).map(str::to_owned);
        let is_json = last_value(words, "output", value_of).is_some_and(|form| form == "json");
        let format = if is_json { OutputFormat::Json } else { OutputFormat::Text };
        let is_told = last_value(words, "ci", value_of).is_none_or(|system| system != "none");
        let ci = Ci::new(if is_told { Choice::Auto } else { Choice::None }, value_of).unwrap_or_default();
        Self { asked: FailedRequest { step, ..FailedRequest::default() }, format, ci }
    }

    /// From a step whose arguments were parsed.
    pub(crate) fn of_step(step: &Step, ci: &Ci) -> Self {
        let options = step.options();
        let format = options.as_ref().map_or(OutputFormat::Text, |options| options.common.output.into());
        let asked = options.map_or_else(FailedRequest::default, |options| FailedRequest {
            step: Some(options.verb.name.to_owned()),
            source: options.source.map(str::to_owned),
            destinations: options.destinations,
        });
        Self { asked, format, ci: ci.clone() }
    }

    /// Reports the failure everywhere. Returns the exit status.
    pub(crate) fn tell(&self, console: &Console, error: &Error) -> ExitCode {
        console.failure(&error.to_string(), error.hint());
        self.tell_programs(console, &FailedStep::new(self.asked.clone(), error));
        ExitCode::from(error.exit_status() as u8)
    }

    /// Reports a parse error of clap; its usage text is for people only.
    pub(crate) fn tell_usage(&self, console: &Console, text: &str) {
        console.error(text);
        let message = text.split("\n\nUsage:").next().unwrap_or_default();
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        self.tell_programs(console, &FailedStep::usage(self.asked.clone(), &message));
    }

    fn tell_programs(&self, console: &Console, failed: &FailedStep) {
        if let Err(error) = report_failure(failed, &self.ci, self.format, console) {
            console.warn(&format!("the failure is on no standard output: {error}"));
        }
    }
}

/// The value of an option, the last of several, or of its variable, before arguments are parsed.
fn last_value(words: &[OsString], name: &str, value_of: Variable) -> Option<OsString> {
    let long = format!("--{name}");
    let options = words.iter().take_while(|word| *word != "--");
    let mut found = None;
    let mut awaited = false;
    for word in options {
        if std::mem::take(&mut awaited) {
            found = Some(word.clone());
        } else if word == OsStr::new(&long) {
            awaited = true;
        } else if let Some(value) = word.to_str().and_then(|word| word.strip_prefix(&long)?.strip_prefix('=')) {
            found = Some(value.into());
        }
    }
    found.or_else(|| value_of(&variable(name))).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn json_is_told_from_words_that_make_no_sense() {
        let none = |_: &str| None;
        for (line, json, step) in [
            ("imgstep promote --no-such --output json", true, Some("promote")),
            ("imgstep promote --output=json --output text", false, Some("promote")),
            ("imgstep promote -- --output json", false, Some("promote")),
            ("imgstep promotee --output=json", true, None),
            ("imgstep tag --output", false, Some("tag")),
        ] {
            let failing = FailureReporter::of_words(&words(line), &none);
            assert_eq!((failing.format == OutputFormat::Json, failing.asked.step.as_deref()), (json, step), "{line}");
        }
        let variables = |name: &str| (name == "IMGSTEP_OUTPUT").then(|| OsString::from("json"));
        let format = |line: &str| FailureReporter::of_words(&words(line), &variables).format;
        assert_eq!(format("imgstep promote"), OutputFormat::Json);
        assert_eq!(format("imgstep promote --output text"), OutputFormat::Text);
    }

    #[test]
    fn no_ci_is_told_where_none_is_wished() {
        let variables = |name: &str| (name == "GITHUB_STEP_SUMMARY").then(|| OsString::from("/tmp/summary"));
        let has_outputs = |line: &str| FailureReporter::of_words(&words(line), &variables).ci.has_outputs();
        assert!(has_outputs("imgstep promote"));
        assert!(!has_outputs("imgstep promote --ci none"));
        assert!(!has_outputs("imgstep promote --ci=none"));
    }
}
