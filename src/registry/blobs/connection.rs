//! A blob, or a part of one, read by one connection at a time and resumed by `Range` when that breaks.
//!
//! RFC 9110, section 14.

use std::time::Instant;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_RANGE, HeaderName, HeaderValue, RANGE};
use url::Url;

use super::throughput::Throughput;
use crate::error::{Error, ErrorKind};
use crate::image::digest::Digest;
use crate::registry::http::location::redacted;
use crate::registry::http::retry::{Budget, FailureKind, temporary_failure};
use crate::registry::http::{ConnectionKind, HttpRequest, HttpResponse};
use crate::registry::repository::{ApiRequest, HostPermit, Permit, Repository};

/// How a blob is read, and how much may fail in all readings of it.
#[derive(Debug, Clone)]
pub struct BlobRead {
    /// How much may fail.
    pub budget: Budget,
    /// Whether to read it by a new connection and past caches, because the last bytes were wrong.
    pub afresh: bool,
    /// The permit for all readings, one at a time. Without one, each reader acquires its own.
    pub permit: Option<HostPermit>,
}

/// From the first byte on, up to the one before the second if there is one.
pub(super) type ByteRange = (u64, Option<u64>);

/// A request for a blob.
pub(super) struct BlobRequest<'a> {
    pub(super) method: Method,
    pub(super) digest: &'a Digest,
    pub(super) range: ByteRange,
    pub(super) connection: ConnectionKind,
    pub(super) permit: Permit<'a>,
}

impl Repository {
    pub(super) async fn request_blob(&self, blob: BlobRequest<'_>, budget: &Budget) -> Result<HttpResponse, Error> {
        let BlobRequest { method, digest, range, connection, permit } = blob;
        let range = range_header(range);
        let operation = format!("{method} blob {}", digest.short());
        let request = self.request(method, &format!("blobs/{digest}"), operation).await?;
        self.send_within(ApiRequest { headers: range.as_slice(), connection, permit, ..request }, budget).await
    }

    /// Requests bytes from a URL in a manifest: without credentials, even if it is our own registry's.
    async fn request_foreign(
        &self,
        url: Url,
        range: ByteRange,
        connection: ConnectionKind,
        budget: &Budget,
    ) -> Result<HttpResponse, Error> {
        let headers = range_header(range).into_iter().collect();
        let request = HttpRequest { headers, connection, ..HttpRequest::get(url) };
        loop {
            let result = self.transport().send(&request).await;
            let Some((failure, _)) = temporary_failure(&result) else { return result };
            let Some(wait) = budget.next(failure) else {
                let operation = format!("GET {}", redacted(&request.url));
                return Err(Error::network(operation, "the URL of a foreign layer gives no answer"));
            };
            tokio::time::sleep(wait).await;
        }
    }
}

fn range_header((start, end): ByteRange) -> Option<(HeaderName, HeaderValue)> {
    if start == 0 && end.is_none() {
        return None;
    }
    let last = end.map(|end| end.saturating_sub(1).to_string()).unwrap_or_default();
    HeaderValue::from_str(&format!("bytes={start}-{last}")).ok().map(|range| (RANGE, range))
}

/// Whether a partial answer starts where it was asked to (RFC 9110, section 14.4).
fn starts_at(response: &HttpResponse, offset: u64) -> bool {
    let Some(range) = response.header(CONTENT_RANGE) else { return false };
    let start = range.trim().strip_prefix("bytes").map(str::trim_start).and_then(|range| range.split('-').next());
    start.and_then(|start| start.trim().parse::<u64>().ok()) == Some(offset)
}

/// Reads the bytes of a blob from an offset on. They are not verified here.
pub(super) struct RangeReader {
    repository: Repository,
    digest: Digest,
    /// The URL of a foreign layer that the registry doesn't have.
    foreign_url: Option<Url>,
    /// The next byte to return.
    offset: u64,
    /// One past the last byte of a part of a blob.
    end: Option<u64>,
    /// The size of the blob in bytes.
    size: u64,
    /// How many bytes to drop first: the server started at 0 although it was asked to start later.
    skip: u64,
    response: Option<HttpResponse>,
    read: BlobRead,
    /// Where a body ended properly before the end of the blob.
    ended_at: Option<u64>,
    throughput: Throughput,
}

impl RangeReader {
    pub(super) fn new(repository: Repository, digest: Digest, offset: u64, size: u64, read: BlobRead) -> Self {
        Self {
            repository,
            digest,
            foreign_url: None,
            offset,
            end: None,
            size,
            skip: 0,
            response: None,
            read,
            ended_at: None,
            throughput: Throughput::new(),
        }
    }

    /// A reader of the bytes from `start` up to, but not including, `end`.
    pub(super) fn part(repository: Repository, digest: Digest, start: u64, end: u64, permit: HostPermit) -> Self {
        // If a part fails, its caller continues by one connection: one retry is enough.
        let budget = Budget::new(repository.retries().min(1));
        let read = BlobRead { budget, afresh: false, permit: Some(permit) };
        Self { end: Some(end), ..Self::new(repository, digest, start, end, read) }
    }

    /// Reads from another URL than the registry's.
    pub(super) fn read_from(&mut self, url: Url) {
        self.foreign_url = Some(url);
    }

    /// Whether several connections to the registry may be used: neither for foreign layers nor after wrong bytes.
    pub(super) fn may_be_parallel(&self) -> bool {
        self.foreign_url.is_none() && !self.read.afresh
    }

    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn throughput(&mut self) -> &mut Throughput {
        &mut self.throughput
    }

    /// Closes the connection; the next byte to return is `offset`.
    pub(super) fn seek(&mut self, offset: u64) {
        self.response = None;
        self.offset = offset;
    }

    /// Sends the request for the bytes from the offset on. A redirect's target may be valid only for minutes, so that each
    /// try starts at the registry.
    ///
    /// # Errors
    /// The blob doesn't exist, is too short, or can't be read.
    pub(super) async fn open(&mut self) -> Result<(), Error> {
        let connection = if self.read.afresh {
            ConnectionKind::Afresh
        } else {
            ConnectionKind::of_answer(self.size.saturating_sub(self.offset))
        };
        let range = (self.offset, self.end);
        let BlobRead { budget, permit, .. } = &mut self.read;
        let response = if let Some(url) = self.foreign_url.clone() {
            self.repository.request_foreign(url, range, connection, budget).await?
        } else {
            let permit = match permit {
                Some(permit) => permit,
                None => permit.insert(self.repository.host().permits(1).await?),
            };
            let (method, digest, permit) = (Method::GET, &self.digest, Permit::Held(permit));
            let request = BlobRequest { method, digest, range, connection, permit };
            self.repository.request_blob(request, budget).await?
        };
        self.skip = match response.status().as_u16() {
            206 if starts_at(&response, self.offset) => 0,
            200 => self.offset,
            416 => return Err(self.too_short()),
            _ => return Err(self.repository.error(response, &format!("GET blob {}", self.digest.short())).await),
        };
        self.response = Some(response);
        Ok(())
    }

    /// As [`Self::open`], but only if the server supports ranges.
    ///
    /// # Errors
    /// As [`Self::open`]; the server sends the whole blob.
    pub(super) async fn open_part(&mut self) -> Result<(), Error> {
        self.open().await?;
        if self.skip == 0 {
            return Ok(());
        }
        self.response = None;
        let operation = format!("GET blob {} of {}", self.digest.short(), self.repository.name());
        Err(Error::protocol(operation, "the registry ignores range requests"))
    }

    /// The next piece; `None` at the end of what the server sends.
    ///
    /// # Errors
    /// The connection broke too often.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.end.is_some_and(|end| self.offset >= end) {
                return Ok(None);
            }
            let Some(response) = self.response.as_mut() else {
                self.open().await?;
                continue;
            };
            let start = Instant::now();
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    self.throughput.observe(chunk.len(), start.elapsed());
                    let chunk = self.within_range(chunk);
                    if chunk.is_empty() {
                        continue;
                    }
                    self.advance(chunk.len());
                    return Ok(Some(chunk));
                }
                Ok(None) => return Ok(None),
                Err(error) if error.is_network() => self.wait_to_resume(error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// The bytes of a chunk that were asked for: a server may start before the offset.
    fn within_range(&mut self, mut chunk: Bytes) -> Bytes {
        if self.skip > 0 {
            let dropped = chunk.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= dropped as u64;
            chunk = chunk.slice(dropped..);
        }
        if let Some(end) = self.end {
            chunk.truncate(usize::try_from(end.saturating_sub(self.offset)).unwrap_or(usize::MAX));
        }
        chunk
    }

    /// Counts bytes that were returned, also by others in place of this reader.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.offset += bytes as u64;
        self.read.budget.progress(self.offset, self.size);
    }

    fn too_short(&self) -> Error {
        Error::from(ErrorKind::WrongBytes {
            what: format!("blob of {}", self.repository.name()),
            expected: self.digest.clone(),
            found: vec![format!("only {} of {} bytes", self.offset, self.size)],
        })
    }

    /// The server ended the body before the end of the blob, perhaps cut by a proxy: the rest is requested once.
    ///
    /// # Errors
    /// The body ended at the same byte before: there is no more.
    pub(super) async fn ended_early(&mut self) -> Result<(), Error> {
        if self.ended_at.replace(self.offset) == Some(self.offset) {
            return Err(self.too_short());
        }
        self.wait_to_resume(Error::network("its body", format!("it ended after {} bytes", self.offset))).await
    }

    async fn wait_to_resume(&mut self, error: Error) -> Result<(), Error> {
        self.response = None;
        let Some(wait) = self.read.budget.next(FailureKind::Unanswered(error.silence())) else {
            return Err(self.repository.unanswered(error, &format!("GET blob {}", self.digest.short())));
        };
        self.repository.note_retry(&self.read.budget, &self.repository.reason(&error));
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
