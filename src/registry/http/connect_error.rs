//! Why a host could not be spoken to, in words that say what to do, and whether another try could end otherwise.

use std::fmt;

use url::Url;

use super::proxy::Unreached;
use super::remedies::Hints;
use super::tls_error;
use crate::error::{Error, TlsTrouble, printable};

/// A failure that no other try changes, in its own words.
#[derive(Debug)]
pub struct Refusal(String);

impl Refusal {
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// The error of an exchange with `url` that failed, in words.
pub fn error_of(operation: String, error: &(dyn std::error::Error + 'static), url: &Url, hints: Hints) -> Error {
    if let Some(refusal) = causes(error).find_map(|cause| cause.downcast_ref::<Refusal>()) {
        return Error::Protocol { operation, reason: printable(&refusal.0, 600) };
    }
    let host = authority(url);
    let text = joined(error);
    if let Some(trouble) = tls_error::trouble(error) {
        let reason = printable(&of_tls(trouble, &text, &host, hints), 800);
        return Error::Tls { operation, trouble, reason };
    }
    let reason = if text.contains("dns error") || text.contains("failed to lookup address") {
        format!("there is no address for the name {} ({text})", url.host_str().unwrap_or_default())
    } else if is_refused(error) {
        format!("{host} refused the connection")
    } else {
        text
    };
    Error::Network { operation, reason: printable(&reason, 500) }
}

/// What a connection that broke says.
pub fn reason_of(error: &(dyn std::error::Error + 'static)) -> String {
    printable(&joined(error), 300)
}

fn authority(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// Whether the connection was refused, and not by a proxy on the way, which has words of its own.
fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_of_proxy = causes(error).any(|cause| cause.downcast_ref::<Unreached>().is_some());
    let is_refusal = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    !is_of_proxy && causes(error).any(|cause| cause.downcast_ref().is_some_and(is_refusal))
}

/// What to do about a certificate, or about a host that does not speak TLS. `said` is what the library for TLS says.
fn of_tls(trouble: TlsTrouble, said: &str, host: &str, hints: Hints) -> String {
    let anything = hints.insecure(host);
    match trouble {
        TlsTrouble::NoTls => format!("{host} does not speak TLS, plain HTTP most likely; {anything}"),
        TlsTrouble::UnknownAuthority => format!(
            "{host} shows a certificate that no trusted authority signed (UnknownIssuer); {}; {anything}",
            hints.authority()
        ),
        TlsTrouble::Certificate if said.contains("CaUsedAsEndEntity") => format!(
            "{host} shows an authority's certificate as its own (CaUsedAsEndEntity); {}, with this very certificate; \
             {anything}",
            hints.authority()
        ),
        TlsTrouble::WrongName => {
            format!("{host} shows a certificate for another name: {said}; use its name, or {anything}")
        }
        TlsTrouble::Expired => format!("{host} shows a certificate that is not valid now: {said}; {anything}"),
        TlsTrouble::Certificate => format!("{host} shows a certificate that does not hold: {said}; {anything}"),
        TlsTrouble::Refused => format!("{host} refuses this TLS: {said}"),
    }
}

/// All that an error and its causes say, once.
fn joined(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let words = cause.to_string();
        // The HTTP library's outer errors say nothing that a user could act upon, and causes repeat each other.
        let empty = words.is_empty() || words.starts_with("client error (");
        if !empty && !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
    }
    if text.is_empty() { error.to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{CertificateError, Error as TlsError, InvalidMessage};

    fn said(error: impl Into<TlsError>, hints: Hints) -> String {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error.into());
        let url = "https://reg.example:7443/v2/".parse().unwrap();
        match error_of("HEAD x".to_owned(), &error, &url, hints) {
            Error::Tls { reason, .. } => reason,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn an_unknown_authority_is_told_with_the_ways_out() {
        let shell = said(CertificateError::UnknownIssuer, Hints::Shell);
        for word in
            ["reg.example:7443", "certificate", "--ca-file", "SSL_CERT_FILE", "--insecure-registry reg.example:7443"]
        {
            assert!(shell.contains(word), "{word}: {shell}");
        }
        let tekton = said(CertificateError::UnknownIssuer, Hints::Tekton);
        assert!(tekton.contains("workspace `ca-bundle`") && tekton.contains("param `insecure-registry`"), "{tekton}");
        assert!(!tekton.contains("--"), "{tekton}");
    }

    #[test]
    fn plain_http_is_told_from_tls() {
        let reason = said(InvalidMessage::InvalidContentType, Hints::Shell);
        assert!(reason.contains("does not speak TLS"), "{reason}");
        assert!(reason.contains("--insecure-registry reg.example:7443"), "{reason}");
    }

    #[test]
    fn what_may_pass_is_an_error_of_the_network() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let url = "http://localhost:9/v2/".parse().unwrap();
        let error = error_of("HEAD x".to_owned(), &refused, &url, Hints::Shell);
        assert!(error.is_network());
        assert_eq!(error.to_string(), "HEAD x: localhost:9 refused the connection");
        let final_one: Box<dyn std::error::Error> = Box::new(Refusal::new("no"));
        assert!(!error_of("HEAD x".to_owned(), &*final_one, &url, Hints::Shell).is_network());
    }
}
