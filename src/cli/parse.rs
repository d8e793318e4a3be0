//! Parses arguments and environment into a step, or an error.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use super::args::{with_environment, without_empty_options};
use super::failure::FailureReporter;
use super::{Cli, operands, strict, suggestions};
use crate::error::Error;
use crate::report::console::Console;
use crate::text::printable;

/// Why the arguments can't be parsed.
#[derive(Debug)]
pub enum Wrong {
    /// An error of clap, or a request for help.
    Clap(Box<clap::Error>),
    /// An error of our own rules.
    Words(Error),
}

/// Parses the arguments of the process, in its environment.
///
/// # Errors
/// They are invalid.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, Wrong> {
    let words: Result<Vec<String>, OsString> = words.into_iter().map(OsString::into_string).collect();
    let words = words.map_err(|word| {
        Wrong::Words(Error::usage(format!("`{}` is not UTF-8", printable(&word.to_string_lossy(), 200))))
    })?;
    let mut matches = matches(words, &|variable| std::env::var(variable).ok())?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| Wrong::Clap(Box::new(error)))
}

/// Parses the values of all options and operands.
///
/// # Errors
/// The arguments are invalid.
pub fn matches(words: Vec<String>, variable: &dyn Fn(&str) -> Option<String>) -> Result<ArgMatches, Wrong> {
    let is_strict = strict::is_action_invocation(&words);
    let words = strict::checked(words).map_err(Wrong::Words)?;
    let command = with_environment(Cli::command(), variable);
    let mut words = without_empty_options(&command, words);
    // A Task's arguments are already in the right place.
    if !is_strict {
        words = operands::taken_back(&command, words).map_err(Wrong::Words)?;
    }
    if words.get(1).is_some_and(|word| word == "version") && words.len() == 2 {
        "--version".clone_into(&mut words[1]);
    }
    command.try_get_matches_from(words).map_err(|error| Wrong::Clap(Box::new(error)))
}

/// Help and version go to stdout with status 0, errors to stderr with status 2: like every other error, so that quoted
/// text can't contain commands for a CI system.
pub(crate) fn wrong(console: &Console, failing: &FailureReporter, error: &clap::Error) -> ExitCode {
    let text = suggestions::text(error);
    match text.strip_prefix("error: ") {
        Some(text) => failing.tell_usage(console, text),
        None => {
            let _ = error.print();
        }
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
