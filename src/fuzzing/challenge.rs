//! The `WWW-Authenticate` header, as sent by a registry.

use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use crate::registry::challenge::{Challenge, from_headers};

/// Each line is a header. A realm that is found must occur in one of them.
pub fn run(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(8) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
    let Some(Challenge::Bearer { realm, .. }) = from_headers(&headers) else { return };
    let plain = |value: &HeaderValue| value.to_str().unwrap_or_default().replace('\\', "");
    let realm = realm.replace('\\', "");
    assert!(headers.get_all(WWW_AUTHENTICATE).iter().any(|value| plain(value).contains(&realm)), "{realm:?}");
}
