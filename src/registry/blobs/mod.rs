//! Blobs: whether they exist, and reading them, by one connection or by several.
//!
//! Distribution specification, "Pulling blobs" and "Checking if content exists in the registry".

mod connection;
mod parallel;
mod reader;
mod throughput;

use http::Method;
use http::header::CONTENT_LENGTH;
use url::Url;

pub(crate) use self::connection::BlobRead;
use self::connection::{BlobRequest, RangeReader};
pub(crate) use self::reader::BlobReader;
use super::http::ConnectionKind;
use super::repository::{Permit, Repository};
use crate::error::Error;
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;

/// How many URLs of a foreign layer are tried.
const URLS_TRIED: usize = 3;

/// A blob that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobPresence {
    /// The size in bytes, if the registry sent it.
    pub size: Option<u64>,
}

impl Repository {
    /// Whether a blob exists, and its size if the registry sends it.
    ///
    /// # Errors
    /// The registry's answer is neither that it exists nor that it doesn't.
    pub async fn head_blob(&self, digest: &Digest, permit: Permit<'_>) -> Result<Option<BlobPresence>, Error> {
        let connection = ConnectionKind::Shared;
        let request = BlobRequest { method: Method::HEAD, digest, range: (0, None), connection, permit };
        let response = self.request_blob(request, &self.budget()).await?;
        match response.status().as_u16() {
            200 => {
                let size = response.header(CONTENT_LENGTH).and_then(|size| size.parse().ok());
                Ok(Some(BlobPresence { size }))
            }
            404 => Ok(None),
            // Storage behind a redirect may refuse HEAD; the redirect means that the registry has the blob.
            _ if response.redirected => Ok(Some(BlobPresence { size: None })),
            _ => Err(self.error(response, &format!("HEAD blob {}", digest.short())).await),
        }
    }

    /// Starts reading a blob at byte `offset`. A foreign layer that the registry doesn't have is read from its URLs, over
    /// TLS and without credentials: whoever serves it, the bytes must have the digest. (Callers that don't want foreign
    /// layers open none.)
    ///
    /// # Errors
    /// The blob doesn't exist, or can't be read.
    pub async fn open_blob(&self, blob: &Descriptor, offset: u64, read: &BlobRead) -> Result<BlobReader, Error> {
        let mut reader = RangeReader::new(self.clone(), blob.digest.clone(), offset, blob.size, read.clone());
        let Err(error) = reader.open().await else { return Ok(BlobReader::new(reader)) };
        if error.registry().is_none_or(|error| error.status != 404) {
            return Err(error);
        }
        if !blob.is_foreign() {
            return Err(
                error.with_hint("its manifest exists without it, so the source is damaged or was only partly copied")
            );
        }
        // Manifests are untrusted: only the URLs of foreign layers are requested, which callers must have asked for.
        for url in blob.urls.iter().take(URLS_TRIED).filter_map(|url| url.parse().ok()).filter(may_be_requested) {
            reader.read_from(url);
            if reader.open().await.is_ok() {
                return Ok(BlobReader::new(reader));
            }
        }
        Err(error.with_hint("it is a foreign layer, and none of its URLs has it; only https URLs are tried"))
    }
}

/// Whether a URL from a manifest may be requested at all. Plain HTTP would reach services of this machine and its network
/// that trust whoever can connect to them; TLS proves that a host is what its name says.
fn may_be_requested(url: &Url) -> bool {
    url.scheme() == "https" && url.host_str().is_some() && url.username().is_empty() && url.password().is_none()
}
