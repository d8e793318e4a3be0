//! What is known of one registry host: how it is reached, how busy it may be kept, what it was seen to do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use url::{Host as UrlHost, Url};

use super::auth::challenge::Challenge;
use super::auth::token::{TokenKey, TokenSlot};
use crate::error::Error;

/// One registry host, shared by all that a step does there.
pub struct Host {
    /// Host and port of the API.
    pub(super) authority: String,
    /// The scheme by which it is reached, once that is certain.
    pub(super) scheme: OnceCell<Scheme>,
    /// Whether a loopback host wants TLS, once it refused a plain request.
    pub(super) wants_tls: OnceCell<bool>,
    /// Bounds the requests under way.
    limiter: Arc<Semaphore>,
    capacity: u32,
    /// Connections that were opened for requests to come.
    opened_ahead: AtomicUsize,
    /// Nothing is sent before this moment: the host asked for a pause.
    pause_until: Mutex<Option<Instant>>,
    /// How it wants requests to be authorized, once it said so.
    challenge: Mutex<Option<Challenge>>,
    /// Tokens by login and scope.
    pub(super) tokens: Mutex<HashMap<TokenKey, TokenSlot>>,
    /// When something was last told of it while it fails.
    told: Mutex<Option<Instant>>,
    /// What a mount from the destination repository itself was seen to say.
    self_mount: Mutex<SelfMount>,
    /// It has answered something.
    has_answered: AtomicBool,
    /// Uploads are cut into chunks of this many bytes; 0 for one request per blob.
    chunk_size: AtomicU64,
}

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Over TLS.
    Https,
    /// In plain text.
    Http,
}

/// What a host makes of a mount whose `from` is the destination itself, which asks in one request whether a blob is
/// there and, if not, for an upload session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfMount {
    /// Not seen yet: that it was not mounted doesn't mean that it isn't there.
    Unknown,
    /// The host answers it truly.
    Answered,
    /// The host refuses it.
    Refused,
}

impl Scheme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// Whether a URL's host is this machine, so that plain HTTP is as safe as TLS.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(UrlHost::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(UrlHost::Ipv4(address)) => address.is_loopback(),
        Some(UrlHost::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic ends the process, so that a poisoned lock is never seen.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            pause_until: Mutex::new(None),
            challenge: Mutex::new(None),
            tokens: Mutex::new(HashMap::new()),
            told: Mutex::new(None),
            self_mount: Mutex::new(SelfMount::Unknown),
            has_answered: AtomicBool::new(false),
            chunk_size: AtomicU64::new(0),
        }
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Room for `requests` at once. Asked for in one piece, so that a transfer that needs several requests on one host
    /// never waits for the second while it holds the first.
    ///
    /// # Errors
    /// Never in practice: the limiter is not closed while the host is in use.
    pub async fn permits(&self, requests: u32) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.limiter)
            .acquire_many_owned(requests.min(self.capacity))
            .await
            .map_err(|_| Error::bug(format!("the request limiter of {} is closed", self.authority)))
    }

    /// Room for one more request, if there is some now.
    pub(super) fn try_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.limiter).try_acquire_owned().ok()
    }

    /// How many requests are under way.
    pub(super) fn requests_under_way(&self) -> usize {
        (self.capacity as usize).saturating_sub(self.limiter.available_permits())
    }

    /// How many connections are still to be opened so that `requests` at once find one each; they count as opened then.
    pub(super) fn lacks_connections(&self, requests: usize) -> usize {
        let wanted = requests.min(self.capacity as usize);
        wanted.saturating_sub(self.opened_ahead.fetch_max(wanted, Ordering::Relaxed))
    }

    /// Waits until the host may be asked again.
    pub(super) async fn wait_for_pause(&self) {
        loop {
            let until = *locked(&self.pause_until);
            match until.and_then(|until| until.checked_duration_since(Instant::now())) {
                Some(wait) if !wait.is_zero() => tokio::time::sleep(wait).await,
                _ => return,
            }
        }
    }

    /// How much longer than before a pause makes all requests wait.
    pub(super) fn pause_would_add(&self, wait: Duration) -> Duration {
        let left = locked(&self.pause_until).map(|until| until.saturating_duration_since(Instant::now()));
        wait.saturating_sub(left.unwrap_or_default())
    }

    /// Lets all requests to this host wait.
    pub(super) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut pause = locked(&self.pause_until);
        if pause.is_none_or(|earlier| earlier < until) {
            *pause = Some(until);
        }
    }

    /// Whether it has answered anything yet.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    pub(super) fn learn_answer(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }

    /// Whether it was long enough ago that something was told of it; it counts as told then.
    pub(super) fn may_tell(&self) -> bool {
        let mut told = locked(&self.told);
        if told.is_some_and(|told| told.elapsed() < TELLING_PERIOD) {
            return false;
        }
        *told = Some(Instant::now());
        true
    }

    pub(super) fn challenge(&self) -> Option<Challenge> {
        locked(&self.challenge).clone()
    }

    pub(super) fn learn_challenge(&self, challenge: Challenge) {
        *locked(&self.challenge) = Some(challenge);
    }

    /// The slot for a token; whoever needs the same token waits on the same slot.
    pub(super) fn token_slot(&self, key: &TokenKey) -> TokenSlot {
        Arc::clone(locked(&self.tokens).entry(key.clone()).or_default())
    }

    /// What a mount from the destination repository itself was seen to say on this host.
    pub fn self_mount(&self) -> SelfMount {
        *locked(&self.self_mount)
    }

    pub(super) fn learn_self_mount(&self, seen: SelfMount) {
        *locked(&self.self_mount) = seen;
    }

    /// The size of upload chunks that this host was seen to need, in bytes.
    pub fn chunk_size(&self) -> Option<u64> {
        Some(self.chunk_size.load(Ordering::Relaxed)).filter(|&size| size > 0)
    }

    /// Notes that a request body of `size` bytes was too large.
    pub fn learn_too_large(&self, size: u64, minimum: u64) -> bool {
        // What the registry wants as a minimum counts more than what we would like as a maximum.
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

/// The least time between two lines about one host's failures.
const TELLING_PERIOD: Duration = Duration::from_millis(500);
/// The first chunk size that is tried after a 413 (what Cloudflare's 100 MB limit lets through).
const LARGEST_CHUNK: u64 = 64 * 1024 * 1024;
/// No chunk but the last is smaller: each costs a round trip. (Amazon's registry wants 5 MiB; it also says so.)
const SMALLEST_CHUNK: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_hosts() {
        for (text, expected) in [
            ("http://localhost:5000/", true),
            ("http://127.0.0.2/", true),
            ("http://[::1]:5000/", true),
            ("http://registry.localhost/", true),
            ("http://10.0.0.1/", false),
            ("http://localhost.example.com/", false),
        ] {
            assert_eq!(is_loopback(&text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn a_pause_within_a_pause_adds_what_is_longer() {
        let host = Host::new("r", 1);
        assert_eq!(host.pause_would_add(Duration::from_secs(10)), Duration::from_secs(10));
        host.pause(Duration::from_secs(10));
        assert_eq!(host.pause_would_add(Duration::from_secs(5)), Duration::ZERO);
        assert!(host.pause_would_add(Duration::from_secs(30)) < Duration::from_secs(21));
    }

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
