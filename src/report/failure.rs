//! A failed step as data: its JSON on stdout and its job summary. It has no result files and no outputs.

use serde::Serialize;

use crate::error::{Error, ErrorKind, GuardKind};

/// The report of a failed step.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedStep {
    /// The version of the schema: 1.
    pub schema_version: u32,
    /// The request, as far as the command line could be parsed.
    #[serde(flatten)]
    pub asked: FailedRequest,
    /// Why it failed.
    pub error: Reason,
}

/// The request of a step, in the user's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedRequest {
    /// The step's name; none if the command line names no step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The source, if it is a single image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The destinations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<String>,
}

/// Why a step failed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// The kind of error, for programs.
    pub kind: &'static str,
    /// Which guard refused, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<&'static str>,
    /// The exit status.
    pub status: u8,
    /// The message, as on stderr.
    pub message: String,
    /// The hint, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The image that it is about, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Reason {
    /// Message and hint in one line.
    pub(super) fn one_line(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}; {hint}", self.message),
            None => self.message.clone(),
        }
    }
}

impl From<&Error> for Reason {
    fn from(error: &Error) -> Self {
        let reference = match error.kind() {
            ErrorKind::SourceMissing { reference, .. } => Some(reference.clone()),
            _ => None,
        };
        Self {
            kind: kind(error),
            guard: guard(error).map(GuardKind::name),
            status: error.exit_status() as u8,
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
            reference,
        }
    }
}

impl FailedStep {
    /// Of `error`.
    pub fn new(asked: FailedRequest, error: &Error) -> Self {
        Self { schema_version: 1, asked, error: error.into() }
    }

    /// A failure to parse the command line.
    pub fn usage(asked: FailedRequest, message: &str) -> Self {
        Self::new(asked, &Error::usage(message))
    }
}

/// The kinds of errors for programs. A kind is added when a program has to handle it differently.
fn kind(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Usage(_) => "usage",
        ErrorKind::Guard { .. } => "guard",
        ErrorKind::SourceMissing { .. } => "sourceMissing",
        ErrorKind::Registry(_) => "registry",
        ErrorKind::Network { .. } | ErrorKind::Silence { .. } => "network",
        ErrorKind::Tls { .. } => "tls",
        ErrorKind::TimedOut { .. } => "timeout",
        ErrorKind::DigestMismatch { .. } | ErrorKind::WrongBytes { .. } => "digestMismatch",
        ErrorKind::Credentials(_) => "credentials",
        ErrorKind::File { .. } => "file",
        ErrorKind::LayerInput(_) => "layerInput",
        ErrorKind::CiOutput(_) => "ciOutput",
        ErrorKind::Interrupted(_) => "interrupted",
        ErrorKind::Partly { source, .. } => kind(source),
        ErrorKind::Protocol { .. } | ErrorKind::Malformed { .. } | ErrorKind::NoManifest { .. } => "malformed",
        ErrorKind::Storage(_) | ErrorKind::System { .. } => "system",
        ErrorKind::Internal(_) => "internal",
    }
}

fn guard(error: &Error) -> Option<GuardKind> {
    match error.kind() {
        ErrorKind::Guard { guard, .. } => Some(*guard),
        ErrorKind::Partly { source, .. } => guard(source),
        _ => None,
    }
}

/// The meaning of an exit status.
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
