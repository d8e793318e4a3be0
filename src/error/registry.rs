//! An error that a registry or a token service answered with.

use std::fmt;

use super::ExitStatus;

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
    /// It may pass, though its status does not say so.
    pub may_pass: bool,
    /// It is about the URLs of foreign layers, though it does not say so.
    pub refuses_urls: bool,
}

/// One entry of a registry's error body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The code, such as `NAME_UNKNOWN`; empty where the body was not the registry's JSON.
    pub code: String,
    /// The message, already safe to print.
    pub message: String,
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

    /// Distribution has no code for this error, only `UNKNOWN`: its text is all there is to go by.
    ///
    /// Whether the registry refuses the addresses of foreign layers, which distribution calls an error of its own.
    fn is_of_urls(&self) -> bool {
        let is_said = |detail: &Detail| detail.message.to_ascii_lowercase().contains("invalid url on layer");
        self.status == 500 && (self.refuses_urls || self.details.iter().any(is_said))
    }

    /// The exit status that this answer ends the process with.
    pub fn exit_status(&self) -> ExitStatus {
        match self.status {
            _ if self.is_temporary() || self.may_pass => ExitStatus::Temporary,
            401 | 403 => ExitStatus::Credentials,
            _ => ExitStatus::Failed,
        }
    }

    /// What to do next, as far as the status tells.
    pub fn hint(&self) -> Option<&'static str> {
        match self.status {
            500 if self.is_of_urls() => Some(
                "the image has foreign layers, and the registry refuses manifests with `urls`; its administrator can allow \
                 them (distribution: `validation.manifests.urls.allow`)",
            ),
            407 => Some(
                "the proxy requires a login, or rejects the one it was given; set HTTP_PROXY to \
                 http://USER:PASSWORD@PROXY, or add the registry to NO_PROXY",
            ),
            401 => {
                Some("log in to this registry (docker login), or pass the folder of your config.json with --auth-dir")
            }
            403 => Some("check the permissions of the account or token on this repository"),
            404 => Some("check the name; some registries require the repository to be created first"),
            405 => Some("the registry may be read-only or a mirror, or the tag may be immutable"),
            409 => Some(
                "another process may be writing it, or the tag may be immutable; check what it points to, then run the same \
                 command again",
            ),
            413 => Some("the registry, or a proxy in front of it, limits the size of requests"),
            429 => Some("run the same command again later, or with a lower --jobs; completed uploads are kept"),
            507 => {
                Some("the registry has no space left, or the repository has used up its quota; ask its administrator")
            }
            500..=599 => Some("run the same command again; completed uploads are kept"),
            _ => None,
        }
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
        Ok(())
    }
}

impl std::error::Error for RegistryError {}

#[cfg(test)]
mod tests {
    use super::super::Error;
    use super::*;

    fn answered(status: u16, code: &str, message: &str) -> RegistryError {
        RegistryError {
            operation: "PUT manifest v1 of ghcr.io/org/app".to_owned(),
            host: "ghcr.io".to_owned(),
            status,
            details: vec![Detail { code: code.to_owned(), message: message.to_owned() }],
            may_pass: false,
            refuses_urls: false,
        }
    }

    #[test]
    fn refused_addresses_of_layers_do_not_pass() {
        let mut error = answered(500, "UNKNOWN", "x (invalid URL on layer)");
        assert_eq!(error.exit_status(), ExitStatus::Failed);
        assert!(error.hint().unwrap().contains("validation.manifests.urls.allow"), "{error}");
        error.details.clear();
        assert_eq!(error.exit_status(), ExitStatus::Temporary);
    }

    #[test]
    fn an_error_reads_as_one_line_with_a_hint() {
        let error = Error::from(answered(403, "DENIED", "not yours"));
        assert_eq!(
            error.to_string(),
            "PUT manifest v1 of ghcr.io/org/app: ghcr.io answered 403 Forbidden: DENIED: not yours"
        );
        assert_eq!(error.hint(), Some("check the permissions of the account or token on this repository"));
        assert_eq!(error.exit_status(), ExitStatus::Credentials);
        assert_eq!(error.with_hint("another").hint(), Some("another"));
    }
}
