//! HTTP responses: the specification's headers, error envelopes and streamed bodies.

use std::fs::File;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::image::digest::Digest;
use crate::text::printable;

/// The digest of the requested or written content.
pub(super) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The API version, which old Docker clients check.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// Read size in bytes; each download holds two such blocks in memory.
const BLOCK: u64 = 256 * 1024;

/// The response type.
pub(super) type Reply = Response<ReplyBody>;

/// An error's code (distribution specification, "Error Codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// code-1.
    BlobUnknown,
    /// code-2.
    BlobUploadInvalid,
    /// code-3.
    BlobUploadUnknown,
    /// code-4.
    DigestInvalid,
    /// code-5.
    ManifestBlobUnknown,
    /// code-6.
    ManifestInvalid,
    /// code-7.
    ManifestUnknown,
    /// code-8.
    NameInvalid,
    /// code-9.
    NameUnknown,
    /// code-10.
    SizeInvalid,
    /// code-13.
    Unsupported,
    /// code-14.
    TooManyRequests,
    /// Not in the specification: the server itself failed (5xx).
    Unknown,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A rejected request.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    errors: Vec<(Code, String)>,
    headers: Vec<(HeaderName, String)>,
}

impl Refusal {
    /// Rejects a request for one reason. `message` may quote the client.
    pub(super) fn new(status: StatusCode, code: Code, message: impl AsRef<str>) -> Self {
        Self { status, errors: vec![(code, printable(message.as_ref(), 500))], headers: Vec::new() }
    }

    /// Rejects a request for several reasons of one kind.
    pub(super) fn many(status: StatusCode, code: Code, messages: Vec<String>) -> Self {
        Self { status, errors: messages.into_iter().map(|message| (code, message)).collect(), headers: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// `404` for something that doesn't exist.
    pub(super) fn not_found(code: Code, message: impl AsRef<str>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// `405`, with the allowed methods.
    pub(super) fn method(allowed: &'static str, message: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message).with(ALLOW, allowed)
    }

    /// Whether it is the server's fault.
    pub(super) fn is_our_fault(&self) -> bool {
        self.status.is_server_error()
    }

    /// The response.
    pub(super) fn into_answer(self) -> Reply {
        let errors: Vec<_> = self
            .errors
            .iter()
            .map(|(code, message)| serde_json::json!({ "code": code.text(), "message": message }))
            .collect();
        let body = serde_json::json!({ "errors": errors }).to_string();
        let mut answer = answer(self.status, ReplyBody::from(body)).header(CONTENT_TYPE, "application/json");
        for (name, value) in self.headers {
            answer = answer.header(name, value);
        }
        answer.finish()
    }
}

/// The storage failed. The system's message contains no path, so the client may see it.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, format!("the storage failed: {error}"))
    }
}

/// A response being built.
pub(super) struct Builder(http::response::Builder, ReplyBody);

/// Starts a response.
pub(super) fn answer(status: StatusCode, body: impl Into<ReplyBody>) -> Builder {
    let builder = Response::builder().status(status).header(API_VERSION, HeaderValue::from_static("registry/2.0"));
    Builder(builder, body.into())
}

impl Builder {
    /// Adds a header.
    #[must_use]
    pub(super) fn header(self, name: HeaderName, value: impl TryInto<HeaderValue, Error: Into<http::Error>>) -> Self {
        Self(self.0.header(name, value), self.1)
    }

    /// Adds `Docker-Content-Digest`.
    #[must_use]
    pub(super) fn digest(self, digest: &Digest) -> Self {
        self.header(DOCKER_CONTENT_DIGEST, digest.as_str())
    }

    /// Adds `Location`, relative to this server.
    #[must_use]
    pub(super) fn location(self, path: String) -> Self {
        self.header(LOCATION, path)
    }

    /// Answers a `HEAD`: the length of the `GET` response, without a body.
    #[must_use]
    pub(super) fn only_head(self, head: bool, length: u64) -> Self {
        if head { Self(self.0.header(CONTENT_LENGTH, length), ReplyBody::Empty) } else { self }
    }

    /// Builds the response. An invalid header turns it into a plain `500`.
    pub(super) fn finish(self) -> Reply {
        self.0.body(self.1).unwrap_or_else(|_| {
            let mut failed = Response::new(ReplyBody::Empty);
            *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            failed
        })
    }
}

/// A response body of known length.
pub(super) enum ReplyBody {
    /// Empty.
    Empty,
    /// Bytes in memory.
    Whole(Bytes),
    /// A part of a blob held as chunks.
    Chunks(Chunks),
    /// A part of a file.
    File(FileBody),
}

impl From<Bytes> for ReplyBody {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Whole(bytes) }
    }
}

impl From<String> for ReplyBody {
    fn from(text: String) -> Self {
        Self::from(Bytes::from(text))
    }
}

/// A slice of a list of chunks.
pub(super) struct Chunks {
    list: Arc<[Bytes]>,
    next: usize,
    skip: u64,
    left: u64,
}

impl Chunks {
    /// `length` bytes from offset `first`.
    pub(super) fn new(chunks: Arc<[Bytes]>, first: u64, length: u64) -> Self {
        Self { list: chunks, next: 0, skip: first, left: length }
    }

    fn take(&mut self) -> Option<Bytes> {
        while self.left > 0 {
            let chunk = self.list.get(self.next)?;
            self.next += 1;
            // A skipped chunk is smaller than `usize::MAX`, so neither conversion can truncate.
            let skip = usize::try_from(self.skip).unwrap_or(usize::MAX);
            if skip >= chunk.len() {
                self.skip -= chunk.len() as u64;
                continue;
            }
            let take = (chunk.len() - skip).min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.skip = 0;
            self.left -= take as u64;
            return Some(chunk.slice(skip..skip + take));
        }
        None
    }
}

/// A part of a file, read one block ahead.
pub(super) struct FileBody {
    /// Bytes left to send.
    left: u64,
    reading: Option<JoinHandle<io::Result<(File, Bytes)>>>,
}

impl FileBody {
    /// The next `length` bytes of `file`.
    pub(super) fn new(file: File, length: u64) -> Self {
        Self { left: length, reading: Some(read_block(file, length)) }
    }

    fn poll_block(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(None);
        };
        let (file, block) = match std::task::ready!(Pin::new(reading).poll(context)) {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Poll::Ready(Some(Err(error))),
            Err(error) => return Poll::Ready(Some(Err(io::Error::other(error)))),
        };
        self.left = self.left.saturating_sub(block.len() as u64);
        self.reading = (self.left > 0).then(|| read_block(file, self.left));
        Poll::Ready(Some(Ok(block)))
    }
}

/// Reads the next block on another thread. A short file is an error, since its length was announced.
fn read_block(file: File, left: u64) -> JoinHandle<io::Result<(File, Bytes)>> {
    tokio::task::spawn_blocking(move || {
        let length = left.min(BLOCK);
        let mut block = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        (&file).take(length).read_to_end(&mut block)?;
        if (block.len() as u64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((file, Bytes::from(block)))
    })
}

impl HttpBody for ReplyBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let bytes = match this {
            Self::Empty => None,
            Self::Whole(_) => match std::mem::replace(this, Self::Empty) {
                Self::Whole(bytes) => Some(Ok(bytes)),
                _ => None,
            },
            Self::Chunks(chunks) => chunks.take().map(Ok),
            Self::File(file) => std::task::ready!(file.poll_block(context)),
        };
        Poll::Ready(bytes.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Empty => 0,
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Chunks(chunks) => chunks.left,
            Self::File(file) => file.left,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(first: u64, length: u64) -> Vec<u8> {
        let chunks: Arc<[Bytes]> = [&b"abc"[..], b"", b"defg", b"h"].map(Bytes::from_static).into();
        let mut body = Chunks::new(chunks, first, length);
        let mut out = Vec::new();
        while let Some(bytes) = body.take() {
            out.extend_from_slice(&bytes);
        }
        out
    }

    #[test]
    fn any_part_of_a_list_of_chunks() {
        for first in 0..=8u64 {
            for last in first..=8u64 {
                let from = usize::try_from(first).unwrap();
                let to = usize::try_from(last).unwrap();
                assert_eq!(part(first, last - first), b"abcdefgh"[from..to], "{first}..{last}");
            }
        }
    }

    #[test]
    fn an_error_is_an_envelope_and_quotes_safely() {
        let refusal = Refusal::not_found(Code::BlobUnknown, "no \u{1b}[2J here");
        let body = match refusal.into_answer().into_body() {
            ReplyBody::Whole(body) => body,
            _ => Bytes::new(),
        };
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["errors"][0]["code"], "BLOB_UNKNOWN");
        assert_eq!(body["errors"][0]["message"], "no \\u{1b}[2J here");
    }
}
