//! What is known about one registry host: how it is reached, how busy it may be kept, what it supports.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::http::location::is_loopback;
use super::http::{HttpRequest, HttpResponse, Transport};
use crate::error::{Error, ErrorKind, TlsTrouble};
use crate::lock::lock;

/// One registry host, shared by everything that a step does there.
pub struct Host {
    /// Host and port of the API.
    authority: String,
    /// How it is reached, once that is certain.
    scheme: OnceCell<Scheme>,
    /// Whether a loopback host wants TLS, once it refused a plain request.
    wants_tls: OnceCell<bool>,
    /// Bounds the requests that are sent at once.
    limiter: Arc<Semaphore>,
    capacity: u32,
    /// How many connections were opened before they were needed.
    opened_ahead: AtomicUsize,
    /// When a failure was last noted.
    noted: Mutex<Option<Instant>>,
    self_mount: Mutex<SelfMount>,
    has_answered: AtomicBool,
    /// Uploads are cut into chunks of this many bytes; 0 for one request per blob.
    chunk_size: AtomicU64,
}

/// Permits under the limit of a host's requests, for as long as a clone of this exists.
#[derive(Debug, Clone)]
pub struct HostPermit {
    _permits: Arc<OwnedSemaphorePermit>,
}

/// The permits of one transfer, by host.
#[derive(Debug, Default)]
pub(crate) struct HostPermits(BTreeMap<String, HostPermit>);

/// How a request gets a permit under its host's limit.
#[derive(Debug, Clone, Copy)]
pub enum Permit<'a> {
    /// It waits for one.
    Acquire,
    /// It uses this one.
    Held(&'a HostPermit),
}

impl HostPermit {
    fn new(permits: OwnedSemaphorePermit) -> Self {
        Self { _permits: Arc::new(permits) }
    }
}

impl HostPermits {
    /// Acquires permits for one request to each of `hosts`, which may contain a host several times: host by host in one
    /// order, and all of a host at once, so that two transfers never wait for each other.
    ///
    /// # Errors
    /// As [`Host::permits`].
    pub(crate) async fn acquire<'h>(hosts: impl IntoIterator<Item = &'h Arc<Host>>) -> Result<Self, Error> {
        let mut counts: BTreeMap<&str, (&Host, u32)> = BTreeMap::new();
        for host in hosts {
            counts.entry(host.authority()).or_insert((host, 0)).1 += 1;
        }
        let mut permits = BTreeMap::new();
        for (authority, (host, requests)) in counts {
            permits.insert(authority.to_owned(), host.permits(requests).await?);
        }
        Ok(Self(permits))
    }

    /// The permit for requests to `host`, if it is held.
    pub(crate) fn of(&self, host: &Host) -> Permit<'_> {
        self.0.get(host.authority()).map_or(Permit::Acquire, Permit::Held)
    }
}

impl Permit<'_> {
    /// The permit, if it is held.
    pub fn held(self) -> Option<HostPermit> {
        match self {
            Self::Acquire => None,
            Self::Held(permit) => Some(permit.clone()),
        }
    }
}

/// How a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Https,
    Http,
}

/// Whether a host supports mounting a blob from the destination repository itself, which asks in one request whether the
/// blob exists and, if not, for an upload session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfMount {
    /// Not known yet: a blob that wasn't mounted may exist all the same.
    Unknown,
    /// A blob that wasn't mounted doesn't exist.
    Answered,
    /// The host refuses such mounts.
    Refused,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

impl Host {
    pub(super) fn new(authority: &str, capacity: usize) -> Self {
        let capacity = u32::try_from(capacity.max(1)).unwrap_or(u32::MAX).min(1 << 16);
        Self {
            authority: authority.to_owned(),
            scheme: OnceCell::new(),
            wants_tls: OnceCell::new(),
            limiter: Arc::new(Semaphore::new(capacity as usize)),
            capacity,
            opened_ahead: AtomicUsize::new(0),
            noted: Mutex::new(None),
            self_mount: Mutex::new(SelfMount::Unknown),
            has_answered: AtomicBool::new(false),
            chunk_size: AtomicU64::new(0),
        }
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Permits for `requests` requests at once. They are acquired together, so that a transfer that needs several on one
    /// host never waits for the second while it holds the first.
    ///
    /// # Errors
    /// Never in practice: the limiter is not closed while the host is in use.
    pub async fn permits(&self, requests: u32) -> Result<HostPermit, Error> {
        Arc::clone(&self.limiter)
            .acquire_many_owned(requests.min(self.capacity))
            .await
            .map(HostPermit::new)
            .map_err(|_| Error::bug(format!("the request limiter of {} is closed", self.authority)))
    }

    /// A permit for one request, if there is one now.
    pub(super) fn try_permit(&self) -> Option<HostPermit> {
        Arc::clone(&self.limiter).try_acquire_owned().ok().map(HostPermit::new)
    }

    /// The number of requests that are being sent or answered.
    pub(super) fn requests_under_way(&self) -> usize {
        (self.capacity as usize).saturating_sub(self.limiter.available_permits())
    }

    /// How many more connections are needed so that `requests` at once have one each; they count as opened then.
    pub(super) fn missing_connections(&self, requests: usize) -> usize {
        let wanted = requests.min(self.capacity as usize);
        wanted.saturating_sub(self.opened_ahead.fetch_max(wanted, Ordering::Relaxed))
    }

    /// Whether it has answered any request.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    pub(super) fn learn_answer(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }

    /// Whether a failure may be noted: not too soon after the last one. It counts as noted then.
    pub(super) fn may_note_failure(&self) -> bool {
        let mut noted = lock(&self.noted);
        if noted.is_some_and(|noted| noted.elapsed() < NOTE_INTERVAL) {
            return false;
        }
        *noted = Some(Instant::now());
        true
    }

    /// The base URL, `scheme://host/`.
    ///
    /// # Errors
    /// A host name that a URL can't contain.
    pub(super) async fn origin(&self, transport: &Transport) -> Result<Url, Error> {
        if self.wants_tls.get() == Some(&true) {
            return self.url(Scheme::Https, "");
        }
        let scheme = *self.scheme.get_or_try_init(|| self.find_scheme(transport)).await?;
        self.url(scheme, "")
    }

    fn url(&self, scheme: Scheme, path: &str) -> Result<Url, Error> {
        let text = format!("{}://{}/{path}", scheme.name(), self.authority);
        text.parse().map_err(|_| Error::usage(format!("`{}` is not a registry's host", self.authority)))
    }

    /// Loopback hosts are reached over plain HTTP until one turns out to want TLS ([`Self::probe_tls`]); a host of
    /// `--insecure-registry` is tried with TLS first; all others use TLS.
    async fn find_scheme(&self, transport: &Transport) -> Result<Scheme, Error> {
        let url = self.url(Scheme::Https, "v2/")?;
        if is_loopback(&url) {
            return Ok(Scheme::Http);
        }
        if !transport.is_insecure(&url) || responds(transport, url).await.is_ok() {
            return Ok(Scheme::Https);
        }
        Ok(Scheme::Http)
    }

    /// Whether a loopback host that refused a plain request wants TLS; probed once. Servers with TLS answer plain text
    /// with 400 or close the connection, so that no extra request is needed where plain HTTP is right.
    pub(super) async fn probe_tls(&self, transport: &Transport, result: &Result<HttpResponse, Error>) -> bool {
        let refused = match result {
            Ok(response) => response.status() == 400,
            Err(error) => matches!(error.kind(), ErrorKind::Network { .. }),
        };
        let is_plain = self.scheme.get() == Some(&Scheme::Http);
        let url = self.url(Scheme::Https, "v2/").ok().filter(|url| refused && is_plain && is_loopback(url));
        let Some(url) = url else { return false };
        let found = self.wants_tls.get_or_init(|| async {
            match responds(transport, url).await.as_ref().map_err(Error::kind) {
                Err(
                    ErrorKind::Network { .. }
                    | ErrorKind::Silence { .. }
                    | ErrorKind::Tls { trouble: TlsTrouble::NoTls, .. },
                ) => false,
                // It uses TLS, if not well: the next request will fail with what is wrong with its certificate.
                Ok(()) | Err(_) => true,
            }
        });
        *found.await
    }

    /// Whether it supports mounts from the destination repository itself.
    pub fn self_mount(&self) -> SelfMount {
        *lock(&self.self_mount)
    }

    pub(super) fn learn_self_mount(&self, found: SelfMount) {
        *lock(&self.self_mount) = found;
    }

    /// The size of upload chunks that this host is known to need, in bytes.
    pub fn chunk_size(&self) -> Option<u64> {
        Some(self.chunk_size.load(Ordering::Relaxed)).filter(|&size| size > 0)
    }

    /// Makes chunks smaller, because a request body of `size` bytes was too large. Returns false if they can't be.
    pub fn learn_too_large(&self, size: u64, minimum: u64) -> bool {
        // The registry's minimum takes precedence over our maximum.
        let smaller = (size / 2).clamp(SMALLEST_CHUNK, LARGEST_CHUNK).max(minimum);
        if smaller >= size {
            return false;
        }
        let known = self.chunk_size.load(Ordering::Relaxed);
        if known == 0 || smaller < known {
            self.chunk_size.store(smaller, Ordering::Relaxed);
        }
        true
    }
}

async fn responds(transport: &Transport, url: Url) -> Result<(), Error> {
    transport.send(&HttpRequest::get(url)).await?.discard().await;
    Ok(())
}

/// The minimum time between two notes about one host's failures.
const NOTE_INTERVAL: Duration = Duration::from_millis(500);
/// The first chunk size that is tried after a 413. It fits below Cloudflare's limit of 100 MB.
const LARGEST_CHUNK: u64 = 64 * 1024 * 1024;
/// The smallest chunk but the last: each costs a round trip. (Amazon's registry has a minimum of 5 MiB, and sends it.)
const SMALLEST_CHUNK: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_size_makes_chunks_smaller_until_they_cannot_be() {
        let host = Host::new("r", 1);
        assert!(host.learn_too_large(500 * 1024 * 1024, 0));
        assert_eq!(host.chunk_size(), Some(LARGEST_CHUNK));
        assert!(host.learn_too_large(LARGEST_CHUNK, 0));
        assert_eq!(host.chunk_size(), Some(LARGEST_CHUNK / 2));
        assert!(!host.learn_too_large(SMALLEST_CHUNK, 0));
        assert!(!host.learn_too_large(5 << 20, 5 << 20));
        assert!(!host.learn_too_large(5 << 20, u64::MAX));
    }
}
