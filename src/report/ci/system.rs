//! Describes a CI system: how to detect it, how to mark lines in its log, where its outputs go.

use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;

use crate::error::Error;
use crate::report::console::Console;
use crate::report::failure::FailedStep;
use crate::report::inspection::Inspection;
use crate::report::level::LogStyle;
use crate::report::results::ResultFile;
use crate::report::subject::ReportSubject;

/// Looks up an environment variable.
pub(crate) type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A CI system. Each is one file of this folder.
#[derive(Debug, Clone, Copy)]
pub struct CiSystem {
    /// The name; a value of `--ci` if the system has outputs of its own.
    pub name: &'static str,
    /// The help text of `--ci NAME`.
    pub help: &'static str,
    /// The variables that identify this system: one of them is set.
    pub detect: &'static [&'static str],
    /// The variable and value that turn on debug logging for a whole run.
    pub debug: Option<(&'static str, &'static str)>,
    /// The variables that describe the source being built.
    pub source_variables: Option<SourceVariables>,
    /// How its log marks lines.
    pub log: LogStyle,
    /// Where its outputs go.
    pub outputs: Outputs,
}

/// Opens the outputs that an environment describes.
pub(super) type Opener = fn(Variable) -> Result<Rc<dyn OutputWriter>, Error>;

/// Where the outputs of a system go.
#[derive(Debug, Clone, Copy)]
pub enum Outputs {
    /// It has none that a program could write; use `--result`.
    None,
    /// The same as those of another system; `--ci` uses that one's name for both.
    Of(&'static CiSystem),
    /// Its own, if it is chosen by name.
    Own(Opener),
    /// Its own, if it is chosen by name, or detected and the environment says where.
    Unasked {
        /// Opens them if chosen by name.
        open: Opener,
        /// Opens them if detected.
        find: fn(Variable) -> Option<Rc<dyn OutputWriter>>,
    },
}

/// The variables that describe a source.
#[derive(Debug, Clone, Copy)]
pub struct SourceVariables {
    /// The URL of the repository: the values, joined by `/`.
    pub address: &'static [&'static str],
    /// The commit.
    pub commit: &'static str,
    /// The tag that is built, if one is.
    pub tag: &'static str,
    /// The variable and value that must be set for `tag` to be a tag.
    pub tag_if: Option<(&'static str, &'static str)>,
    /// Whether these variables only count if the commit is set too.
    pub needs_commit: bool,
}

/// Writes outputs for one CI system.
pub trait OutputWriter: std::fmt::Debug {
    /// Checks, before anything is written to a registry, whether outputs can be written.
    ///
    /// # Errors
    ///
    /// `ErrorKind::File` naming the file, or `ErrorKind::Usage` if the system's program is missing.
    fn preflight(&self) -> Result<(), Error>;

    /// Outputs that are a file of their own, which is written with the results: all of them or none.
    fn result_file(&self) -> Option<ResultFile>;

    /// Checks, before the first result is written, whether the outputs of `subject` can be written.
    ///
    /// # Errors
    ///
    /// A value that the system would change, or more than it accepts.
    fn check(&self, subject: ReportSubject) -> Result<(), Error>;

    /// Writes outputs and a summary.
    ///
    /// # Errors
    ///
    /// Outputs can't be written. A summary that can't be written is a warning: nothing depends on it.
    fn write(&self, subject: ReportSubject, console: &Console) -> Result<(), Error>;

    /// Writes a summary of a step that failed. Most systems show a job's log instead.
    fn write_failure(&self, _failed: &FailedStep, _console: &Console) {}

    /// Writes outputs and a summary of what an image is made of. Most systems have no outputs for that.
    ///
    /// # Errors
    ///
    /// As [`OutputWriter::write`].
    fn write_inspection(&self, _inspection: &Inspection, _console: &Console) -> Result<(), Error> {
        Ok(())
    }
}

impl PartialEq for CiSystem {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for CiSystem {}

impl CiSystem {
    /// Opens the outputs for `--ci NAME`; none if it has no outputs of its own.
    pub(super) fn opener(&self) -> Option<Opener> {
        match self.outputs {
            Outputs::Own(open) | Outputs::Unasked { open, .. } => Some(open),
            Outputs::None | Outputs::Of(_) => None,
        }
    }
}

/// The path in the variable `name`, which `--ci system` needs.
///
/// # Errors
///
/// `ErrorKind::Usage` if it is not set.
pub(super) fn place(system: &str, name: &str, variable: Variable) -> Result<PathBuf, Error> {
    path(name, variable).ok_or_else(|| {
        Error::usage(format!("--ci {system}: {name} is not set, so there is nowhere to write outputs"))
            .with_hint("run the step where it is set, or use --result KEY=FILE instead of --ci")
    })
}

/// The path in the variable `name`. An empty variable counts as unset.
pub(super) fn path(name: &str, variable: Variable) -> Option<PathBuf> {
    variable(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
