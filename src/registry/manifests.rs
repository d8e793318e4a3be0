//! Manifests: looked up, read and written by their bytes.
//!
//! Distribution specification, "Pulling manifests" and "Pushing Manifests".

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};

use super::error::parse_details;
use super::http::retry::{self, Budget};
use super::http::{ConnectionKind, HttpResponse};
use super::repository::{ApiRequest, Repository};
use crate::error::registry::{Detail, RegistryError};
use crate::error::{Error, ErrorKind};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, Manifest};
use crate::image::manifest_json::Shape;
use crate::image::media_type::{self, ACCEPT_MANIFEST};
use crate::text::printable;

/// The header with the digest of the content.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// How often a manifest that comes wrong is read in all.
const READINGS: usize = 3;
/// How long to ask for a tag's manifest after a write without an answer.
const SETTLE_LIMIT: Duration = Duration::from_secs(15);

/// Whether a tag or digest exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It exists, and points to this.
    Present(Box<Descriptor>),
    /// It doesn't exist.
    Absent,
    /// The registry doesn't say (403: Artifactory's answer for a tag that doesn't exist).
    Unknown,
}

/// What is known about a manifest before it is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ManifestQuery<'a> {
    /// The digest that the caller requires.
    pub expected: Option<&'a Digest>,
    /// Its entry in an index.
    pub child: Option<&'a Descriptor>,
}

impl Repository {
    /// Looks up `reference`, a tag or digest, with `HEAD`: most registries don't count that as a pull.
    ///
    /// # Errors
    /// Any answer but 200, 403 and 404.
    pub async fn head_manifest(&self, reference: &str) -> Result<Presence, Error> {
        self.seen_manifest(reference, self.ask_manifest(Method::HEAD, reference, ConnectionKind::Shared).await?).await
    }

    /// What the answer to a `HEAD` means.
    async fn seen_manifest(&self, reference: &str, answer: HttpResponse) -> Result<Presence, Error> {
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(Presence::Absent),
            403 => return Ok(Presence::Unknown),
            _ => return Err(self.error(answer, &format!("HEAD manifest {reference}")).await),
        }
        let said = content_digest(&answer);
        // Asked by digest, the answer is about that digest, whatever its headers contain.
        let Some(digest) = reference.parse::<Digest>().ok().or(said) else {
            // Without the header, the bytes must be read.
            answer.discard().await;
            let read = self.read_manifest(reference, ManifestQuery::default()).await?;
            return Ok(
                read.map_or(Presence::Absent, |(manifest, _)| Presence::Present(Box::new(manifest.descriptor())))
            );
        };
        let size = answer.header(CONTENT_LENGTH).and_then(|size| size.parse().ok()).unwrap_or_default();
        let media_type = media_type::essence(answer.header(CONTENT_TYPE).unwrap_or_default());
        Ok(Presence::Present(Box::new(Descriptor::new(media_type, digest, size))))
    }

    /// Reads the manifest of `reference`, a tag or digest; `None` if it doesn't exist.
    ///
    /// # Errors
    /// The bytes don't have the requested digest, or the one in the registry's header; they aren't a manifest, are
    /// larger than the limit, or have an unknown type without a digest to prove them; any answer but 200 and 404.
    pub async fn get_manifest(&self, reference: &str, asked: ManifestQuery<'_>) -> Result<Option<Manifest>, Error> {
        let Some((manifest, is_vouched_for)) = self.read_manifest(reference, asked).await? else { return Ok(None) };
        if is_vouched_for || manifest.is_known() || asked.expected.is_some_and(|expected| manifest.is(expected)) {
            return Ok(Some(manifest));
        }
        Err(Error::from(ErrorKind::NoManifest {
            what: self.named(reference),
            answer: answered(&manifest.media_type, manifest.bytes.len()),
            reason: "its type is unknown, and no digest vouches for it".to_owned(),
        })
        .with_hint(format!("if it is what you mean, name it as {}@{}", self.name(), manifest.digest)))
    }

    /// A manifest, and whether a digest proves its bytes: the one that was asked for, or the one in the registry's
    /// header. If it comes wrong, it is read again on another connection.
    async fn read_manifest(
        &self,
        reference: &str,
        asked: ManifestQuery<'_>,
    ) -> Result<Option<(Manifest, bool)>, Error> {
        let limit = READINGS.min(self.retries() as usize + 1);
        let mut found = Vec::new();
        loop {
            let connection = if found.is_empty() { ConnectionKind::Shared } else { ConnectionKind::Afresh };
            let answer = self.ask_manifest(Method::GET, reference, connection).await?;
            match answer.status().as_u16() {
                200 => {}
                404 => return Ok(None),
                _ => return Err(self.error(answer, &format!("GET manifest {reference}")).await),
            }
            match self.read_answer(reference, answer, asked).await {
                Ok(read) => return Ok(Some(read)),
                Err(error) => {
                    let (came, may_pass) = match error.kind() {
                        ErrorKind::DigestMismatch { actual, .. } => (actual.to_string(), true),
                        // An error page, or something longer than the manifest.
                        kind => {
                            let is_other = matches!(kind, ErrorKind::NoManifest { .. })
                                || asked.child.is_some() && matches!(kind, ErrorKind::Malformed { .. });
                            ("what is no manifest".to_owned(), is_other || error.is_network())
                        }
                    };
                    found.push(came);
                    if !may_pass || found.len() >= limit {
                        return Err(error.map_kind(|kind| match kind {
                            ErrorKind::DigestMismatch { what, expected, .. } => {
                                ErrorKind::WrongBytes { what, expected, found }
                            }
                            other => other,
                        }));
                    }
                }
            }
            tokio::time::sleep(retry::backoff(1)).await;
        }
    }

    async fn read_answer(
        &self,
        reference: &str,
        answer: HttpResponse,
        asked: ManifestQuery<'_>,
    ) -> Result<(Manifest, bool), Error> {
        let said = content_digest(&answer);
        let content_type = answer.header(CONTENT_TYPE).unwrap_or_default().to_owned();
        // If the server doesn't know the type, the index decides.
        let untold = asked.child.filter(|_| media_type::is_vague(&media_type::essence(&content_type)));
        let content_type = untold.map_or(content_type, |child| child.media_type.clone());
        let what = format!("manifest {reference} of {}", self.name());
        let limit = self.client.options().manifest_limit;
        let size = asked.child.map(|child| child.size).filter(|size| *size < limit);
        let bytes = answer.bytes(size.unwrap_or(limit), &what).await.map_err(|error| match (error.kind(), size) {
            (ErrorKind::Malformed { what, .. }, Some(size)) => {
                Error::malformed(what, format!("it is larger than the {size} bytes that its index gives"))
            }
            (ErrorKind::Malformed { .. }, None) => error.with_hint("--max-manifest-size allows more"),
            _ => error,
        })?;
        // Asked by digest, the bytes prove themselves, whatever a header contains. Asked by tag, the digest in the
        // registry's header must match.
        let named: Option<Digest> = reference.parse().ok();
        let expected = named.as_ref().or(said.as_ref());
        if let Some(wrong) = expected.filter(|expected| expected.same_algorithm_of(&bytes) != **expected) {
            // Other bytes have another digest. (A schema 1 manifest has a digest of its own.)
            let manifest = self.manifest_of(reference, &content_type, bytes.clone()).ok();
            if !manifest.is_some_and(|manifest| manifest.is(wrong)) {
                let what = if named.is_some() { what } else { format!("{what}, by its Docker-Content-Digest") };
                let actual = wrong.same_algorithm_of(&bytes);
                return Err(Error::from(ErrorKind::DigestMismatch { what, expected: wrong.clone(), actual }));
            }
        }
        let manifest = self.manifest_of(reference, &content_type, bytes)?;
        if let Some(said) = said.as_ref().filter(|said| !manifest.is(said)) {
            self.client
                .warn(&format!("{what}: its Docker-Content-Digest says {said}; its bytes are what was asked for"));
        }
        Ok((manifest, expected.is_some()))
    }

    /// The manifest in an answer.
    fn manifest_of(&self, reference: &str, content_type: &str, bytes: Bytes) -> Result<Manifest, Error> {
        if let Err(reason) = Shape::of(&bytes) {
            let reason = match (bytes.trim_ascii_start().first(), parse_details(&bytes).first()) {
                (Some(b'{'), Some(error)) if !error.code.is_empty() => format!("it is an error, {error}"),
                (Some(b'{'), _) => reason,
                _ => "is this a registry?".to_owned(),
            };
            let answer = answered(content_type, bytes.len());
            return Err(Error::from(ErrorKind::NoManifest { what: self.named(reference), answer, reason }));
        }
        Manifest::from_bytes(content_type, bytes).map_err(|error| match error.kind() {
            ErrorKind::Malformed { .. } => Error::malformed(self.named(reference), error.to_string()),
            _ => error,
        })
    }

    /// The full reference of a tag or digest of this repository.
    fn named(&self, reference: &str) -> String {
        let mark = if reference.contains(':') { '@' } else { ':' };
        format!("{}{mark}{reference}", self.name())
    }

    /// Writes `manifest` as `reference`, a tag or its digest.
    ///
    /// # Errors
    /// The registry refuses it, or stored something else.
    pub async fn put_manifest(&self, reference: &str, manifest: &Manifest) -> Result<(), Error> {
        let operation = format!("PUT manifest {reference}");
        let content_type = HeaderValue::from_str(&manifest.media_type).map_err(|_| {
            Error::malformed(format!("manifest {}", manifest.digest), "its media type can't be a header")
        })?;
        let headers = [(CONTENT_TYPE, content_type)];
        let request = ApiRequest {
            headers: &headers,
            body: Some(manifest.bytes.clone()),
            connection: ConnectionKind::of_request(Some(manifest.size())),
            foreign_layers: foreign_layers(manifest),
            ..self.request(Method::PUT, &format!("manifests/{reference}"), operation.clone()).await?
        };
        let answer = match self.send(request).await {
            Ok(answer) => answer,
            Err(error) => return self.settle(reference, manifest, error).await,
        };
        if answer.status() == 415 {
            return Err(self.error(answer, &operation).await.with_hint(not_taken(&manifest.media_type)));
        }
        if !answer.status().is_success() {
            return Err(self.error(answer, &operation).await);
        }
        if let Some(stored) = content_digest(&answer)
            && !manifest.is(&stored)
        {
            answer.discard().await;
            let operation = format!("{operation} of {}", self.name());
            let (is_there, now) = self.named_now(reference, manifest).await;
            if is_there {
                self.client.warn(&format!("{operation}: the answer names {stored}, but {} is there", manifest.digest));
                return Ok(());
            }
            let reason = format!("the registry stored {stored} instead of {}; {now}", manifest.digest);
            return Err(Error::protocol(operation, reason));
        }
        answer.discard().await;
        Ok(())
    }

    /// Finds out once whether a manifest was written if the answer didn't come or was a temporary error.
    async fn settle(&self, reference: &str, manifest: &Manifest, error: Error) -> Result<(), Error> {
        let may_be_done = error.is_network() || error.registry().is_some_and(RegistryError::is_temporary);
        if !may_be_done {
            return Err(error);
        }
        let (is_there, now) = self.named_now(reference, manifest).await;
        if is_there {
            self.client.warn(&format!("{error}; but it is done: {now}"));
            return Ok(());
        }
        Err(error.map_kind(|kind| match kind {
            ErrorKind::Network { operation, reason } => {
                ErrorKind::Network { operation, reason: format!("{reason}; {now}") }
            }
            ErrorKind::Silence { operation, reason, waited } => {
                ErrorKind::Silence { operation, reason: format!("{reason}; {now}"), waited }
            }
            ErrorKind::Registry(mut error) => {
                error.details.push(Detail { code: String::new(), message: now });
                ErrorKind::Registry(error)
            }
            other => other,
        }))
    }

    /// Asks once whether a tag or digest points to `manifest` now; also returns that as text.
    async fn named_now(&self, reference: &str, manifest: &Manifest) -> (bool, String) {
        let asked = async {
            let request = self.manifest_request(Method::HEAD, reference, ConnectionKind::Afresh).await?;
            let request = ApiRequest { timeout: SETTLE_LIMIT, ..request };
            let answer = self.send_within(request, &Budget::new(0)).await?;
            self.seen_manifest(reference, answer).await
        };
        match asked.await {
            Ok(Presence::Present(now)) => {
                (manifest.is(&now.digest), format!("{reference} now points to {}", now.digest))
            }
            Ok(Presence::Absent) => (false, format!("{reference} does not exist, it was not written")),
            Ok(Presence::Unknown) | Err(_) => (false, format!("it is unknown whether {reference} was written")),
        }
    }

    async fn ask_manifest(
        &self,
        method: Method,
        reference: &str,
        connection: ConnectionKind,
    ) -> Result<HttpResponse, Error> {
        self.send(self.manifest_request(method, reference, connection).await?).await
    }

    async fn manifest_request(
        &self,
        method: Method,
        reference: &str,
        connection: ConnectionKind,
    ) -> Result<ApiRequest<'static>, Error> {
        static HEADERS: [(HeaderName, HeaderValue); 1] = [(ACCEPT, HeaderValue::from_static(ACCEPT_MANIFEST))];
        let operation = format!("{method} manifest {reference}");
        let request = self.request(method, &format!("manifests/{reference}"), operation).await?;
        Ok(ApiRequest { headers: &HEADERS, connection, ..request })
    }
}

/// The type and size of an answer, for a message.
fn answered(content_type: &str, size: usize) -> String {
    match (media_type::essence(content_type), size) {
        (_, 0) => "nothing".to_owned(),
        (none, _) if none.is_empty() => format!("{size} bytes"),
        (said, _) => format!("{}, {size} bytes", printable(&said, 120)),
    }
}

/// The foreign layers of an image.
fn foreign_layers(manifest: &Manifest) -> Vec<Digest> {
    match manifest.content() {
        Ok(Content::Image { layers, .. }) => {
            layers.into_iter().filter(Descriptor::is_foreign).map(|layer| layer.digest).collect()
        }
        _ => Vec::new(),
    }
}

/// What to do if a registry refuses manifests of this type.
fn not_taken(media_type: &str) -> String {
    let shown = crate::text::printable(media_type, 120);
    if media_type.starts_with("application/vnd.docker.") {
        return format!(
            "it was sent as {shown}, a Docker media type; `imgstep index SOURCE --to DESTINATION --format oci` writes an OCI \
             index, and zot accepts Docker's types with `\"compat\": [\"docker2s2\"]` under `http` in its config"
        );
    }
    format!("it was sent as {shown}, which this registry does not accept")
}

/// The digest in an answer's header; one that we can't verify is ignored.
pub(super) fn content_digest(answer: &HttpResponse) -> Option<Digest> {
    answer.header(CONTENT_DIGEST)?.trim().parse().ok()
}
