//! A request to a repository, as plain data: it can be sent as often as needed.

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::http::pool::ConnectionKind;
use super::http::transport::{self, HttpRequest};
use super::repository::Permit;

/// A request to a repository.
pub(super) struct ApiRequest<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// What it is for, in a user's words: `PUT manifest v1`.
    pub(super) operation: String,
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    pub(super) body: Option<Bytes>,
    pub(super) load: ConnectionKind,
    pub(super) room: Permit,
    /// The origin that credentials may go to: the registry's own.
    pub(super) origin: Url,
}

impl ApiRequest<'_> {
    /// Turns to TLS; says whether that could be done.
    pub(super) fn use_tls(&mut self) -> bool {
        self.url.set_scheme("https").is_ok() && self.origin.set_scheme("https").is_ok()
    }

    /// Whether it goes to the registry itself. What another host (of an upload) says of logins is not listened to: it
    /// could name a token service of its own.
    pub(super) fn is_own(&self) -> bool {
        super::http::location::same_origin(&self.url, &self.origin)
    }

    pub(super) fn outgoing(&self, authorization: Option<&HeaderValue>) -> HttpRequest {
        let mut headers: HeaderMap = self.headers.iter().cloned().collect();
        if self.load == ConnectionKind::Afresh {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        if let Some(authorization) = authorization
            && self.is_own()
        {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let (method, url, body) = (self.method.clone(), self.url.clone(), self.body.clone());
        HttpRequest { method, url, headers, body, load: self.load, patience: transport::ANSWER_TIMEOUT }
    }
}
