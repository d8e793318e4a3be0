//! Why a host can't be reached, what to do about it, and whether a retry may help.

use std::error::Error as StdError;

use url::Url;

use super::proxy::Unreached;
use super::refusal::FinalFailure;
use super::remedies::Hints;
use super::resolver::NoAddress;
use super::tls_error;
use crate::error::{Error, ErrorKind, TlsTrouble};
use crate::text::{joined, printable};

/// The error of a request to `url` that failed.
pub(super) fn error_of(operation: String, error: &(dyn StdError + 'static), url: &Url, hints: Hints) -> Error {
    if let Some(refusal) = find::<FinalFailure>(error) {
        return Error::protocol(operation, printable(&refusal.text, 600)).with_hint(printable(&refusal.hint, 300));
    }
    let host = authority(url);
    let text = text_of(error);
    if let Some(trouble) = tls_error::trouble(error) {
        return of_tls(operation, trouble, &text, &host, hints);
    }
    if let Some(unreached) = find::<Unreached>(error) {
        return Error::network(operation, printable(&text, 500)).with_hint(printable(unreached.hint(), 300));
    }
    let reason = if let Some(NoAddress { name, source }) = find(error) {
        format!("there is no address for the name {name} ({source})")
    } else if is_refused(error) {
        format!("{host} refused the connection")
    } else {
        text
    };
    Error::network(operation, printable(&reason, 500))
}

/// The reason why a connection broke.
pub(super) fn reason_of(error: &(dyn StdError + 'static)) -> String {
    printable(&text_of(error), 300)
}

fn authority(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

fn causes<'e>(error: &'e (dyn StdError + 'static)) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// The error of type `T` among an error and its causes.
fn find<'e, T: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn is_refused(error: &(dyn StdError + 'static)) -> bool {
    let is_refusal = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    causes(error).any(|cause| cause.downcast_ref().is_some_and(is_refusal))
}

/// What to do about a certificate, or about a host without TLS. `said` is the TLS library's text.
fn of_tls(operation: String, trouble: TlsTrouble, said: &str, host: &str, hints: Hints) -> Error {
    let anything = hints.insecure(host);
    let authority = hints.authority();
    let (text, hint) = match trouble {
        TlsTrouble::NoTls => (format!("{host} does not use TLS, most likely plain HTTP"), anything),
        TlsTrouble::UnknownAuthority => (
            format!("the certificate of {host} is not signed by a trusted authority (UnknownIssuer)"),
            format!("{authority}; {anything}"),
        ),
        TlsTrouble::AuthorityCertificate => (
            format!("the certificate of {host} is one for an authority, not for a server (CaUsedAsEndEntity)"),
            format!("{authority}, with this certificate in it; {anything}"),
        ),
        TlsTrouble::WrongName => {
            (format!("the certificate of {host} is for another name: {said}"), format!("use that name; {anything}"))
        }
        TlsTrouble::Expired => (format!("the certificate of {host} is expired or not valid yet: {said}"), anything),
        TlsTrouble::Certificate => (format!("the certificate of {host} is invalid: {said}"), anything),
        TlsTrouble::Refused => (format!("{host} refused the TLS handshake: {said}"), String::new()),
    };
    let error = Error::from(ErrorKind::Tls { operation, trouble, reason: printable(&text, 800) });
    if hint.is_empty() { error } else { error.with_hint(hint) }
}

/// The text of an error and its causes. The outermost error is the HTTP client's, and adds nothing for a user.
fn text_of(error: &(dyn StdError + 'static)) -> String {
    let is_outer = |cause: &(dyn StdError + 'static)| {
        cause.is::<hyper_util::client::legacy::Error>() || cause.is::<reqwest::Error>()
    };
    let text = joined(causes(error).filter(|cause| !is_outer(*cause)));
    if text.is_empty() { error.to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{CertificateError, Error as TlsError, InvalidMessage};

    fn told(error: impl Into<TlsError>, hints: Hints) -> String {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error.into());
        let url = "https://reg.example:7443/v2/".parse().unwrap();
        let error = error_of("HEAD x".to_owned(), &error, &url, hints);
        assert!(matches!(error.kind(), ErrorKind::Tls { .. }), "{error:?}");
        error.one_line()
    }

    #[test]
    fn an_unknown_authority_is_told_with_the_ways_out() {
        let shell = told(CertificateError::UnknownIssuer, Hints::Shell);
        for word in
            ["reg.example:7443", "certificate", "--ca-file", "SSL_CERT_FILE", "--insecure-registry reg.example:7443"]
        {
            assert!(shell.contains(word), "{word}: {shell}");
        }
        let tekton = told(CertificateError::UnknownIssuer, Hints::Tekton);
        assert!(tekton.contains("workspace `ca-bundle`") && tekton.contains("param `insecure-registry`"), "{tekton}");
        assert!(!tekton.contains("--"), "{tekton}");
    }

    #[test]
    fn plain_http_is_told_from_tls() {
        let reason = told(InvalidMessage::InvalidContentType, Hints::Shell);
        assert!(reason.contains("does not use TLS"), "{reason}");
        assert!(reason.contains("--insecure-registry reg.example:7443"), "{reason}");
    }

    #[test]
    fn what_may_pass_is_an_error_of_the_network() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let url = "http://localhost:9/v2/".parse().unwrap();
        let error = error_of("HEAD x".to_owned(), &refused, &url, Hints::Shell);
        assert!(error.is_network());
        assert_eq!(error.to_string(), "HEAD x: localhost:9 refused the connection");
        let final_one: Box<dyn StdError> = Box::new(FinalFailure::new("no", "ask"));
        assert!(!error_of("HEAD x".to_owned(), &*final_one, &url, Hints::Shell).is_network());
    }
}
