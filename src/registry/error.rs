//! A registry's own words for what went wrong, and what a user may do about it.
//!
//! Distribution specification, "Error Codes".

use std::fmt;

use serde::Deserialize;

use crate::error::{Error, ExitStatus, printable};

/// An answer of a registry or of its token service that is an error.
#[derive(Debug, Clone)]
pub struct RegistryError {
    /// What was asked, redacted: `PUT manifest v1 of registry.example/app`.
    pub operation: String,
    /// The host that answered.
    pub host: String,
    /// The HTTP status.
    pub status: u16,
    /// The registry's own codes and messages, or the first words of a body that is none of its own.
    pub details: Vec<Detail>,
    /// What to do next, where something better than the general advice is known.
    pub advice: Option<String>,
    /// It may pass, though its status does not say so.
    pub may_pass: bool,
}

/// One entry of a registry's error body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The code, such as `NAME_UNKNOWN`; empty where the body was not the registry's JSON.
    pub code: String,
    /// The message, already safe to print.
    pub message: String,
}

#[derive(Deserialize)]
struct Envelope {
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: serde_json::Value,
    #[serde(default)]
    message: serde_json::Value,
    #[serde(default)]
    detail: serde_json::Value,
}

/// The details in an error body of at most a few kilobytes.
pub fn parse_details(body: &[u8]) -> Vec<Detail> {
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(body) {
        return envelope.errors.iter().take(5).map(detail_of).collect();
    }
    let text = String::from_utf8_lossy(body);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.starts_with('<') {
        // The HTML of a proxy tells a person nothing that its status doesn't.
        return Vec::new();
    }
    vec![Detail { code: String::new(), message: printable(&text, 200) }]
}

fn detail_of(entry: &Entry) -> Detail {
    let text = |value: &serde_json::Value, limit| match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => printable(text, limit),
        other => printable(&other.to_string(), limit),
    };
    let mut message = text(&entry.message, 200);
    let detail = text(&entry.detail, 120);
    if !detail.is_empty() && detail != "{}" && detail != "[]" {
        message = format!("{message} ({detail})");
    }
    Detail { code: text(&entry.code, 40), message }
}

impl RegistryError {
    /// Whether one of the registry's codes is `code`.
    pub fn has_code(&self, code: &str) -> bool {
        self.details.iter().any(|detail| detail.code == code)
    }

    /// Whether a later try may be answered otherwise (429, 5xx, 408).
    pub fn is_temporary(&self) -> bool {
        (matches!(self.status, 408 | 425 | 429 | 500 | 502 | 503 | 504) && !self.is_of_urls())
            || self.has_code("TOOMANYREQUESTS")
    }

    /// Whether the registry refuses the addresses of foreign layers, which distribution calls an error of its own.
    fn is_of_urls(&self) -> bool {
        self.status == 500
            && self.details.iter().any(|detail| detail.message.to_ascii_lowercase().contains("invalid url on layer"))
    }

    /// The exit status that this answer ends the process with.
    pub fn exit_status(&self) -> ExitStatus {
        match self.status {
            _ if self.is_temporary() || self.may_pass => ExitStatus::Temporary,
            401 | 403 => ExitStatus::Credentials,
            _ => ExitStatus::Failed,
        }
    }

    /// What to do next.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref().or_else(|| self.general_advice())
    }

    fn general_advice(&self) -> Option<&'static str> {
        match self.status {
            500 if self.is_of_urls() => Some(
                "the image has foreign layers, and the registry takes no manifest that names their addresses (`urls`): whoever \
                 runs it can allow them (distribution: `validation.manifests.urls.allow`)",
            ),
            407 => Some(
                "a proxy wants a user, or refuses the one it was given: write http://USER:PASSWORD@PROXY in HTTP_PROXY, or \
                 put the registry into NO_PROXY",
            ),
            401 => {
                Some("log in to this registry (docker login), or name the folder of your config.json with --auth-dir")
            }
            403 => {
                Some("the login may not do this here: check the permissions of the account or token on this repository")
            }
            404 => Some("check the name; some registries want the repository to be created first"),
            405 => {
                Some("the registry does not allow this: it may be read-only or a mirror, or the tag may be immutable")
            }
            409 => Some(
                "somebody else may be writing it at this moment, or the tag is immutable: look what it names now, and run the \
                 same command again",
            ),
            413 => Some("the registry, or a proxy in front of it, limits the size of a request"),
            429 => Some("wait and run the same command again, or lower --jobs; what was copied is kept"),
            507 => {
                Some("the registry has no room left, or the quota of this repository is used up: ask whoever runs it")
            }
            500..=599 => Some("run the same command again; what was copied is kept"),
            _ => None,
        }
    }
}

/// The same error with advice that knows more, if it is the registry's.
pub fn advised(error: Error, advice: &str) -> Error {
    match error {
        Error::Registry(mut error) => {
            error.advice = Some(advice.to_owned());
            Error::Registry(error)
        }
        other => other,
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.is_empty(), self.message.is_empty()) {
            (false, false) => write!(f, "{}: {}", self.code, self.message),
            (false, true) => f.write_str(&self.code),
            (true, _) => f.write_str(&self.message),
        }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} answered {}", self.operation, self.host, self.status)?;
        if let Some(reason) = http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason())
        {
            write!(f, " {reason}")?;
        }
        for detail in self.details.iter().filter(|detail| !(detail.code.is_empty() && detail.message.is_empty())) {
            write!(f, ": {detail}")?;
        }
        if let Some(advice) = self.advice() {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RegistryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_is_read_and_made_safe() {
        let details = parse_details(br#"{"errors":[{"code":"DENIED","message":"no\n::error::x","detail":{"a":1}}]}"#);
        assert_eq!(details, [Detail { code: "DENIED".to_owned(), message: "no\\n::error::x ({\"a\":1})".to_owned() }]);
        assert!(parse_details(b"<html>502</html>").is_empty());
        assert_eq!(parse_details(b"gateway\ntimeout")[0].message, "gateway timeout");
    }

    #[test]
    fn refused_addresses_of_layers_do_not_pass() {
        let mut error = RegistryError {
            operation: "PUT manifest v1 of r.example/app".to_owned(),
            host: "r.example".to_owned(),
            status: 500,
            details: parse_details(br#"{"errors":[{"code":"UNKNOWN","message":"x","detail":"invalid URL on layer"}]}"#),
            may_pass: false,
            advice: None,
        };
        assert_eq!(error.exit_status(), ExitStatus::Failed);
        assert!(error.to_string().contains("validation.manifests.urls.allow"), "{error}");
        error.details.clear();
        assert_eq!(error.exit_status(), ExitStatus::Temporary);
    }

    #[test]
    fn an_error_reads_as_one_line_with_advice() {
        let error = RegistryError {
            operation: "PUT manifest v1 of ghcr.io/org/app".to_owned(),
            host: "ghcr.io".to_owned(),
            status: 403,
            details: parse_details(br#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#),
            advice: None,
            may_pass: false,
        };
        assert_eq!(
            error.to_string(),
            "PUT manifest v1 of ghcr.io/org/app: ghcr.io answered 403 Forbidden: DENIED: not yours; the login may not do \
             this here: check the permissions of the account or token on this repository"
        );
        assert_eq!(error.exit_status(), ExitStatus::Credentials);
    }
}
