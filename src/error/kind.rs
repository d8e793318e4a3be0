//! What can go wrong: the text of each kind of error, its exit status, and its general hint.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::registry::RegistryError;
use super::{Error, ExitStatus, GuardKind};
use crate::image::digest::Digest;
use crate::text::{joined, printable};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum ErrorKind {
    /// The command line, or a value in it, makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A guard refused, and nothing was written.
    #[error("{text}")]
    Guard {
        /// Which guard.
        guard: GuardKind,
        /// What it found.
        text: String,
    },
    /// What a step was asked to read does not exist.
    #[error("{reference} does not exist: {answer}")]
    SourceMissing {
        /// The reference that was asked for.
        reference: String,
        /// Who said so, and in which words.
        answer: String,
    },
    /// A registry, or its token service, answered with an error.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// A host gave no answer: no connection, or a broken one.
    #[error("{operation}: {reason}")]
    Network {
        /// What was asked of whom (`GET https://…`), redacted.
        operation: String,
        /// What the network said.
        reason: String,
    },
    /// A host sent nothing, or next to nothing, for too long.
    #[error("{operation}: {reason}")]
    Silence {
        /// What was asked of whom, redacted.
        operation: String,
        /// How long there was silence, and where.
        reason: String,
        /// The time that was waited.
        waited: Duration,
    },
    /// A host's TLS can't be used. No retry cures that.
    #[error("{operation}: {reason}")]
    Tls {
        /// What was asked of whom, redacted.
        operation: String,
        /// What is wrong.
        trouble: TlsTrouble,
        /// What the library for TLS said.
        reason: String,
    },
    /// The step took longer than it may.
    #[error("not done within {limit} (--timeout); every tag is either unchanged or complete")]
    TimedOut {
        /// The limit, as it was given.
        limit: String,
    },
    /// A registry sent something that the specification does not allow.
    #[error("{operation}: {reason}")]
    Protocol {
        /// What was asked of whom.
        operation: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A registry answered with something that isn't a manifest of any kind.
    #[error("{what} answered with {answer}, which is not a manifest: {reason}")]
    NoManifest {
        /// What was asked for.
        what: String,
        /// The type and size of the answer.
        answer: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Bytes do not have the digest by which they were asked for.
    #[error("{what}: expected {expected}, the bytes are {actual}; they were not passed on")]
    DigestMismatch {
        /// The blob or manifest, and where it came from.
        what: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of the bytes that came.
        actual: Digest,
    },
    /// What a registry sent does not have the digest by which it was asked for, however often it was read.
    #[error("{what}: {}", readings(.expected, .found))]
    WrongBytes {
        /// The blob or manifest, and where it came from.
        what: String,
        /// The digest that the bytes should have.
        expected: Digest,
        /// What was found instead, at each reading.
        found: Vec<String>,
    },
    /// A manifest or a layout is not well formed, or is larger than the limit.
    #[error("{what}: {reason}")]
    Malformed {
        /// The manifest, index or layout.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A credentials file or helper is there but can't be used.
    #[error("{0}")]
    Credentials(String),
    /// A file could not be read or written.
    #[error("{}", file_text(action, path, source))]
    File {
        /// What was tried (`read`, `write`).
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Files can't become a layer.
    #[error("{0}")]
    LayerInput(String),
    /// A value can't be handed to a CI system.
    #[error("{0}")]
    CiOutput(String),
    /// The folder of the registry inside can't be used.
    #[error("{0}")]
    Storage(String),
    /// The operating system refused something that is no file.
    #[error("{what}: {source}")]
    System {
        /// What can't be done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A signal ended the step.
    #[error("interrupted by {0}; every tag is either unchanged or complete")]
    Interrupted(Signal),
    /// Some of several tags were written before one failed.
    #[error("{source} (these were written before: {written})")]
    Partly {
        /// The references that were written.
        written: String,
        /// What failed.
        source: Box<Error>,
    },
    /// What should not happen: a mistake in this program, or in a library.
    #[error("{}", joined(.0.chain()))]
    Internal(anyhow::Error),
}

/// What is wrong with a host's TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsTrouble {
    /// No trusted authority signed its certificate.
    UnknownAuthority,
    /// It shows an authority's certificate as its own.
    AuthorityCertificate,
    /// Its certificate is for other names.
    WrongName,
    /// Its certificate is not valid any more, or not yet.
    Expired,
    /// Its certificate is invalid for another reason.
    Certificate,
    /// It does not answer with TLS: most likely it serves plain HTTP.
    NoTls,
    /// It ended the handshake: no common version, or it wants a certificate of ours.
    Refused,
}

/// Whether readings of the same thing came out differently: then something on the way changes the bytes, and another
/// try may be better.
fn differ(found: &[String]) -> bool {
    found.windows(2).any(|two| two[0] != two[1])
}

fn readings(expected: &Digest, found: &[String]) -> String {
    match found {
        [] | [_] => {
            let found = found.first().map_or("other bytes", String::as_str);
            format!("expected {expected}, it is {found}; it was not passed on")
        }
        [first, ..] if !differ(found) => {
            let times = found.len();
            format!("read {times} times, and it is {first} each time instead of {expected}; it was not passed on")
        }
        _ => format!(
            "read {} times, and it came differently ({}) instead of {expected}; it was not passed on",
            found.len(),
            found.join(", ")
        ),
    }
}

/// A signal that asks the step to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGINT`, from a terminal.
    Interrupt,
    /// `SIGTERM`, from a CI system that cancels a job.
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

impl ErrorKind {
    pub(super) fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Usage(_) => ExitStatus::Usage,
            Self::Guard { .. } => ExitStatus::Guard,
            Self::SourceMissing { .. } => ExitStatus::SourceMissing,
            Self::Registry(error) => error.exit_status(),
            Self::Partly { source, .. } => source.exit_status(),
            Self::Network { .. } | Self::Silence { .. } | Self::TimedOut { .. } => ExitStatus::Temporary,
            Self::WrongBytes { found, .. } if differ(found) => ExitStatus::Temporary,
            Self::Interrupted(Signal::Interrupt) => ExitStatus::Interrupted,
            Self::Interrupted(Signal::Terminate) => ExitStatus::Terminated,
            Self::Protocol { .. }
            | Self::NoManifest { .. }
            | Self::Tls { .. }
            | Self::WrongBytes { .. }
            | Self::DigestMismatch { .. }
            | Self::Malformed { .. }
            | Self::Credentials(_)
            | Self::File { .. }
            | Self::LayerInput(_)
            | Self::CiOutput(_)
            | Self::Storage(_)
            | Self::System { .. }
            | Self::Internal(_) => ExitStatus::Failed,
        }
    }

    /// What to do about an error of this kind, where it was given no hint of its own.
    pub(super) fn hint(&self) -> Option<&str> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Partly { source, .. } => source.hint(),
            Self::WrongBytes { found, .. } if differ(found) => {
                Some("something on the way changes it, such as a proxy or a cache; run the same command again")
            }
            Self::WrongBytes { found, .. } if found.len() > 1 => {
                Some("what is stored there is damaged; push it there again")
            }
            Self::TimedOut { .. } | Self::Interrupted(_) => Some("run the same command again to resume"),
            Self::Internal(_) => Some("this is a bug in imgstep: report it with the log of --verbose"),
            _ => None,
        }
    }
}

fn file_text(action: &str, path: &Path, source: &std::io::Error) -> String {
    let path = printable(&path.to_string_lossy(), 500);
    if action.starts_with("read") && source.kind() == std::io::ErrorKind::NotFound {
        return format!("{path} does not exist");
    }
    let said = source.to_string();
    // The number of an error says nothing that its words don't.
    format!("{action} {path}: {}", said.split(" (os error").next().unwrap_or(&said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_bytes_are_damage_if_they_are_the_same_each_time() {
        let wrong = |found: &[&str]| {
            Error::from(ErrorKind::WrongBytes {
                what: "blob of r.example/app".to_owned(),
                expected: Digest::of(b""),
                found: found.iter().map(|&text| text.to_owned()).collect(),
            })
        };
        let same = wrong(&["sha256:1", "sha256:1", "sha256:1"]);
        assert!(same.to_string().contains("read 3 times"), "{same}");
        assert!(same.hint().unwrap().contains("damaged"), "{same:?}");
        assert_eq!(same.exit_status(), ExitStatus::Failed);
        let different = wrong(&["sha256:1", "only 5 bytes", "sha256:1"]);
        assert!(different.to_string().contains("(sha256:1, only 5 bytes, sha256:1)"), "{different}");
        assert!(different.hint().unwrap().contains("proxy"), "{different:?}");
        assert_eq!(different.exit_status(), ExitStatus::Temporary);
        let once = wrong(&["sha256:1"]);
        assert_eq!((once.exit_status(), once.hint()), (ExitStatus::Failed, None));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_in_words() {
        let told = |action, code| Error::file(action, "a/b")(std::io::Error::from_raw_os_error(code)).to_string();
        assert_eq!(told("read", 2), "a/b does not exist");
        assert_eq!(told("write", 2), "write a/b: No such file or directory");
        assert_eq!(told("read", 13), "read a/b: Permission denied");
    }
}
