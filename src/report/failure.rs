//! A step that failed, as data: its JSON form on stdout, and its job summary. It has no result files and no outputs.

use serde::Serialize;

use crate::error::Error;

/// What a failed step tells instead of a report.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedStep {
    /// The version of the schema: 1.
    pub schema_version: u32,
    /// What was asked, as far as the command line could be read.
    #[serde(flatten)]
    pub asked: StepRequest,
    /// Why it failed.
    pub error: Reason,
}

/// What a step was asked to do, in the user's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRequest {
    /// The step's name; none if the command line names no step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What it was to read, if that is one image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it was to write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<String>,
}

/// Why a step failed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// The kind of error, for programs.
    pub kind: &'static str,
    /// The exit status.
    pub status: u8,
    /// The message, as it is on stderr.
    pub message: String,
    /// The image that it is about, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl FailedStep {
    /// Of `error`, told as `message`.
    pub fn new(asked: StepRequest, error: &Error, message: &str) -> Self {
        let reference = match error {
            Error::SourceMissing { reference, .. } => Some(reference.clone()),
            _ => None,
        };
        let (kind, status) = (kind(error), error.exit_status() as u8);
        Self { schema_version: 1, asked, error: Reason { kind, status, message: message.to_owned(), reference } }
    }

    /// Of words that make no sense.
    pub fn usage(asked: StepRequest, message: &str) -> Self {
        Self::new(asked, &Error::Usage(message.to_owned()), message)
    }
}

/// The kinds that programs tell errors by. One is added where somebody has to act otherwise upon it.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::Usage(_) => "usage",
        Error::Guard(_) => "guard",
        Error::SourceMissing { .. } => "sourceMissing",
        Error::Registry(_) => "registry",
        Error::Network { .. } | Error::Silence { .. } => "network",
        Error::Tls { .. } => "tls",
        Error::TimedOut { .. } => "timeout",
        Error::DigestMismatch { .. } | Error::WrongBytes { .. } => "digestMismatch",
        Error::Credentials(_) => "credentials",
        Error::File { .. } => "file",
        Error::Interrupted(_) => "interrupted",
        Error::Partly { source, .. } => kind(source),
        Error::Protocol { .. } | Error::Malformed { .. } | Error::NoManifest { .. } => "malformed",
        Error::Other(_) => "other",
    }
}

/// What an exit status means, for people.
pub(super) fn meaning(status: u8) -> &'static str {
    match status {
        2 => "the command line is wrong",
        3 => "a guard said no, and nothing was written",
        4 => "the credentials were refused",
        5 => "the source does not exist",
        6 => "the registry or the network failed in a way that a retry may cure",
        130 | 143 => "a signal ended it",
        _ => "it failed, and the same command would fail again",
    }
}
