//! Uploads: sessions, chunks, monolithic uploads and mounts (distribution specification, "Pushing blobs").

use http::header::{CONTENT_RANGE, HeaderName, RANGE};
use http::{HeaderMap, StatusCode};

use super::Registry;
use super::answer::{Code, Refusal, Reply, ReplyBody, answer};
use super::blobs::{location, parse_digest};
use super::body::RequestBody;
use super::range::{self, Chunk};
use super::routes::Query;
use super::sessions::{Open, Session, new_id};
use super::storage::writer::{BlobWriter, FinishError};
use crate::image::digest::{Algorithm, Digest};

/// The session's id, for old Docker clients.
const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

fn upload_location(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// The range received so far. The specification can't express "nothing"; every registry sends `0-0` then.
fn received(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}

/// `POST` (end-4a, end-4b, end-4c, end-11).
pub(super) async fn post(
    registry: &Registry,
    name: &str,
    query: &Query,
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<Reply, Refusal> {
    if let Some(digest) = query.get("mount") {
        let digest = parse_digest(digest)?;
        // Without `from`, only this repository is searched: the client may not be allowed to see others.
        let from = query.get("from").filter(|from| !from.is_empty()).unwrap_or(name);
        if registry.storage.mount(name, from, &digest)? {
            return Ok(created(name, &digest));
        }
        return begin(registry, name, digest.algorithm());
    }
    if let Some(digest) = query.get("digest") {
        let digest = parse_digest(digest)?;
        let mut writer = registry.storage.writer(digest.algorithm());
        receive(headers, body, &mut writer, &format!("/v2/{name}/blobs/uploads/")).await?;
        return finish(registry, name, writer, digest).await;
    }
    begin(registry, name, algorithm(query)?)
}

fn algorithm(query: &Query) -> Result<Algorithm, Refusal> {
    match query.get("digest-algorithm") {
        None | Some("" | "sha256") => Ok(Algorithm::Sha256),
        Some("sha512") => Ok(Algorithm::Sha512),
        Some(other) => {
            let message = format!("the algorithm `{other}` is not supported; use sha256 or sha512");
            Err(Refusal::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, message))
        }
    }
}

fn begin(registry: &Registry, name: &str, algorithm: Algorithm) -> Result<Reply, Refusal> {
    let id = new_id();
    let writer = registry.storage.writer(algorithm);
    registry.sessions.begin(id.clone(), name, writer)?;
    Ok(progress(StatusCode::ACCEPTED, &upload_location(name, &id), &id, 0))
}

/// A response about an open session.
fn progress(status: StatusCode, location: &str, id: &str, length: u64) -> Reply {
    answer(status, ReplyBody::Empty)
        .location(location.to_owned())
        .header(RANGE, received(length))
        .header(DOCKER_UPLOAD_UUID, id)
        .finish()
}

fn created(name: &str, digest: &Digest) -> Reply {
    answer(StatusCode::CREATED, ReplyBody::Empty).location(location(name, digest)).digest(digest).finish()
}

/// `GET`: the upload's progress (end-13).
pub(super) async fn status(registry: &Registry, name: &str, id: &str) -> Result<Reply, Refusal> {
    let session = registry.sessions.find(name, id)?;
    let length = session.lock().await?.writer()?.length();
    Ok(progress(StatusCode::NO_CONTENT, &upload_location(name, id), id, length))
}

/// `DELETE`: cancels the upload (end-14).
pub(super) async fn cancel(registry: &Registry, name: &str, id: &str) -> Result<Reply, Refusal> {
    let session = registry.sessions.find(name, id)?;
    // Waits for a request in progress, so that it can't succeed after this response.
    let writer = session.lock().await?.close()?;
    registry.sessions.end(id);
    writer.discard().await;
    Ok(answer(StatusCode::NO_CONTENT, ReplyBody::Empty).header(DOCKER_UPLOAD_UUID, id).finish())
}

/// `PATCH`: a chunk, or a stream (end-5).
pub(super) async fn patch(
    registry: &Registry,
    name: &str,
    id: &str,
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<Reply, Refusal> {
    let session = registry.sessions.find(name, id)?;
    let mut open = session.lock().await?;
    let location = upload_location(name, id);
    append(registry, &session, &mut open, headers, body, &location).await?;
    let length = open.writer()?.length();
    Ok(progress(StatusCode::ACCEPTED, &location, id, length))
}

/// `PUT`: completes the upload, perhaps with its last bytes or all of them (end-6).
pub(super) async fn put(
    registry: &Registry,
    name: &str,
    id: &str,
    query: &Query,
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<Reply, Refusal> {
    let session = registry.sessions.find(name, id)?;
    let Some(digest) = query.get("digest") else {
        let message = "an upload ends with its digest: PUT …?digest=<digest>";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, message));
    };
    let digest = parse_digest(digest)?;
    let mut open = session.lock().await?;
    open.writer()?.expect(digest.algorithm());
    append(registry, &session, &mut open, headers, body, &upload_location(name, id)).await?;
    let writer = open.close()?;
    registry.sessions.end(id);
    drop(open);
    finish(registry, name, writer, digest).await
}

/// Appends the body to a session. If the storage fails, the session ends, since its content is unknown.
async fn append(
    registry: &Registry,
    session: &Session,
    open: &mut Open<'_>,
    headers: &HeaderMap,
    body: &mut RequestBody,
    location: &str,
) -> Result<(), Refusal> {
    let result = receive(headers, body, open.writer()?, location).await;
    session.touch();
    if result.as_ref().is_err_and(Refusal::is_our_fault) {
        let _lost = open.close();
        registry.sessions.end(session.id());
    }
    result
}

/// Appends a body at the offset given by its `Content-Range`.
async fn receive(
    headers: &HeaderMap,
    body: &mut RequestBody,
    writer: &mut BlobWriter,
    location: &str,
) -> Result<(), Refusal> {
    let chunk = chunk(headers, body, writer.length(), location)?;
    let mut left = chunk.map_or(u64::MAX, |chunk| chunk.length);
    while let Some(bytes) = body.next().await? {
        let length = bytes.len() as u64;
        if length > left {
            return Err(wrong_size("the body is longer than its Content-Range"));
        }
        left -= length;
        writer.write(bytes).await?;
    }
    if chunk.is_some() && left > 0 {
        return Err(wrong_size("the body is shorter than its Content-Range"));
    }
    Ok(())
}

fn wrong_size(message: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, Code::SizeInvalid, message)
}

/// The `Content-Range` of a request, if it has one; must continue where the upload is.
fn chunk(headers: &HeaderMap, body: &RequestBody, length: u64, location: &str) -> Result<Option<Chunk>, Refusal> {
    let Some(header) = headers.get(CONTENT_RANGE) else {
        return Ok(None);
    };
    let Some(chunk) = header.to_str().ok().and_then(range::chunk) else {
        let message = "a Content-Range is two numbers with a `-` between them, the larger one last";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::BlobUploadInvalid, message));
    };
    if chunk.first != length {
        let message = format!("the next byte is {length}, not {}", chunk.first);
        let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid, message);
        return Err(refusal.with(RANGE, received(length)).with(http::header::LOCATION, location));
    }
    if body.length().is_some_and(|body| body != chunk.length) {
        return Err(wrong_size("Content-Length is not the length of the Content-Range"));
    }
    Ok(Some(chunk))
}

/// Verifies the received bytes and adds the blob to the repository.
async fn finish(registry: &Registry, name: &str, writer: BlobWriter, digest: Digest) -> Result<Reply, Refusal> {
    match writer.finish(digest.clone()).await {
        Ok(finished) => {
            registry.storage.add_blob(name, finished)?;
            Ok(created(name, &digest))
        }
        Err(FinishError::Mismatch(actual)) => {
            let message = format!("the bytes are {actual}, not {digest}");
            Err(Refusal::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, message))
        }
        Err(FinishError::Io(error)) => Err(error.into()),
    }
}
