//! One vocabulary of errors for the whole library, and the exit status each becomes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::image::digest::Digest;
use crate::registry::error::RegistryError;

/// What went wrong, told so that a user knows whom was asked, what the answer was and what to do next.
///
/// Messages are lower-case fragments without a final stop, so that they read after `error: `.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The words of the command line, or a value among them, make no sense.
    #[error("{0}")]
    Usage(String),
    /// A guard that the user set said no, and nothing was written.
    #[error("{0}")]
    Guard(String),
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
    Registry(#[from] Box<RegistryError>),
    /// No answer could be had from a host: no connection, or a broken one.
    #[error("{operation}: {reason}")]
    Network {
        /// What was asked of whom (`GET https://…`), redacted.
        operation: String,
        /// What the network said.
        reason: String,
    },
    /// A host said nothing, or next to nothing, for as long as is borne.
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
    #[error(
        "not done within {limit} (--timeout); no tag was moved half-way, and the same command goes on where it stopped"
    )]
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
    /// A registry answered with what is no manifest of any kind.
    #[error("{what} answered with {answer}, which is no manifest: {reason}")]
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
    #[error("{what}: {}", told_of_readings(.expected, .found))]
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
    #[error("{}", of_file(action, path, source))]
    File {
        /// What was tried (`read`, `write`).
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A signal ended the step.
    #[error("ended by {0}; no tag was moved half-way, and the same command goes on where it stopped")]
    Interrupted(Signal),
    /// Some of several tags were written before one failed.
    #[error("{source} (these were written before: {written})")]
    Partly {
        /// The references that were written.
        written: String,
        /// What failed.
        source: Box<Error>,
    },
    /// Anything else that can't be cured by the user's words.
    #[error("{0}")]
    Other(String),
}

/// What is wrong with a host's TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsTrouble {
    /// Nobody that is trusted vouches for its certificate.
    UnknownAuthority,
    /// Its certificate is for other names.
    WrongName,
    /// Its certificate is not valid any more, or not yet.
    Expired,
    /// Its certificate is no good for another reason.
    Certificate,
    /// What answers does not speak TLS: most likely it speaks plain HTTP.
    NoTls,
    /// It ended the handshake: no common version, or it wants a certificate of ours.
    Refused,
}

/// Whether readings of the same thing came out differently: then something on the way changes the bytes, and another
/// try may be better.
fn differ(found: &[String]) -> bool {
    found.windows(2).any(|two| two[0] != two[1])
}

fn told_of_readings(expected: &Digest, found: &[String]) -> String {
    match found {
        [] | [_] => {
            let found = found.first().map_or("other bytes", String::as_str);
            format!("expected {expected}, it is {found}; it was not passed on")
        }
        [first, ..] if !differ(found) => format!(
            "read {} times, and it is {first} each time instead of {expected}: what is stored there is damaged, push it \
             there again; it was not passed on",
            found.len()
        ),
        _ => format!(
            "read {} times, and it came differently ({}) instead of {expected}: something on the way changes it, such as a \
             proxy or a cache; it was not passed on, run the same command again",
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

/// The process exit status: documented and stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A guard said no and nothing was written.
    Guard = 3,
    /// Credentials were refused.
    Credentials = 4,
    /// The source does not exist.
    SourceMissing = 5,
    /// The registry or the network failed in a way that a retry may cure.
    Temporary = 6,
    /// Ended by `SIGINT` (128 + 2, as shells report it).
    Interrupted = 130,
    /// Ended by `SIGTERM` (128 + 15).
    Terminated = 143,
}

impl Error {
    /// The exit status that this error ends the process with.
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Usage(_) => ExitStatus::Usage,
            Self::Guard(_) => ExitStatus::Guard,
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
            | Self::Other(_) => ExitStatus::Failed,
        }
    }

    /// Whether no whole answer came, which another try may change.
    pub fn is_network(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::Silence { .. })
    }

    /// The time for which a host said nothing.
    pub fn silence(&self) -> Duration {
        match self {
            Self::Silence { waited, .. } => *waited,
            _ => Duration::ZERO,
        }
    }

    /// A file error, for `map_err`.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

fn of_file(action: &str, path: &Path, source: &std::io::Error) -> String {
    let path = printable(&path.to_string_lossy(), 500);
    if action.starts_with("read") && source.kind() == std::io::ErrorKind::NotFound {
        return format!("{path} is not there");
    }
    let said = source.to_string();
    // The number of an error says nothing that its words don't.
    format!("{action} {path}: {}", said.split(" (os error").next().unwrap_or(&said))
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Text from a registry, made safe for a terminal and for a CI log: our own logins are masked, should it hold them, and it
/// is [`escaped`].
pub fn printable(text: &str, limit: usize) -> String {
    escaped(&crate::mask::masked(text), limit)
}

/// Control characters are escaped, so that a text can neither move a cursor nor speak a workflow command on a line of its
/// own; the commands that GitHub's runner, Azure's agent and TeamCity read anywhere in a line are broken; and it is cut
/// after `limit` characters.
pub fn escaped(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == limit {
            out.push('…');
            break;
        }
        if is_unsafe_to_print(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    without_commands(out)
}

/// `##[command]`, `##vso[command]` and `##teamcity[command]` count anywhere in a line.
fn without_commands(text: String) -> String {
    if !text.contains("##") {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut characters = text.chars().peekable();
    let mut before = None;
    while let Some(character) = characters.next() {
        let begins = characters.peek().is_some_and(|next| next.is_alphanumeric() || *next == '[');
        if character == '#' && before == Some('#') && begins {
            out.push(' ');
        }
        out.push(character);
        before = Some(character);
    }
    out
}

/// Control characters, line separators, and what turns the direction of text or can't be seen.
pub fn is_unsafe_to_print(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_bytes_are_damage_if_they_are_the_same_each_time() {
        let wrong = |found: &[&str]| Error::WrongBytes {
            what: "blob of r.example/app".to_owned(),
            expected: Digest::of(b""),
            found: found.iter().map(|&text| text.to_owned()).collect(),
        };
        let same = wrong(&["sha256:1", "sha256:1", "sha256:1"]);
        assert!(same.to_string().contains("read 3 times") && same.to_string().contains("damaged"), "{same}");
        assert_eq!(same.exit_status(), ExitStatus::Failed);
        let different = wrong(&["sha256:1", "only 5 bytes", "sha256:1"]);
        assert!(different.to_string().contains("(sha256:1, only 5 bytes, sha256:1)"), "{different}");
        assert_eq!(different.exit_status(), ExitStatus::Temporary);
        assert_eq!(wrong(&["sha256:1"]).exit_status(), ExitStatus::Failed);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_in_words() {
        let told = |action, code| Error::file(action, "a/b")(std::io::Error::from_raw_os_error(code)).to_string();
        assert_eq!(told("read", 2), "a/b is not there");
        assert_eq!(told("write", 2), "write a/b: No such file or directory");
        assert_eq!(told("read", 13), "read a/b: Permission denied");
    }

    #[test]
    fn text_of_a_registry_stays_on_its_line() {
        assert_eq!(printable("denied\n::set-output name=x::y", 100), "denied\\n::set-output name=x::y");
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c", 100), "a\\u{1b}[2Jb\\u{202e}c");
        assert_eq!(printable("a ##vso[task.complete]b", 100), "a # #vso[task.complete]b");
        assert_eq!(printable("###[error]", 100), "## #[error]");
        assert_eq!(printable("a ##teamcity[buildStatus]", 100), "a # #teamcity[buildStatus]");
        assert_eq!(printable("## Heading, #1, ##", 100), "## Heading, #1, ##");
        assert_eq!(printable("a\u{200b}b\u{ad}c\u{61c}d\u{e0041}", 100), "a\\u{200b}b\\u{ad}c\\u{61c}d\\u{e0041}");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("café ✓", 100), "café ✓");
    }
}
