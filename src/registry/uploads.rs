//! Upload sessions: started (or made unnecessary by a mount), written in one request or in chunks, resumed, completed,
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

/// An open upload.
#[derive(Debug, Clone)]
pub struct UploadSession {
    /// The URL of the next request.
    pub(super) url: Url,
    /// The smallest chunk that the registry accepts, in bytes (`OCI-Chunk-Min-Length`).
    pub chunk_minimum: u64,
    /// The size in bytes of the last request body, which is what a 413 is about.
    pub body: u64,
    /// Use a new connection: the last one may have broken because it was old.
    pub afresh: bool,
}

impl UploadSession {
    fn connection(&self, bytes: Option<u64>) -> ConnectionKind {
        if self.afresh { ConnectionKind::Afresh } else { ConnectionKind::of_request(bytes) }
    }
}

/// How an upload starts.
#[derive(Debug)]
pub enum UploadStart {
    /// The registry mounted the blob from another repository: there is nothing to send.
    Mounted,
    /// The registry waits for the bytes.
    Session(UploadSession),
}

/// A chunk of a blob: the bytes from `start` up to, but not including, `end`.
#[derive(Debug, Clone, Copy)]
pub struct UploadChunk {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Repository {
    /// Starts an upload. With `mount_from`, first asks the registry to mount the blob from there; if that fails for
    /// any reason, even a second server error, an ordinary upload is started.
    ///
    /// # Errors
    /// The upload can't be started.
    pub async fn begin_upload(
        &self,
        digest: &Digest,
        mount_from: Option<&str>,
        permit: Permit<'_>,
        budget: &Budget,
    ) -> Result<UploadStart, Error> {
        if let Some(from) = mount_from {
            let name = blob(digest);
            let query = format!("?mount={digest}&from={from}");
            let answer = match self.post_upload(&query, &name, permit, &self.budget().with_server_errors(1)).await {
                Ok(answer) => answer,
                // It fails whenever it is asked to mount, but perhaps not otherwise.
                Err(error) if error.registry().is_some() => {
                    self.mounts_refused(from);
                    return self.begin_plain(&name, permit, budget).await.map(UploadStart::Session);
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
                // Harbor answers 401, Quay 400, others 403, 404 or 405: the blob must be sent. Only a 404 may be about
                // this blob; the others would be the answer for each.
                404 => answer.discard().await,
                _ => {
                    self.mounts_refused(from);
                    answer.discard().await;
                }
            }
        }
        self.begin_plain(&blob(digest), permit, budget).await.map(UploadStart::Session)
    }

    /// Starts an upload of a blob that is still being built.
    ///
    /// # Errors
    /// The upload can't be started.
    pub async fn begin_unnamed_upload(&self, permit: Permit<'_>) -> Result<UploadSession, Error> {
        self.begin_plain(UNNAMED, permit, &self.budget()).await
    }

    async fn begin_plain(&self, name: &str, permit: Permit<'_>, budget: &Budget) -> Result<UploadSession, Error> {
        let answer = self.post_upload("", name, permit, budget).await?;
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

    async fn post_upload(
        &self,
        query: &str,
        name: &str,
        permit: Permit<'_>,
        budget: &Budget,
    ) -> Result<HttpResponse, Error> {
        let headers = [(CONTENT_LENGTH, HeaderValue::from_static("0"))];
        let operation = format!("POST upload of {name}");
        let request = self.request(Method::POST, &format!("blobs/uploads/{query}"), operation).await?;
        self.send_within(ApiRequest { headers: &headers, permit, ..request }, budget).await
    }

    async fn session(&self, answer: HttpResponse, name: &str) -> Result<UploadSession, Error> {
        let location = answer.header(LOCATION).ok_or_else(|| {
            Error::protocol(format!("POST upload of {name} of {}", self.name()), "the answer has no Location")
        })?;
        let url = resolve(&answer.url, location)?;
        // Upload URLs with `_state` are those of the distribution registry, which supports mounts from the destination
        // itself: a blob that it doesn't mount doesn't exist.
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
    /// No answer came, or an error; [`Self::upload_offset`] finds out where to resume.
    pub async fn upload_whole(
        &self,
        session: &UploadSession,
        digest: &Digest,
        size: u64,
        body: Body,
        sent: &UploadCounter,
        permit: Permit<'_>,
    ) -> Result<(), Error> {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
            (CONTENT_LENGTH, HeaderValue::from(size)),
        ];
        let operation = format!("PUT blob {}", digest.short());
        let url = with_digest(&session.url, digest);
        let connection = session.connection(Some(size));
        let request = self.upload_request(Method::PUT, url, &operation, &headers, connection).await?;
        let answer = self.send_stream(ApiRequest { permit, ..request }, body, sent, Some(size)).await?;
        self.completed(session, digest, answer, &operation, permit).await
    }

    /// Sends one chunk of a blob.
    ///
    /// # Errors
    /// No answer came, or an error, or the registry stored less.
    pub async fn upload_part(
        &self,
        session: &UploadSession,
        digest: &Digest,
        part: UploadChunk,
        body: Body,
        sent: &UploadCounter,
        permit: Permit<'_>,
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
        let answer =
            self.send_stream(ApiRequest { permit, ..request }, body, sent, Some(part.end - part.start)).await?;
        self.part_stored(session, answer, part.end, &operation).await
    }

    /// Sends all bytes of a blob that is still being built in one request without a length, because its size is
    /// unknown. The upload must be completed afterwards.
    ///
    /// # Errors
    /// No answer came, or an error, or the registry stored less than was sent.
    pub async fn upload_stream(
        &self,
        session: &UploadSession,
        body: Body,
        sent: &UploadCounter,
        permit: Permit<'_>,
    ) -> Result<UploadSession, Error> {
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))];
        let operation = format!("PATCH {UNNAMED}");
        let connection = session.connection(None);
        let request = self.upload_request(Method::PATCH, session.url.clone(), &operation, &headers, connection).await?;
        let answer = self.send_stream(ApiRequest { permit, ..request }, body, sent, None).await?;
        self.part_stored(session, answer, sent.get(), &operation).await
    }

    /// The session after a chunk, if the registry has stored the first `end` bytes.
    async fn part_stored(
        &self,
        session: &UploadSession,
        answer: HttpResponse,
        end: u64,
        operation: &str,
    ) -> Result<UploadSession, Error> {
        // The specification requires 202; Amazon's registry answers 201, some others 204.
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

    /// Completes an upload whose bytes have all been sent. `size` is their number, if known.
    ///
    /// # Errors
    /// The registry refuses: its bytes have another digest, or the session is gone.
    pub async fn complete_upload(
        &self,
        session: &UploadSession,
        digest: &Digest,
        size: Option<u64>,
        budget: &Budget,
        permit: Permit<'_>,
    ) -> Result<(), Error> {
        let headers = [(CONTENT_LENGTH, HeaderValue::from_static("0"))];
        let operation = format!("PUT blob {}", digest.short());
        let url = with_digest(&session.url, digest);
        let request = self.upload_request(Method::PUT, url, &operation, &headers, ConnectionKind::Shared).await?;
        let timeout = commit_limit(size.unwrap_or(u64::MAX));
        let answer = self.send_within(ApiRequest { permit, timeout, ..request }, budget).await?;
        self.completed(session, digest, answer, &operation, permit).await
    }

    async fn completed(
        &self,
        session: &UploadSession,
        digest: &Digest,
        answer: HttpResponse,
        operation: &str,
        permit: Permit<'_>,
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
            // Either the header is wrong or the registry is: ask what it has now.
            return match self.head_blob(digest, permit).await? {
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

    /// How many bytes of an upload the registry has, and the session to resume; `None` if it can't be resumed.
    pub async fn upload_offset(
        &self,
        session: &UploadSession,
        budget: &Budget,
        permit: Permit<'_>,
    ) -> Option<(u64, UploadSession)> {
        let request = self.upload_request(Method::GET, session.url.clone(), "GET upload", &[], ConnectionKind::Shared);
        let request = request.await.ok()?;
        let answer = self.send_within(ApiRequest { permit, ..request }, budget).await.ok()?;
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

    /// Gives up an upload.
    pub async fn abandon_upload(&self, session: &UploadSession) {
        self.upload_closed(&session.url);
        self.cancel_upload(&session.url).await;
    }

    /// Asks the registry to forget an upload: once, and without waiting long. Registries drop old uploads by
    /// themselves.
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
        Ok(ApiRequest { headers, connection, ..request })
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

/// The longest time that cancelling may take.
pub const CANCEL_LIMIT: Duration = Duration::from_secs(1);

/// What a blob without a digest is called in messages.
const UNNAMED: &str = "a layer that is being made";

fn blob(digest: &Digest) -> String {
    format!("blob {}", digest.short())
}

/// The session's URL with the digest added to its query.
fn with_digest(url: &Url, digest: &Digest) -> Url {
    let mut url = url.clone();
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&digest={digest}"),
        _ => format!("digest={digest}"),
    };
    url.set_query(Some(&query));
    url
}

/// One past the last byte of a `Range: 0-1023` (also `bytes=0-1023`). Registries send `0-0` for an empty upload; that
/// it could mean one byte isn't worth a request.
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
