//! Errors of the whole library: what went wrong, what to do about it, and the exit status that this becomes.

mod guard;
mod kind;
pub mod registry;

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use self::guard::GuardKind;
pub use self::kind::{ErrorKind, Signal, TlsTrouble};
use self::registry::RegistryError;
pub use crate::exit_status::ExitStatus;
use crate::image::digest::Digest;

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and a hint what to do about it.
///
/// Both are lower-case fragments without a final stop: the text reads after `error: `, the hint after `hint: `. The text
/// alone is what `Display` writes.
#[derive(Debug)]
pub struct Error(Box<ErrorParts>);

#[derive(Debug)]
struct ErrorParts {
    kind: ErrorKind,
    hint: Option<String>,
}

impl Error {
    /// The command line, or a value in it, makes no sense.
    pub fn usage(text: impl Into<String>) -> Self {
        ErrorKind::Usage(text.into()).into()
    }

    /// A guard refused, and nothing was written.
    pub fn guard(guard: GuardKind, text: impl Into<String>) -> Self {
        ErrorKind::Guard { guard, text: text.into() }.into()
    }

    /// A registry sent something that the specification does not allow.
    pub fn protocol(operation: impl Into<String>, reason: impl Into<String>) -> Self {
        ErrorKind::Protocol { operation: operation.into(), reason: reason.into() }.into()
    }

    /// A host gave no answer.
    pub fn network(operation: impl Into<String>, reason: impl Into<String>) -> Self {
        ErrorKind::Network { operation: operation.into(), reason: reason.into() }.into()
    }

    /// A manifest or a layout is not well formed, or is larger than the limit.
    pub fn malformed(what: impl Into<String>, reason: impl Into<String>) -> Self {
        ErrorKind::Malformed { what: what.into(), reason: reason.into() }.into()
    }

    /// An index lists a manifest that its repository or layout `what` doesn't have.
    pub fn sparse_index(what: impl Into<String>, child: &Digest) -> Self {
        Self::malformed(what, format!("the manifest {child} of its index is missing (a sparse index)"))
    }

    /// A credentials file or helper is there but can't be used.
    pub fn credentials(text: impl Into<String>) -> Self {
        ErrorKind::Credentials(text.into()).into()
    }

    /// Files can't become a layer.
    pub fn layer_input(text: impl Into<String>) -> Self {
        ErrorKind::LayerInput(text.into()).into()
    }

    /// A value can't be handed to a CI system.
    pub fn ci_output(text: impl Into<String>) -> Self {
        ErrorKind::CiOutput(text.into()).into()
    }

    /// The folder of the registry inside can't be used.
    pub fn storage(text: impl Into<String>) -> Self {
        ErrorKind::Storage(text.into()).into()
    }

    /// What should not happen, with its causes. In a function that returns [`Result`], `anyhow`'s `context` and `?` make
    /// one too.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        ErrorKind::Internal(cause.into()).into()
    }

    /// What should not happen and has no cause that could be told.
    pub fn bug(text: impl Into<String>) -> Self {
        Self::internal(anyhow::Error::msg(text.into()))
    }

    /// A file error, for `map_err`.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| ErrorKind::File { action, path, source }.into()
    }

    /// An error of the operating system about something that is no file, for `map_err`.
    pub fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| ErrorKind::System { what, source }.into()
    }

    /// The same error as one about an option, or about a line of a list.
    #[must_use]
    pub fn in_option(self, option: impl fmt::Display) -> Self {
        self.map_kind(|kind| ErrorKind::Usage(format!("{option}: {kind}")))
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref().or_else(|| self.0.kind.hint())
    }

    /// The same error with a hint what to do about it, in place of any that it has.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error with another text or of another kind; its hint stays.
    #[must_use]
    pub fn map_kind(self, change: impl FnOnce(ErrorKind) -> ErrorKind) -> Self {
        let ErrorParts { kind, hint } = *self.0;
        Self(Box::new(ErrorParts { kind: change(kind), hint }))
    }

    /// Text and hint in one line.
    pub fn one_line(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self}; {hint}"),
            None => self.to_string(),
        }
    }

    /// The exit status that this error ends the process with.
    pub fn exit_status(&self) -> ExitStatus {
        self.0.kind.exit_status()
    }

    /// The registry's answer, if that is what went wrong.
    pub fn registry(&self) -> Option<&RegistryError> {
        match self.kind() {
            ErrorKind::Registry(error) => Some(error),
            _ => None,
        }
    }

    /// Whether no complete answer came, which another try may change.
    pub fn is_network(&self) -> bool {
        matches!(self.kind(), ErrorKind::Network { .. } | ErrorKind::Silence { .. })
    }

    /// The time for which a host sent nothing.
    pub fn silence(&self) -> Duration {
        match self.kind() {
            ErrorKind::Silence { waited, .. } => *waited,
            _ => Duration::ZERO,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.kind.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.kind.source()
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(ErrorParts { kind, hint: None }))
    }
}

impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        ErrorKind::Registry(Box::new(error)).into()
    }
}

impl From<anyhow::Error> for Error {
    /// An error of ours that was given context stays what it is: its exit status counts.
    fn from(error: anyhow::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::internal)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_unexpected_error_is_printed_with_each_cause_once() {
        let parse = || -> Result<u8> { Ok("x".parse::<u8>().context("the first").context("the second: the first")?) };
        let error = parse().unwrap_err();
        assert_eq!(error.to_string(), "the second: the first: invalid digit found in string");
        assert_eq!(error.exit_status(), ExitStatus::Failed);
        assert!(error.one_line().contains("; this is a bug in imgstep"), "{}", error.one_line());
    }

    #[test]
    fn context_hides_no_exit_status() {
        let refuse = || -> Result<()> { Err(Error::usage("no tag").with_hint("name one")).context("elsewhere")? };
        let error = refuse().unwrap_err();
        assert_eq!(error.exit_status(), ExitStatus::Usage);
        assert_eq!(error.one_line(), "no tag; name one");
    }

    #[test]
    fn an_error_is_as_small_as_a_pointer() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
