//! What a CI system is: how it is detected, how its log is marked, where it takes outputs.

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

/// Looks up a variable of the environment.
pub(crate) type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A CI system. Each is one file of this folder.
#[derive(Debug, Clone, Copy)]
pub struct CiSystem {
    /// The name, which `--ci` takes if the system has outputs of its own.
    pub name: &'static str,
    /// What `--ci NAME` stands for, in the help.
    pub help: &'static str,
    /// The variables that show that this system runs us: any one that is set.
    pub detect: &'static [&'static str],
    /// The variable and value by which a user asks for debug logging of a whole run.
    pub debug: Option<(&'static str, &'static str)>,
    /// The variables that name the source it builds.
    pub source_variables: Option<SourceVariables>,
    /// How its log marks lines.
    pub log: LogStyle,
    /// Where it takes outputs.
    pub outputs: Outputs,
}

/// Opens the place for outputs that an environment names.
pub(super) type Opener = fn(Variable) -> Result<Rc<dyn OutputWriter>, Error>;

/// Where a system takes outputs.
#[derive(Debug, Clone, Copy)]
pub enum Outputs {
    /// Nowhere, or nowhere that a program can write to: `--result` serves there.
    None,
    /// Where this other system does, by whose name `--ci` knows both.
    Of(&'static CiSystem),
    /// At a place of its own, if that was asked for by name.
    Own(Opener),
    /// At a place of its own, by name; and unasked too if the environment names the place.
    Unasked {
        /// By name.
        open: Opener,
        /// Unasked.
        find: fn(Variable) -> Option<Rc<dyn OutputWriter>>,
    },
}

/// The variables that name a source.
#[derive(Debug, Clone, Copy)]
pub struct SourceVariables {
    /// The address of the repository: the values, with `/` between.
    pub address: &'static [&'static str],
    /// The commit.
    pub commit: &'static str,
    /// The tag that is built, if one is.
    pub tag: &'static str,
    /// The variable and value without which `tag` is something else.
    pub tag_if: Option<(&'static str, &'static str)>,
    /// Whether the commit must be set too for these variables to count.
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
    /// A value that the system would change, or more than it takes.
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
    /// Opens the outputs that `--ci NAME` asks for; none if it has no outputs of its own.
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

/// The path in the variable `name`. A variable that is empty is not set.
pub(super) fn path(name: &str, variable: Variable) -> Option<PathBuf> {
    variable(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
