//! Blobs: download, existence, deletion (distribution specification, "Pulling blobs", "Deleting Blobs").

use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, IF_RANGE, RANGE};
use http::{HeaderMap, StatusCode};

use super::Registry;
use super::answer::{Chunks, Code, FileBody, Refusal, Reply, ReplyBody, answer};
use super::range::{self, RequestedRange};
use super::storage::{Deleted, StoredContent, open_at};
use crate::image::digest::Digest;

/// Parses a digest from a request.
///
/// # Errors
/// `400` with `DIGEST_INVALID`.
pub(super) fn parse_digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|error: crate::image::digest::DigestError| {
        Refusal::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, error.to_string())
    })
}

/// The URL path of a blob.
pub(super) fn location(name: &str, digest: &Digest) -> String {
    format!("/v2/{name}/blobs/{digest}")
}

fn unknown(name: &str, digest: &Digest) -> Refusal {
    Refusal::not_found(Code::BlobUnknown, format!("{name} holds no blob {digest}"))
}

/// `GET` and `HEAD` (end-2).
pub(super) fn get(
    registry: &Registry,
    name: &str,
    digest: &str,
    headers: &HeaderMap,
    head: bool,
) -> Result<Reply, Refusal> {
    let digest = parse_digest(digest)?;
    let Some((size, content)) = registry.storage.blob(name, &digest) else {
        return Err(unknown(name, &digest));
    };
    let etag = format!("\"{digest}\"");
    let header = headers.get(RANGE).and_then(|value| value.to_str().ok());
    // If `If-Range` names other content, the range is ignored (RFC 9110, section 13.1.5).
    let conditional = headers.get(IF_RANGE).is_none_or(|value| value.as_bytes() == etag.as_bytes());
    let wanted = if head || !conditional { RequestedRange::Whole } else { range::wanted(header, size) };
    let (status, first, length) = match wanted {
        RequestedRange::Whole => (StatusCode::OK, 0, size),
        RequestedRange::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        RequestedRange::Unsatisfiable => {
            let message = format!("the blob has {size} bytes");
            return Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::SizeInvalid, message)
                .with(CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    let body =
        if head { ReplyBody::Empty } else { open(content, first, length)?.ok_or_else(|| unknown(name, &digest))? };
    let mut found = answer(status, body)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
        .header(ACCEPT_RANGES, HeaderValue::from_static("bytes"))
        .header(ETAG, etag)
        .digest(&digest)
        .only_head(head, size);
    if status == StatusCode::PARTIAL_CONTENT {
        found = found.header(CONTENT_RANGE, format!("bytes {first}-{}/{size}", first + length - 1));
    }
    Ok(found.finish())
}

/// The body of a download. `None` if the blob was deleted in the meantime.
fn open(content: StoredContent, first: u64, length: u64) -> Result<Option<ReplyBody>, Refusal> {
    if length == 0 {
        return Ok(Some(ReplyBody::Empty));
    }
    match content {
        StoredContent::Chunks(chunks) => Ok(Some(ReplyBody::Chunks(Chunks::new(chunks, first, length)))),
        StoredContent::File(path) => {
            Ok(open_at(&path, first)?.map(|file| ReplyBody::File(FileBody::new(file, length))))
        }
    }
}

/// `DELETE` (end-10).
pub(super) fn delete(registry: &Registry, name: &str, digest: &str) -> Result<Reply, Refusal> {
    let digest = parse_digest(digest)?;
    match registry.storage.delete_blob(name, &digest)? {
        Deleted::Done => Ok(answer(StatusCode::ACCEPTED, ReplyBody::Empty).digest(&digest).finish()),
        Deleted::Missing => Err(unknown(name, &digest)),
        Deleted::NoRepository => Err(no_repository(name)),
    }
}

/// `404` with `NAME_UNKNOWN`.
pub(super) fn no_repository(name: &str) -> Refusal {
    Refusal::not_found(Code::NameUnknown, format!("there is no repository {name}"))
}
