//! Response headers and error bodies of a registry: `Location`, `Range`, `Content-Range`, `Retry-After`. (`Link` is
//! never read: lists are fetched in one page.)

use http::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use url::Url;

use super::{assert_harmless, assert_one_line, first_line};
use crate::registry::error::parse_details;
use crate::registry::location::{redacted, resolve, same_origin};
use crate::registry::retry::{backoff, retry_after};
use crate::registry::uploads::end_of_range;

/// The first line is one header value; the rest is another one and a body.
pub fn run(bytes: &[u8]) {
    let (line, rest) = first_line(bytes);
    for detail in parse_details(rest) {
        assert_harmless(&detail.code);
        assert_harmless(&detail.message);
    }
    wait(line, first_line(rest).0);
    let Ok(text) = std::str::from_utf8(line) else { return };
    location(text);
    let _ = end_of_range(text);
    crate::serve::fuzzed::ranges(text, rest.len() as u64);
}

/// A location never leads from https to http and never carries credentials.
fn location(text: &str) {
    for asked in ["https://reg.example/v2/a/blobs/uploads/", "http://127.0.0.1:5000/v2/a/blobs/uploads/?x=1"] {
        let Ok(asked) = Url::parse(asked) else { return };
        match resolve(&asked, text) {
            Ok(url) => {
                assert!(asked.scheme() == "http" || url.scheme() == "https", "{text:?} leads to {url}");
                assert!(matches!(url.scheme(), "http" | "https"));
                assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
                assert!(same_origin(&url, &url));
                assert_harmless(&redacted(&url));
            }
            Err(error) => assert_one_line(&error),
        }
    }
}

/// A wait is always finite, whatever the clocks say.
fn wait(after: &[u8], date: &[u8]) {
    let mut headers = HeaderMap::new();
    for (name, value) in [(RETRY_AFTER, after), (DATE, date)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    let _ = retry_after(&headers);
    let failures = u32::from(after.first().copied().unwrap_or_default());
    assert!(backoff(failures) <= std::time::Duration::from_secs(20));
}
