//! CircleCI: lines appended to `$BASH_ENV`, which the shell of every later step of the job sources.

use std::path::PathBuf;
use std::rc::Rc;

use super::system::{self, CiSystem, OutputWriter, Outputs, SourceVariables};
use crate::error::Error;
use crate::report::console::Console;
use crate::report::level::LogStyle;
use crate::report::results::ResultFile;
use crate::report::subject::ReportSubject;
use crate::report::{files, values};

/// CircleCI.
pub(super) const SYSTEM: CiSystem = CiSystem {
    name: "circleci",
    help: "$BASH_ENV",
    detect: &["CIRCLECI"],
    debug: None,
    source_variables: Some(SourceVariables {
        address: &["CIRCLE_REPOSITORY_URL"],
        commit: "CIRCLE_SHA1",
        tag: "CIRCLE_TAG",
        tag_if: None,
        needs_commit: true,
    }),
    log: LogStyle::PLAIN,
    outputs: Outputs::Own(|variable| Ok(Rc::new(Shell(system::place("circleci", "BASH_ENV", variable)?)))),
};

/// The file that the shell of every later step sources.
#[derive(Debug)]
struct Shell(PathBuf);

impl OutputWriter for Shell {
    fn preflight(&self) -> Result<(), Error> {
        files::preflight(&self.0)
    }

    fn result_file(&self) -> Option<ResultFile> {
        None
    }

    fn check(&self, _: ReportSubject) -> Result<(), Error> {
        Ok(())
    }

    fn write(&self, subject: ReportSubject, _: &Console) -> Result<(), Error> {
        let variables = values::variables(subject)?;
        if variables.is_empty() { Ok(()) } else { files::append(&self.0, &exports(&variables)) }
    }
}

fn exports(variables: &[(&str, String)]) -> String {
    let export = |(name, value): &(&str, String)| format!("export {name}={}\n", quoted(value));
    variables.iter().map(export).collect::<Vec<_>>().concat()
}

/// Quotes a text for a shell: within single quotes only a single quote is special.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_shell_reads_what_was_written() {
        let mut outcome = sample::single();
        let name = "oci:it's \"$(touch /nowhere)\" `id`\\ $HOME\n;x";
        outcome.destinations[0].name = name.to_owned();
        let exports = exports(&values::variables(sample::subject(&outcome)).unwrap());
        let script = format!("{exports}printf %s \"$IMGSTEP_NAME\"");
        let run = std::process::Command::new("sh").args(["-euc", &script]).output().unwrap();
        assert_eq!(String::from_utf8(run.stdout).unwrap(), name);
        assert!(exports.starts_with("export IMGSTEP_DIGEST='sha256:"));
    }
}
