//! Reads a registry's error body.
//!
//! Distribution specification, "Error Codes".

use serde::Deserialize;

use super::http::{HttpResponse, retry};
use crate::error::Error;
use crate::error::registry::{Detail, RegistryError};
use crate::text::printable;

#[derive(Deserialize)]
struct Envelope {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: serde_json::Value,
    #[serde(default)]
    message: serde_json::Value,
    #[serde(default)]
    detail: serde_json::Value,
}

/// The details in an error body of at most a few kilobytes.
pub(crate) fn parse_details(body: &[u8]) -> Vec<Detail> {
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(body) {
        return envelope.errors.iter().take(5).map(detail_of).collect();
    }
    let text = String::from_utf8_lossy(body);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.starts_with('<') {
        // A proxy's HTML has nothing for the user that its status doesn't have.
        return Vec::new();
    }
    vec![Detail { code: String::new(), message: printable(&text, 200) }]
}

fn detail_of(entry: &ErrorEntry) -> Detail {
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

/// The error that a response means; `login_hint` says what to do about a login that is missing or refused.
pub(super) async fn error_of(mut response: HttpResponse, operation: String, login_hint: &str) -> Error {
    let details = parse_details(&response.error_body().await);
    let (host, status) = (response.host(), response.status().as_u16());
    let pause = retry::retry_after(response.headers()).filter(|_| retry::is_temporary(status));
    let hint = match pause {
        Some(pause) if !pause.is_zero() => {
            Some(format!("run the same command again in {}; completed uploads are kept", retry::in_words(pause)))
        }
        _ => (status == 401 && !login_hint.is_empty()).then(|| login_hint.to_owned()),
    };
    let error = Error::from(RegistryError { operation, host, status, details, may_pass: false, refuses_urls: false });
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

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
}
