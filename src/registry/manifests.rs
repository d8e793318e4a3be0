//! Manifests: looked up, read and written, each by its bytes.
//!
//! Distribution specification, "Pulling manifests" and "Pushing Manifests".

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};

use super::error::parse_details;
use super::http::Load;
use super::repository::{Call, Repository, Room};
use super::transport::Answer;
use crate::error::{Error, printable};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::media_type::{self, ACCEPT_MANIFEST};
use crate::image::reading::Shape;

/// The header that names the digest of what an answer holds.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// What a registry says about a tag or digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It is there, and names this.
    Present(Box<Descriptor>),
    /// It is not there.
    Absent,
    /// The registry would not say (403: Artifactory answers so for a tag that is missing).
    Unknown,
}

/// What is known of a manifest before it is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The digest that it must have in the end, for whoever asks.
    pub expected: Option<&'a Digest>,
    /// Its size in bytes, by the word of its index.
    pub size: Option<u64>,
}

impl Repository {
    /// What `reference`, a tag or digest, names, by `HEAD`: most registries don't count that as a pull.
    ///
    /// # Errors
    /// Any answer but "there", "not there" and "not for you to know".
    pub async fn head_manifest(&self, reference: &str) -> Result<Presence, Error> {
        let answer = self.ask_manifest(Method::HEAD, reference).await?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(Presence::Absent),
            403 => return Ok(Presence::Unknown),
            _ => return Err(self.error(answer, &format!("HEAD manifest {reference}")).await),
        }
        let said = content_digest(&answer);
        // Asked by digest, the answer is that digest, whatever a header says of it.
        let Some(digest) = reference.parse::<Digest>().ok().or(said) else {
            // A registry that doesn't say it leaves us to read the bytes.
            answer.discard().await;
            let read = self.read_manifest(reference, Asked::default()).await?;
            return Ok(
                read.map_or(Presence::Absent, |(manifest, _)| Presence::Present(Box::new(manifest.descriptor())))
            );
        };
        let size = answer.header(CONTENT_LENGTH).and_then(|size| size.parse().ok()).unwrap_or_default();
        let media_type = media_type::essence(answer.header(CONTENT_TYPE).unwrap_or_default());
        Ok(Presence::Present(Box::new(Descriptor::new(media_type, digest, size))))
    }

    /// The manifest that `reference`, a tag or digest, names; `None` if there is none.
    ///
    /// # Errors
    /// Bytes that don't have the digest that was asked for or that the registry says they have, or that are no manifest;
    /// one of an unknown type that nothing vouches for; a manifest over the size limit; an answer other than "there" and
    /// "not there".
    pub async fn get_manifest(&self, reference: &str, asked: Asked<'_>) -> Result<Option<Manifest>, Error> {
        let Some((manifest, is_vouched_for)) = self.read_manifest(reference, asked).await? else { return Ok(None) };
        if is_vouched_for || manifest.is_known() || asked.expected.is_some_and(|expected| manifest.is(expected)) {
            return Ok(Some(manifest));
        }
        Err(Error::NoManifest {
            reference: self.named(reference),
            answer: answered(&manifest.media_type, manifest.bytes.len()),
            reason: format!(
                "imgstep does not know that type, and no digest vouches for it; if it is what you mean, name it as {}@{}",
                self.name(),
                manifest.digest
            ),
        })
    }

    /// A manifest, and whether a digest vouches for its bytes: the one that was asked for, or that the registry names.
    async fn read_manifest(&self, reference: &str, asked: Asked<'_>) -> Result<Option<(Manifest, bool)>, Error> {
        let operation = format!("GET manifest {reference}");
        let answer = self.ask_manifest(Method::GET, reference).await?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.error(answer, &operation).await),
        }
        let said = content_digest(&answer);
        let content_type = answer.header(CONTENT_TYPE).unwrap_or_default().to_owned();
        let what = format!("manifest {reference} of {}", self.name());
        let limit = self.client.options().manifest_limit;
        let size = asked.size.filter(|size| *size < limit);
        let bytes = answer.bytes(size.unwrap_or(limit), &what).await.map_err(|error| match (error, size) {
            (Error::Malformed { what, .. }, Some(size)) => {
                Error::Malformed { what, reason: format!("it has more than the {size} bytes that its index says") }
            }
            (Error::Malformed { what, reason }, None) => {
                Error::Malformed { what, reason: format!("{reason}; --max-manifest-size allows more") }
            }
            (other, _) => other,
        })?;
        // The digest that was asked for must hold; so must the one that the registry names by itself.
        let expected: Vec<Digest> = reference.parse().ok().into_iter().chain(said).collect();
        let mismatch = |wrong: &Digest, actual| Err(Error::DigestMismatch { what, expected: wrong.clone(), actual });
        let manifest = match self.manifest_of(reference, &content_type, bytes.clone()) {
            Ok(manifest) => manifest,
            // Bytes that are not those that were meant say nothing of these.
            Err(error) => match expected.iter().find(|expected| expected.same_algorithm_of(&bytes) != **expected) {
                Some(wrong) => return mismatch(wrong, wrong.same_algorithm_of(&bytes)),
                None => return Err(error),
            },
        };
        if let Some(wrong) = expected.iter().find(|expected| !manifest.is(expected)) {
            return mismatch(wrong, manifest.digest);
        }
        Ok(Some((manifest, !expected.is_empty())))
    }

    /// The manifest that an answer's bytes are.
    fn manifest_of(&self, reference: &str, content_type: &str, bytes: Bytes) -> Result<Manifest, Error> {
        if let Err(reason) = Shape::of(&bytes) {
            let reason = match (bytes.trim_ascii_start().first(), parse_details(&bytes).first()) {
                (Some(b'{'), Some(error)) if !error.code.is_empty() => format!("it is an error, {error}"),
                (Some(b'{'), _) => reason,
                _ => "is this a registry?".to_owned(),
            };
            let answer = answered(content_type, bytes.len());
            return Err(Error::NoManifest { reference: self.named(reference), answer, reason });
        }
        Manifest::from_bytes(content_type, bytes).map_err(|error| match error {
            Error::Malformed { what, reason } => {
                Error::Malformed { what: self.named(reference), reason: format!("{what}: {reason}") }
            }
            other => other,
        })
    }

    /// A tag or digest of this repository in full.
    fn named(&self, reference: &str) -> String {
        let mark = if reference.contains(':') { '@' } else { ':' };
        format!("{}{mark}{reference}", self.name())
    }

    /// Writes `manifest` under `reference`, a tag or its digest.
    ///
    /// # Errors
    /// The registry refuses it, or says that it stored something else.
    pub async fn put_manifest(&self, reference: &str, manifest: &Manifest) -> Result<(), Error> {
        let operation = format!("PUT manifest {reference}");
        let content_type = HeaderValue::from_str(&manifest.media_type).map_err(|_| Error::Malformed {
            what: format!("manifest {}", manifest.digest),
            reason: "its media type can't stand in a header".to_owned(),
        })?;
        let headers = [(CONTENT_TYPE, content_type)];
        let call = Call {
            method: Method::PUT,
            url: self.url(&format!("manifests/{reference}")).await?,
            operation: operation.clone(),
            headers: &headers,
            body: Some(manifest.bytes.clone()),
            load: Load::of_request(Some(manifest.size())),
            room: Room::Wait,
            origin: self.origin().await?,
        };
        let answer = self.call(call).await?;
        if !answer.status().is_success() {
            return Err(self.error(answer, &operation).await);
        }
        if let Some(stored) = content_digest(&answer)
            && !manifest.is(&stored)
        {
            let what = format!("manifest {reference} as {} says it stored it", self.name());
            return Err(Error::DigestMismatch { what, expected: manifest.digest.clone(), actual: stored });
        }
        answer.discard().await;
        Ok(())
    }

    async fn ask_manifest(&self, method: Method, reference: &str) -> Result<Answer, Error> {
        let headers: [(HeaderName, HeaderValue); 1] = [(ACCEPT, HeaderValue::from_static(ACCEPT_MANIFEST))];
        let call = Call {
            operation: format!("{method} manifest {reference}"),
            method,
            url: self.url(&format!("manifests/{reference}")).await?,
            headers: &headers,
            body: None,
            load: Load::Light,
            room: Room::Wait,
            origin: self.origin().await?,
        };
        self.call(call).await
    }
}

/// What came, for a message: its type and its size.
fn answered(content_type: &str, size: usize) -> String {
    match (media_type::essence(content_type), size) {
        (_, 0) => "nothing".to_owned(),
        (none, _) if none.is_empty() => format!("{size} bytes"),
        (said, _) => format!("{}, {size} bytes", printable(&said, 120)),
    }
}

/// The digest that an answer says it is about; one that we can't verify is no help and no harm.
pub(super) fn content_digest(answer: &Answer) -> Option<Digest> {
    answer.header(CONTENT_DIGEST)?.trim().parse().ok()
}
