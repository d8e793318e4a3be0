//! User name and password in each request (RFC 7617).

use base64::Engine as _;
use http::header::HeaderValue;

use crate::credentials::Secret;
use crate::error::Error;

/// `Authorization: Basic` (RFC 7617).
pub(super) fn basic(username: &str, password: &Secret) -> Result<HeaderValue, Error> {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{}", password.expose()));
    let mut header = HeaderValue::from_str(&format!("Basic {text}"))
        .map_err(|_| Error::credentials("the login can't stand in a header"))?;
    header.set_sensitive(true);
    Ok(header)
}
