//! A request to a registry, as data: it can be sent as often as needed.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::host::Permit;
use super::http::location::same_origin;
use super::http::{ANSWER_TIMEOUT, ConnectionKind, HttpRequest};
use crate::error::registry::RegistryError;
use crate::error::{Error, ErrorKind};
use crate::image::digest::Digest;

/// A request to a registry.
pub(super) struct ApiRequest<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// What it is for, in messages: `PUT manifest v1`.
    pub(super) operation: String,
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    pub(super) body: Option<Bytes>,
    pub(super) connection: ConnectionKind,
    pub(super) permit: Permit<'a>,
    /// How long the first byte of the answer may take.
    pub(super) timeout: Duration,
    /// The origin that credentials may be sent to: the registry's own.
    pub(super) origin: Url,
    /// The foreign layers of the manifest that it writes.
    pub(super) foreign_layers: Vec<Digest>,
}

impl ApiRequest<'_> {
    /// A request without headers and body, on a shared connection.
    pub(super) fn new(method: Method, url: Url, operation: String, origin: Url) -> Self {
        Self {
            method,
            url,
            operation,
            headers: &[],
            body: None,
            connection: ConnectionKind::Shared,
            permit: Permit::Acquire,
            timeout: ANSWER_TIMEOUT,
            origin,
            foreign_layers: Vec::new(),
        }
    }

    /// An answer to it, with what the registry leaves out: distribution 2.8 calls URLs of layers that it doesn't allow an
    /// unknown error, next to the layer as a missing blob.
    pub(super) fn explained(&self, error: Error) -> Error {
        let is_about = |digest: &Digest, error: &RegistryError| {
            let mut missing = error.details.iter().filter(|detail| detail.code == "MANIFEST_BLOB_UNKNOWN");
            missing.any(|detail| detail.message.contains(digest.as_str()))
        };
        error.map_kind(|kind| match kind {
            ErrorKind::Registry(mut error) => {
                error.refuses_urls = self.foreign_layers.iter().any(|digest| is_about(digest, &error));
                ErrorKind::Registry(error)
            }
            other => other,
        })
    }

    /// Switches to TLS; returns false if that can't be done.
    pub(super) fn use_tls(&mut self) -> bool {
        self.url.set_scheme("https").is_ok() && self.origin.set_scheme("https").is_ok()
    }

    /// Whether it goes to the registry itself. Challenges of another host (for uploads) are ignored: it could name a token
    /// service of its own.
    pub(super) fn is_own(&self) -> bool {
        same_origin(&self.url, &self.origin)
    }

    /// The HTTP request, with `authorization` if it may have it.
    pub(super) fn to_http(&self, authorization: Option<&HeaderValue>) -> HttpRequest {
        let mut headers: HeaderMap = self.headers.iter().cloned().collect();
        if self.connection == ConnectionKind::Afresh {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        if let Some(authorization) = authorization
            && self.is_own()
        {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let (method, url, body) = (self.method.clone(), self.url.clone(), self.body.clone());
        HttpRequest { method, url, headers, body, connection: self.connection, timeout: self.timeout }
    }
}
