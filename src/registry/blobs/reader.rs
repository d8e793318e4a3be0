//! Blobs: whether they are there, and reading them, resumed where a connection broke.
//!
//! Distribution specification, "Pulling blobs" and "Checking if content exists in the registry"; RFC 9110, section 14.

use std::time::Instant;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, HeaderValue, RANGE};
use url::Url;

use super::parallel::{Next, ParallelFetch, Throughput};
use crate::error::{Error, ErrorKind};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::registry::http::location::redacted;
use crate::registry::http::retry::{Budget, FailureKind, temporary_failure};
use crate::registry::http::{ConnectionKind, HttpRequest, HttpResponse};
use crate::registry::repository::{ApiRequest, Permit, Repository};

/// Of the URLs of a foreign layer no more are tried.
const URLS_TRIED: usize = 3;

/// How a blob is read, and what all readings of it may fail together.
#[derive(Debug, Clone)]
pub struct BlobRead {
    /// What may fail.
    pub budget: Budget,
    /// By a connection that nobody used before, and past caches: the bytes that came last were wrong.
    pub afresh: bool,
}

/// A blob being read. It is resumed by Range when its connection breaks; its bytes are not checked here.
pub struct BlobReader {
    repository: Repository,
    digest: Digest,
    /// Where the registry doesn't have it: another address, that of a foreign layer.
    elsewhere: Option<Url>,
    /// The next byte to hand out.
    offset: u64,
    /// Bytes to drop first: the server began at 0 although asked to begin later.
    skip: u64,
    answer: Option<HttpResponse>,
    reading: BlobRead,
    /// Where a body ended in good order, before the blob's end.
    ended_at: Option<u64>,
    /// The blob's size in bytes.
    size: u64,
    /// Of a part of a blob: one past its last byte.
    until: Option<u64>,
    pace: Throughput,
    ahead: Option<ParallelFetch>,
    /// It stays with one connection.
    is_single: bool,
}

impl Repository {
    /// Whether a blob is there, and its size in bytes where the registry says it.
    ///
    /// # Errors
    /// An answer other than "there" and "not there".
    pub async fn head_blob(&self, digest: &Digest, room: Permit) -> Result<Option<BlobPresence>, Error> {
        let question = Question {
            method: Method::HEAD,
            digest,
            range: (0, None),
            connection: ConnectionKind::Shared,
            permit: room,
        };
        let answer = self.ask_blob(question, &self.budget()).await?;
        match answer.status().as_u16() {
            200 => {
                let size = answer.header(CONTENT_LENGTH).and_then(|size| size.parse().ok());
                Ok(Some(BlobPresence { size }))
            }
            404 => Ok(None),
            // Storage behind a redirect may refuse HEAD; that the registry redirects says that it has the blob.
            _ if answer.redirected => Ok(Some(BlobPresence { size: None })),
            _ => Err(self.error(answer, &format!("HEAD blob {}", digest.short())).await),
        }
    }

    /// Begins to read a blob at byte `offset`. A foreign layer that the registry lacks is read from its URLs, over TLS and
    /// without credentials: whatever they answer must have the digest. (Who does not want foreign layers opens none.)
    ///
    /// # Errors
    /// The blob is not there, or can't be had.
    pub async fn open_blob(&self, blob: &Descriptor, offset: u64, reading: &BlobRead) -> Result<BlobReader, Error> {
        let mut reader = BlobReader::new(self.clone(), blob.digest.clone(), offset, reading.clone());
        reader.size = blob.size;
        let Err(error) = reader.open().await else { return Ok(reader) };
        let is_missing = error.registry().is_some_and(|error| error.status == 404);
        // A manifest is not ours: whatever it names is asked for only where that was wished, which is of foreign layers.
        for url in blob.urls.iter().take(URLS_TRIED).filter(|_| is_missing && blob.is_foreign()) {
            reader.elsewhere = url.parse().ok().filter(may_be_asked);
            if reader.elsewhere.is_some() && reader.open().await.is_ok() {
                return Ok(reader);
            }
        }
        if !is_missing {
            return Err(error);
        }
        let hint = if blob.is_foreign() {
            "it is a foreign layer, and none of its URLs has it; only https URLs are tried"
        } else {
            "its manifest exists without it, so the source is damaged or was only partly copied"
        };
        Err(error.with_hint(hint))
    }

    async fn ask_blob(&self, question: Question<'_>, budget: &Budget) -> Result<HttpResponse, Error> {
        let Question { method, digest, range, connection, permit } = question;
        let range = range_header(range);
        let operation = format!("{method} blob {}", digest.short());
        let request = self.request(method, &format!("blobs/{digest}"), operation).await?;
        self.send_within(ApiRequest { headers: range.as_slice(), connection, permit, ..request }, budget).await
    }

    /// Requests bytes at a URL that a manifest named: without credentials, not even for our own registry.
    async fn ask_elsewhere(
        &self,
        url: Url,
        range: Range,
        connection: ConnectionKind,
        budget: &Budget,
    ) -> Result<HttpResponse, Error> {
        let headers = range_header(range).into_iter().collect();
        let request = HttpRequest { headers, connection, ..HttpRequest::get(url) };
        loop {
            let result = self.transport().send(&request).await;
            let Some((failure, _)) = temporary_failure(&result) else { return result };
            let Some(wait) = budget.next(failure) else {
                return Err(Error::network(
                    format!("GET {}", redacted(&request.url)),
                    "the URL of a foreign layer gives no answer",
                ));
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// Whether an address that a manifest names may be asked at all. Plain HTTP may not: it would reach services of this
/// machine and of its network that trust whoever can speak to them, and TLS proves that a host is what its name says.
fn may_be_asked(url: &Url) -> bool {
    url.scheme() == "https" && url.host_str().is_some() && url.username().is_empty() && url.password().is_none()
}

fn range_header((offset, until): Range) -> Option<(HeaderName, HeaderValue)> {
    if offset == 0 && until.is_none() {
        return None;
    }
    let end = until.map(|until| until.saturating_sub(1).to_string()).unwrap_or_default();
    HeaderValue::from_str(&format!("bytes={offset}-{end}")).ok().map(|range| (RANGE, range))
}

/// What is asked of a blob, and how.
struct Question<'a> {
    method: Method,
    digest: &'a Digest,
    range: Range,
    connection: ConnectionKind,
    permit: Permit,
}

/// From this byte on, before that one if there is an end.
type Range = (u64, Option<u64>);

/// What a registry says of a blob that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobPresence {
    /// The size in bytes, where it is said.
    pub size: Option<u64>,
}

impl BlobReader {
    fn new(repository: Repository, digest: Digest, offset: u64, reading: BlobRead) -> Self {
        Self {
            repository,
            digest,
            elsewhere: None,
            offset,
            skip: 0,
            answer: None,
            is_single: reading.afresh,
            reading,
            ended_at: None,
            size: 0,
            until: None,
            pace: Throughput::new(),
            ahead: None,
        }
    }

    /// A reader of the bytes from `start` to before `end`.
    pub(crate) fn part(repository: Repository, digest: Digest, start: u64, end: u64) -> Self {
        // Who asks for parts reads on by one connection where they fail: one retry is enough.
        let budget = Budget::new(repository.client.options().retries.min(1));
        let reading = BlobRead { budget, afresh: false };
        Self { size: end, until: Some(end), is_single: true, ..Self::new(repository, digest, start, reading) }
    }

    /// Opens a part.
    ///
    /// # Errors
    /// It can't be had, or the server has no parts.
    pub(crate) async fn open_part(&mut self) -> Result<(), Error> {
        self.open().await?;
        if self.skip == 0 {
            return Ok(());
        }
        self.answer = None;
        let operation = format!("GET blob {} of {}", self.digest.short(), self.repository.name());
        Err(Error::protocol(operation, "the registry ignores range requests"))
    }

    async fn open(&mut self) -> Result<(), Error> {
        // A redirect's target may live for minutes only: each try begins at the registry again.
        let connection = if self.reading.afresh {
            ConnectionKind::Afresh
        } else {
            ConnectionKind::of_answer(self.size.saturating_sub(self.offset))
        };
        let range = (self.offset, self.until);
        let question = Question { method: Method::GET, digest: &self.digest, range, connection, permit: Permit::Held };
        let answer = match self.elsewhere.clone() {
            Some(url) => self.repository.ask_elsewhere(url, range, connection, &self.reading.budget).await?,
            None => self.repository.ask_blob(question, &self.reading.budget).await?,
        };
        self.skip = match answer.status().as_u16() {
            206 if starts_at(&answer, self.offset) => 0,
            200 => self.offset,
            416 => return Err(self.too_short()),
            _ => return Err(self.repository.error(answer, &format!("GET blob {}", self.digest.short())).await),
        };
        self.answer = Some(answer);
        Ok(())
    }

    /// The next piece; `None` at the end of what the server sends.
    ///
    /// # Errors
    /// The connection broke more often than is borne.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.until.is_some_and(|until| self.offset >= until) {
                return Ok(None);
            }
            if let Some(piece) = self.next_of_parts().await {
                return Ok(Some(piece));
            }
            let Some(answer) = self.answer.as_mut() else {
                self.open().await?;
                continue;
            };
            let asked = Instant::now();
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    self.pace.observe(chunk.len(), asked.elapsed());
                    let chunk = self.wanted_of(chunk);
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

    /// What of a chunk was asked for: a server may begin before, and go on where parts take over.
    fn wanted_of(&mut self, mut chunk: Bytes) -> Bytes {
        if self.skip > 0 {
            let dropped = chunk.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= dropped as u64;
            chunk = chunk.slice(dropped..);
        }
        let end = self.ahead.as_ref().filter(|ahead| ahead.answered() == Some(true)).map(|ahead| ahead.begin);
        if let Some(end) = self.until.or(end) {
            chunk.truncate(usize::try_from(end.saturating_sub(self.offset)).unwrap_or(usize::MAX));
        }
        chunk
    }

    /// The next bytes, where they come by several connections. Whether they do is decided on the way.
    async fn next_of_parts(&mut self) -> Option<Bytes> {
        if self.is_single || self.elsewhere.is_some() {
            return None;
        }
        let Some(ahead) = &mut self.ahead else {
            self.ahead = ParallelFetch::begin(&self.repository, &self.digest, &mut self.pace, self.offset, self.size);
            return None;
        };
        if self.offset < ahead.begin {
            match ahead.answered() {
                Some(true) => ahead.fill(&self.repository, &self.digest),
                Some(false) => self.is_single = true,
                None => {}
            }
        } else if ahead.answered() == Some(true) {
            // What the first connection holds beyond this is not needed.
            self.answer = None;
            if let Next::Piece(piece) = ahead.next(&self.repository, &self.digest).await {
                self.advance(piece.len());
                return Some(piece);
            }
            self.is_single = true;
        } else {
            // The first connection was faster than the answer.
            self.is_single = true;
        }
        if self.is_single {
            self.ahead = None;
        }
        None
    }

    fn advance(&mut self, bytes: usize) {
        self.offset += bytes as u64;
        self.reading.budget.progress(self.offset, self.size);
    }

    fn too_short(&self) -> Error {
        Error::from(ErrorKind::WrongBytes {
            what: format!("blob of {}", self.repository.name()),
            expected: self.digest.clone(),
            found: vec![format!("no more than {} of {} bytes", self.offset, self.size)],
        })
    }

    /// The server ended the body before the blob's end: asks for the rest, once. (A proxy may have cut it.)
    ///
    /// # Errors
    /// It ended there before: there is no more.
    pub async fn ended_early(&mut self) -> Result<(), Error> {
        if self.ended_at.replace(self.offset) == Some(self.offset) {
            return Err(self.too_short());
        }
        let error = Error::network("its body", format!("it ended after {} bytes", self.offset));
        self.wait_to_resume(error).await
    }

    async fn wait_to_resume(&mut self, error: Error) -> Result<(), Error> {
        self.answer = None;
        let Some(wait) = self.reading.budget.next(FailureKind::Unanswered(error.silence())) else {
            return Err(self.repository.unanswered(error, &format!("GET blob {}", self.digest.short())));
        };
        let repository = &self.repository;
        repository.client.note_retry(&repository.host, self.reading.budget.failures(), &repository.reason(&error));
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Whether a partial answer begins where it was asked to (RFC 9110, section 14.4).
fn starts_at(answer: &HttpResponse, offset: u64) -> bool {
    let Some(range) = answer.header(CONTENT_RANGE) else { return false };
    let start = range.trim().strip_prefix("bytes").map(str::trim_start).and_then(|range| range.split('-').next());
    start.and_then(|start| start.trim().parse::<u64>().ok()) == Some(offset)
}
