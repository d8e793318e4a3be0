//! Azure Pipelines: logging commands, `##vso[area.action properties]data`.
//!
//! The agent reads them from everything that a step prints; its script tasks merge stderr into stdout. Ours go to
//! stderr, since stdout is for the step's result alone.

use std::rc::Rc;

use super::system::{CiSystem, OutputWriter, Outputs, SourceVariables};
use crate::error::Error;
use crate::report::console::Console;
use crate::report::level::{GROUP_TITLE, Level, LogStyle};
use crate::report::results::ResultFile;
use crate::report::subject::ReportSubject;
use crate::report::values;

/// Azure Pipelines.
pub(super) const SYSTEM: CiSystem = CiSystem {
    name: "azure",
    help: "Output variables",
    detect: &["TF_BUILD"],
    debug: None,
    source_variables: Some(SourceVariables {
        address: &["BUILD_REPOSITORY_URI"],
        commit: "BUILD_SOURCEVERSION",
        tag: "",
        tag_if: None,
        needs_commit: true,
    }),
    log: LogStyle {
        mark: issue,
        one_text: true,
        group: Some(|_| (format!("##[group]{GROUP_TITLE}"), "##[endgroup]".to_owned())),
    },
    outputs: Outputs::Own(|_| Ok(Rc::new(Commands))),
};

/// Escapes for characters that end a property or a line, as the agent defines them.
const ESCAPES: [(&str, &str); 4] = [(";", "%3B"), ("\r", "%0D"), ("\n", "%0A"), ("]", "%5D")];

/// Writes commands to stderr.
#[derive(Debug)]
struct Commands;

impl OutputWriter for Commands {
    fn preflight(&self) -> Result<(), Error> {
        Ok(())
    }

    fn result_file(&self) -> Option<ResultFile> {
        None
    }

    fn check(&self, subject: ReportSubject) -> Result<(), Error> {
        commands(subject).map(drop)
    }

    fn write(&self, subject: ReportSubject, console: &Console) -> Result<(), Error> {
        commands(subject)?.iter().for_each(|line| console.command(line));
        Ok(())
    }
}

/// The commands that set the step's output variables.
///
/// # Errors
///
/// `ErrorKind::CiOutput` for a value that the agent would change.
fn commands(subject: ReportSubject) -> Result<Vec<String>, Error> {
    values::outputs(subject)?.iter().map(|(name, value)| variable(name, value)).collect()
}

fn variable(name: &str, value: &str) -> Result<String, Error> {
    let escaped = escape(value);
    // Not every agent unescapes a percent sign, and `$(x)` is expanded where the variable is used.
    if unescape(&escaped) != value || value.contains("%AZP25") || value.contains("$(") {
        let error = Error::ci_output(format!("Azure Pipelines would change the output `{name}`, {value:?}"));
        return Err(error.with_hint("use --result KEY=FILE instead of --ci"));
    }
    Ok(format!("##vso[task.setvariable variable={name};isoutput=true]{escaped}"))
}

/// A command that shows `message` on the run's page.
fn issue(level: Level, message: &str) -> String {
    format!("##vso[task.logissue type={}]{}", level.name(), escape(message))
}

fn escape(text: &str) -> String {
    ESCAPES.iter().fold(text.to_owned(), |text, (token, written)| text.replace(token, written))
}

/// How the agent reads it.
fn unescape(text: &str) -> String {
    ESCAPES.iter().fold(text.to_owned(), |text, (token, written)| text.replace(written, token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn outputs_are_commands() {
        let outcome = sample::promoted();
        let lines = commands(sample::subject(&outcome)).unwrap();
        let index = sample::digest("index");
        assert_eq!(lines[0], format!("##vso[task.setvariable variable=digest;isoutput=true]{index}"));
        assert!(
            lines.contains(&format!(
                "##vso[task.setvariable variable=ref;isoutput=true]registry.example/team/app@{index}"
            ))
        );
        let tags = "registry.example/team/app:v1,registry.example/team/app:latest,mirror.example/app:v1";
        assert!(lines.contains(&format!("##vso[task.setvariable variable=tags;isoutput=true]{tags}")));
    }

    #[test]
    fn a_value_comes_out_as_it_went_in_or_is_refused() {
        let value = "oci:a b; c] ##vso[task.complete]x 100%\r\n";
        let line = variable("name", value).unwrap();
        let data = line.strip_prefix("##vso[task.setvariable variable=name;isoutput=true]").unwrap();
        assert_eq!(unescape(data), value);
        assert_eq!(line.lines().count(), 1);
        for value in ["oci:%3B", "oci:%5D", "oci:%0a%0A", "oci:%AZP25", "oci:$(System.AccessToken)"] {
            let error = variable("name", value).unwrap_err().to_string();
            assert!(error.starts_with("Azure Pipelines would change the output `name`"), "{error}");
        }
    }
}
