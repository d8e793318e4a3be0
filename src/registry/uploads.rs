//! Upload sessions: begun (or spared by a mount), fed in one piece or in chunks, asked how far they got, completed,
//! cancelled.
//!
//! Distribution specification, "Pushing blobs" and "Mounting a blob from another repository".

use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RANGE};
use url::Url;

use super::host::SelfMount;
use super::http::body::commit_limit;
use super::http::location::resolve;
use super::http::retry::Budget;
use super::http::{Body, ConnectionKind, HttpResponse, UploadCounter};
use super::manifests::content_digest;
use super::repository::{ApiRequest, Permit, Repository};
use crate::error::Error;
use crate::image::digest::Digest;

/// An upload that has been begun.
#[derive(Debug, Clone)]
pub struct UploadSession {
    /// Where the next request goes.
    pub(super) url: Url,
    /// The smallest chunk that the registry takes, in bytes (`OCI-Chunk-Min-Length`).
    pub chunk_minimum: u64,
    /// The size in bytes of the last request body that was sent to it: what a 413 speaks of.
    pub body: u64,
    /// What is sent to it has a new connection: the last one may have broken because it was an old one.
    pub afresh: bool,
}

impl UploadSession {
    fn connection(&self, bytes: Option<u64>) -> ConnectionKind {
        if self.afresh { ConnectionKind::Afresh } else { ConnectionKind::of_request(bytes) }
    }
}

/// What became of the wish to put a blob somewhere.
#[derive(Debug)]
pub enum UploadStart {
    /// The registry linked it from the repository named; nothing need be sent.
    Mounted,
    /// Its bytes are awaited.
    Session(UploadSession),
}

/// A part of a blob: bytes `start..end` of `size`.
#[derive(Debug, Clone, Copy)]
pub struct UploadChunk {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Repository {
    /// Begins an upload; with `mount_from`, asks the registry to link the blob from there first. Whatever the registry
    /// says against a mount, an ordinary upload is begun: after a second server error too.
    ///
    /// # Errors
    /// The upload can't be begun.
    pub async fn begin_upload(
        &self,
        digest: &Digest,
        mount_from: Option<&str>,
        room: Permit,
        budget: &Budget,
    ) -> Result<UploadStart, Error> {
        if let Some(from) = mount_from {
            let name = blob(digest);
            let query = format!("?mount={digest}&from={from}");
            let answer = match self.post_upload(&query, &name, room, &self.budget().with_server_errors(1)).await {
                Ok(answer) => answer,
                // It fails each time it is asked to mount: perhaps not when it isn't.
                Err(error) if error.registry().is_some() => {
                    self.mounts_refused(from);
                    return self.begin_plain(&name, room, budget).await.map(UploadStart::Session);
                }
                Err(error) => return Err(error),
            };
            match answer.status().as_u16() {
                201 => {
                    if from == self.path() {
                        self.host.learn_self_mount(SelfMount::Answered);
                    }
                    answer.discard().await;
                    return Ok(UploadStart::Mounted);
                }
                202 => return self.session(answer, &name).await.map(UploadStart::Session),
                // Harbor says 401, Quay 400, others 403, 404, 405: all mean that it must be sent. Only a 404 may be
                // about this one blob; the others would be said of each.
                404 => answer.discard().await,
                _ => {
                    self.mounts_refused(from);
                    answer.discard().await;
                }
            }
        }
        self.begin_plain(&blob(digest), room, budget).await.map(UploadStart::Session)
    }

    /// Begins an upload of a blob that is still being made.
    ///
    /// # Errors
    /// The upload can't be begun.
    pub async fn begin_unnamed_upload(&self, room: Permit) -> Result<UploadSession, Error> {
        self.begin_plain(UNNAMED, room, &self.budget()).await
    }

    async fn begin_plain(&self, name: &str, room: Permit, budget: &Budget) -> Result<UploadSession, Error> {
        let answer = self.post_upload("", name, room, budget).await?;
        if answer.status() != 202 {
            return Err(self.error(answer, &format!("POST upload of {name}")).await);
        }
        self.session(answer, name).await
    }

    fn mounts_refused(&self, from: &str) {
        if from == self.path() {
            self.host.learn_self_mount(SelfMount::Refused);
        } else {
            self.refuse_mounts();
        }
    }

    async fn post_upload(&self, query: &str, name: &str, room: Permit, budget: &Budget) -> Result<HttpResponse, Error> {
        let headers = [(CONTENT_LENGTH, HeaderValue::from_static("0"))];
        let operation = format!("POST upload of {name}");
        let request = self.request(Method::POST, &format!("blobs/uploads/{query}"), operation).await?;
        self.send_within(ApiRequest { headers: &headers, permit: room, ..request }, budget).await
    }

    async fn session(&self, answer: HttpResponse, name: &str) -> Result<UploadSession, Error> {
        let location = answer.header(LOCATION).ok_or_else(|| {
            Error::protocol(format!("POST upload of {name} of {}", self.name()), "the answer has no Location")
        })?;
        let url = resolve(&answer.url, location)?;
        // Upload addresses with `_state` are those of the distribution registry, which answers a mount from the
        // destination itself truly: what it did not mount is not there.
        if url.query_pairs().any(|(key, _)| key == "_state") {
            self.host.learn_self_mount(SelfMount::Answered);
        }
        let chunk_minimum =
            answer.header("oci-chunk-min-length").and_then(|minimum| minimum.trim().parse().ok()).unwrap_or(0);
        answer.discard().await;
        self.upload_opened(&url);
        Ok(UploadSession { url, chunk_minimum, body: 0, afresh: false })
    }

    /// Sends the whole blob in one request, which also completes the upload.
    ///
    /// # Errors
    /// No answer came, or one that says no; [`Self::upload_offset`] tells where to go on.
    pub async fn upload_whole(
        &self,
        session: &UploadSession,
        digest: &Digest,
        size: u64,
        body: Body,
        sent: &UploadCounter,
    ) -> Result<(), Error> {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
            (CONTENT_LENGTH, HeaderValue::from(size)),
        ];
        let operation = format!("PUT blob {}", digest.short());
        let url = with_digest(&session.url, digest);
        let connection = session.connection(Some(size));
        let request = self.upload_request(Method::PUT, url, &operation, &headers, connection).await?;
        let answer = self.send_stream(request, body, sent, Some(size)).await?;
        self.completed(session, digest, answer, &operation).await
    }

    /// Sends one part of a blob.
    ///
    /// # Errors
    /// No answer came, or one that says no, or one that says that less was stored.
    pub async fn upload_part(
        &self,
        session: &UploadSession,
        digest: &Digest,
        part: UploadChunk,
        body: Body,
        sent: &UploadCounter,
    ) -> Result<UploadSession, Error> {
        let range = format!("{}-{}", part.start, part.end.saturating_sub(1));
        let range = HeaderValue::from_str(&range).context("a range can't be a header")?;
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
            (CONTENT_LENGTH, HeaderValue::from(part.end - part.start)),
            (CONTENT_RANGE, range),
        ];
        let operation = format!("PATCH blob {}", digest.short());
        let connection = session.connection(Some(part.end - part.start));
        let request = self.upload_request(Method::PATCH, session.url.clone(), &operation, &headers, connection).await?;
        let answer = self.send_stream(request, body, sent, Some(part.end - part.start)).await?;
        self.part_stored(session, answer, part.end, &operation).await
    }

    /// Sends all bytes of a blob that is still being made, in one request: its size is not known, so that the request says
    /// none. The upload is not complete by that.
    ///
    /// # Errors
    /// No answer came, or one that says no, or one that says that less was stored than was sent.
    pub async fn upload_stream(
        &self,
        session: &UploadSession,
        body: Body,
        sent: &UploadCounter,
    ) -> Result<UploadSession, Error> {
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))];
        let operation = format!("PATCH {UNNAMED}");
        let connection = session.connection(None);
        let request = self.upload_request(Method::PATCH, session.url.clone(), &operation, &headers, connection).await?;
        let answer = self.send_stream(request, body, sent, None).await?;
        self.part_stored(session, answer, sent.get(), &operation).await
    }

    /// Where to go on after a part: the registry says that it has the first `end` bytes.
    async fn part_stored(
        &self,
        session: &UploadSession,
        answer: HttpResponse,
        end: u64,
        operation: &str,
    ) -> Result<UploadSession, Error> {
        // 202 is the rule; Amazon's registry says 201, some say 204.
        if !matches!(answer.status().as_u16(), 201 | 202 | 204) {
            return Err(self.error(answer, operation).await);
        }
        if let Some(stored) = answer.header(RANGE).and_then(end_of_range)
            && stored != end
        {
            let reason = format!("the registry stored {stored} of {end} bytes");
            return Err(Error::network(format!("{operation} of {}", self.name()), reason));
        }
        let next = match answer.header(LOCATION) {
            Some(location) => resolve(&answer.url, location)?,
            None => session.url.clone(),
        };
        answer.discard().await;
        self.upload_closed(&session.url);
        self.upload_opened(&next);
        Ok(UploadSession { url: next, chunk_minimum: session.chunk_minimum, body: 0, afresh: session.afresh })
    }

    /// Completes an upload whose bytes, so many if that is known, have all been sent.
    ///
    /// # Errors
    /// The registry doesn't take it: the digest is not that of the bytes it has, or the session is gone.
    pub async fn complete_upload(
        &self,
        session: &UploadSession,
        digest: &Digest,
        size: Option<u64>,
        budget: &Budget,
    ) -> Result<(), Error> {
        let headers = [(CONTENT_LENGTH, HeaderValue::from_static("0"))];
        let operation = format!("PUT blob {}", digest.short());
        let url = with_digest(&session.url, digest);
        let request = self.upload_request(Method::PUT, url, &operation, &headers, ConnectionKind::Shared).await?;
        let timeout = commit_limit(size.unwrap_or(u64::MAX));
        let answer = self.send_within(ApiRequest { timeout, ..request }, budget).await?;
        self.completed(session, digest, answer, &operation).await
    }

    async fn completed(
        &self,
        session: &UploadSession,
        digest: &Digest,
        answer: HttpResponse,
        operation: &str,
    ) -> Result<(), Error> {
        if !matches!(answer.status().as_u16(), 201 | 204) {
            return Err(self.error(answer, operation).await);
        }
        self.upload_closed(&session.url);
        if let Some(stored) = content_digest(&answer)
            && stored.algorithm() == digest.algorithm()
            && stored != *digest
        {
            answer.discard().await;
            // Either the header is wrong or the registry is: what it has now tells.
            return match self.head_blob(digest, Permit::Held).await? {
                Some(_) => {
                    self.client.warn(&format!(
                        "{operation} of {}: the answer names {stored}, but the blob is there as it should be",
                        self.name()
                    ));
                    Ok(())
                }
                None => Err(Error::protocol(
                    format!("{operation} of {}", self.name()),
                    format!("the registry stored {stored} and does not have {digest}; no tag was moved"),
                )),
            };
        }
        answer.discard().await;
        Ok(())
    }

    /// How many bytes of an upload the registry has, and where to go on; `None` if the session is of no more use.
    pub async fn upload_offset(&self, session: &UploadSession, budget: &Budget) -> Option<(u64, UploadSession)> {
        let request = self.upload_request(Method::GET, session.url.clone(), "GET upload", &[], ConnectionKind::Shared);
        let request = request.await.ok()?;
        let answer = self.send_within(request, budget).await.ok()?;
        if !matches!(answer.status().as_u16(), 202 | 204) {
            answer.discard().await;
            return None;
        }
        let offset = answer.header(RANGE).and_then(end_of_range)?;
        let next = match answer.header(LOCATION) {
            Some(location) => resolve(&answer.url, location).ok()?,
            None => session.url.clone(),
        };
        answer.discard().await;
        self.upload_closed(&session.url);
        self.upload_opened(&next);
        Some((
            offset,
            UploadSession { url: next, chunk_minimum: session.chunk_minimum, body: 0, afresh: session.afresh },
        ))
    }

    /// Gives an upload up.
    pub async fn abandon_upload(&self, session: &UploadSession) {
        self.upload_closed(&session.url);
        self.cancel_upload(&session.url).await;
    }

    /// Asks the registry to forget an upload: once, and without waiting for long. It is a kindness, and registries drop
    /// old uploads by themselves.
    pub(super) async fn cancel_upload(&self, session: &Url) {
        let cancelling = async {
            let request =
                self.upload_request(Method::DELETE, session.clone(), "DELETE upload", &[], ConnectionKind::Shared);
            if let Ok(request) = request.await {
                self.send_and_forget(request).await;
            }
        };
        let _ = tokio::time::timeout(CANCEL_LIMIT, cancelling).await;
    }

    async fn upload_request<'a>(
        &self,
        method: Method,
        url: Url,
        operation: &str,
        headers: &'a [(HeaderName, HeaderValue)],
        connection: ConnectionKind,
    ) -> Result<ApiRequest<'a>, Error> {
        let origin = self.host.origin(self.transport()).await?;
        let request = ApiRequest::new(method, url, operation.to_owned(), origin);
        Ok(ApiRequest { headers, connection, permit: Permit::Held, ..request })
    }

    /// Remembers an open upload.
    fn upload_opened(&self, session: &Url) {
        let (repository, url) = (self.clone(), session.clone());
        let cancel = Box::new(move || -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(async move { repository.cancel_upload(&url).await })
        });
        self.client.open_uploads().insert(session, cancel);
    }

    /// Forgets an upload that is complete, or that continues at another URL.
    fn upload_closed(&self, session: &Url) {
        self.client.open_uploads().remove(session);
    }
}

/// No cancellation takes longer.
pub const CANCEL_LIMIT: Duration = Duration::from_secs(1);

/// What a blob is called in messages before it has a digest.
const UNNAMED: &str = "a layer that is being made";

fn blob(digest: &Digest) -> String {
    format!("blob {}", digest.short())
}

/// The session's address with the digest added; what its query holds already is kept as it is.
fn with_digest(url: &Url, digest: &Digest) -> Url {
    let mut url = url.clone();
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&digest={digest}"),
        _ => format!("digest={digest}"),
    };
    url.set_query(Some(&query));
    url
}

/// One past the last byte of a `Range: 0-1023` (also `bytes=0-1023`). `0-0` is what registries say of an empty upload;
/// that it could mean one byte makes no difference worth a request.
pub(crate) fn end_of_range(range: &str) -> Option<u64> {
    let range = range.trim();
    let range = range.strip_prefix("bytes=").unwrap_or(range);
    let (start, end) = range.split_once('-')?;
    let end: u64 = end.trim().parse().ok()?;
    if start.trim() != "0" {
        return None;
    }
    if end == 0 { Some(0) } else { end.checked_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_uploads() {
        assert_eq!(end_of_range("0-1023"), Some(1024));
        assert_eq!(end_of_range("bytes=0-9"), Some(10));
        assert_eq!(end_of_range("0-0"), Some(0));
        for bad in ["", "5-9", "0-", "x", "0-99999999999999999999", "0-18446744073709551615"] {
            assert_eq!(end_of_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_digest_joins_a_query_that_is_left_alone() {
        let digest = Digest::of(b"");
        let url = with_digest(&"https://r/u/1?_state=a%2Bb%3D".parse().unwrap(), &digest);
        assert_eq!(url.as_str(), format!("https://r/u/1?_state=a%2Bb%3D&digest={digest}"));
    }
}
