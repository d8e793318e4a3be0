//! Manifests: looked up, read and written, each by its bytes.
//!
//! Distribution specification, "Pulling manifests" and "Pushing Manifests".

use http::Method;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};

use super::http::Load;
use super::repository::{Call, Repository, Room};
use super::transport::Answer;
use crate::error::Error;
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::media_type::{self, ACCEPT_MANIFEST};

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
            return Ok(match self.get_manifest(reference).await? {
                Some(manifest) => Presence::Present(Box::new(manifest.descriptor())),
                None => Presence::Absent,
            });
        };
        let size = answer.header(CONTENT_LENGTH).and_then(|size| size.parse().ok()).unwrap_or_default();
        let media_type = media_type::essence(answer.header(CONTENT_TYPE).unwrap_or_default());
        Ok(Presence::Present(Box::new(Descriptor::new(media_type, digest, size))))
    }

    /// The manifest that `reference`, a tag or digest, names; `None` if there is none.
    ///
    /// # Errors
    /// Bytes that don't have the digest that was asked for or that the registry says they have; a manifest over the
    /// size limit; an answer other than "there" and "not there".
    pub async fn get_manifest(&self, reference: &str) -> Result<Option<Manifest>, Error> {
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
        let bytes = answer.bytes(limit, &what).await.map_err(|error| match error {
            Error::Malformed { what, reason } => {
                Error::Malformed { what, reason: format!("{reason}; --max-manifest-size allows more") }
            }
            other => other,
        })?;
        let manifest = Manifest::from_bytes(&content_type, bytes)?;
        // The digest that was asked for must hold; so must the one that the registry names by itself.
        for expected in reference.parse::<Digest>().ok().into_iter().chain(said) {
            if !manifest.is(&expected) {
                return Err(Error::DigestMismatch { what, expected, actual: manifest.digest });
            }
        }
        Ok(Some(manifest))
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

/// The digest that an answer says it is about; one that we can't verify is no help and no harm.
pub(super) fn content_digest(answer: &Answer) -> Option<Digest> {
    answer.header(CONTENT_DIGEST)?.trim().parse().ok()
}
