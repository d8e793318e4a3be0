//! The client of all registries that a step talks to: connections, hosts, and what is shared between them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::blobs::parallel;
use super::host::{Host, is_loopback};
use super::http::minimum_rate::Flow;
use super::http::pool::{ConnectionKind, Http, Reach};
use super::http::remedies::Hints;
use super::http::retry;
use super::http::tls::{self, Trust, Verification};
use super::http::transport::STALL_TIMEOUT;
use super::repository::Repository;
use crate::error::Error;

/// Told of every request, redacted, when it has been answered.
pub type Trace = Arc<dyn Fn(&str) + Send + Sync>;

/// What all registries of a step have in common.
#[derive(Clone)]
pub struct Options {
    /// Requests under way at once on one host.
    pub jobs: usize,
    /// How often a request that failed for a passing reason is sent again.
    pub retries: u32,
    /// Certificate authorities.
    pub trust: Trust,
    /// Hosts (with their ports) that may speak plain HTTP or show any certificate.
    pub insecure_registries: Vec<String>,
    /// The largest manifest that is read, in bytes.
    pub manifest_limit: u64,
    /// Told of every request.
    pub trace: Option<Trace>,
    /// Told what is tried again.
    pub notice: Option<Trace>,
    /// Whose words advice is given in.
    pub hints: Hints,
    /// Told of what is odd and was got over.
    pub warn: Option<Trace>,
}

/// The client. Clones are the same client.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    /// The requests of this handle, where they are counted apart.
    apart: Option<Arc<AtomicU64>>,
}

struct Inner {
    options: Options,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    requests: AtomicU64,
    loopback: OnceLock<Http>,
    verified: OnceLock<Http>,
    unverified: OnceLock<Http>,
    open_uploads: Mutex<HashMap<Url, Repository>>,
    parts: Arc<Semaphore>,
    /// The bodies that are being read.
    reading: Arc<AtomicUsize>,
    /// All pauses that registries have asked for.
    paused: Mutex<Duration>,
}

impl Client {
    /// A client that has talked to nobody.
    pub fn new(options: Options) -> Self {
        let inner = Inner {
            options,
            hosts: Mutex::new(HashMap::new()),
            requests: AtomicU64::new(0),
            loopback: OnceLock::new(),
            verified: OnceLock::new(),
            unverified: OnceLock::new(),
            open_uploads: Mutex::new(HashMap::new()),
            parts: parallel::room(),
            reading: Arc::default(),
            paused: Mutex::default(),
        };
        Self { inner: Arc::new(inner), apart: None }
    }

    /// The same client, whose requests count for it and for this one: one image of several has a report of its own.
    #[must_use]
    pub fn counting_apart(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), apart: Some(Arc::default()) }
    }

    /// The options it was made with.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// How many HTTP requests were sent, to token services and the targets of redirects too.
    pub fn requests(&self) -> u64 {
        self.apart.as_deref().unwrap_or(&self.inner.requests).load(Ordering::Relaxed)
    }

    pub(super) fn count_request(&self) {
        self.inner.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(apart) = &self.apart {
            apart.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The host that serves `authority` (`host[:port]`), the same for all who ask.
    pub(super) fn host(&self, authority: &str) -> Arc<Host> {
        let mut hosts = self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            hosts
                .entry(authority.to_owned())
                .or_insert_with(|| Arc::new(Host::new(authority, self.inner.options.jobs))),
        )
    }

    /// Whether the user lets `url`'s host go without (checked) TLS.
    pub(super) fn is_insecure(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        self.inner.options.insecure_registries.iter().any(|insecure| match insecure.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => {
                name.eq_ignore_ascii_case(host) && port.parse() == Ok(url.port_or_known_default().unwrap_or_default())
            }
            _ => insecure.eq_ignore_ascii_case(host),
        })
    }

    /// The HTTP client that may speak to `url`.
    ///
    /// # Errors
    /// Plain HTTP to a host for which it is not permitted; TLS settings that can't be used.
    pub(super) fn http(&self, url: &Url) -> Result<&Http, Error> {
        let insecure = self.is_insecure(url);
        if url.scheme() == "http" && is_loopback(url) {
            return initialized(&self.inner.loopback, || {
                Ok(Http::new(tls::no_trust()?, Reach::Loopback, STALL_TIMEOUT))
            });
        }
        if url.scheme() == "http" && !insecure {
            let hint = self.inner.options.hints.insecure(url.host_str().unwrap_or_default());
            let error =
                Error::protocol(super::http::location::redacted(url), "plain HTTP is used for loopback hosts only");
            return Err(error.with_hint(hint));
        }
        if insecure {
            return initialized(&self.inner.unverified, || {
                Ok(Http::new(
                    tls::client_config(&self.inner.options.trust, Verification::None)?,
                    Reach::Anywhere,
                    STALL_TIMEOUT,
                ))
            });
        }
        initialized(&self.inner.verified, || {
            Ok(Http::new(
                tls::client_config(&self.inner.options.trust, Verification::Full)?,
                Reach::Anywhere,
                STALL_TIMEOUT,
            ))
        })
    }

    /// Opens connections to `url`'s host for so many `load` requests as `lacking` says that are about to come, if each will
    /// want one of its own. A failure is told by those requests.
    pub(super) fn open_ahead(&self, url: &Url, load: ConnectionKind, lacking: impl FnOnce() -> usize) {
        if let (Ok(http), Ok(uri)) = (self.http(url), super::http::transport::uri(url)) {
            http.open_ahead(&uri, load, lacking);
        }
    }

    /// Room in memory for a part of a blob, if there is some now.
    pub(super) fn room_for_part(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.inner.parts).try_acquire_owned().ok()
    }

    pub(super) fn trace(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.inner.options.trace {
            trace(&line());
        }
    }

    /// Says that something is tried again, from the second try on: a step that is silent for long looks dead. What many
    /// requests to one host meet at once is said once.
    pub(super) fn tell_retry(&self, host: &Host, failures: u32, why: &str) {
        let Options { retries, notice: Some(notice), .. } = &self.inner.options else { return };
        if failures >= 2 && host.may_tell() {
            notice(&format!("{why}, trying again ({failures} of {retries})"));
        }
    }

    /// Says something that the user should know, though it was got over.
    pub(super) fn warn(&self, text: &str) {
        if let Some(warn) = &self.inner.options.warn {
            warn(text);
        }
    }

    /// One more body is read.
    pub(super) fn flow(&self) -> Flow {
        Flow::beside(&self.inner.reading)
    }

    /// Lets all requests to `host` wait, if it asks for that; whether so long a wait is borne, and all of them together.
    pub(super) fn pause(&self, host: &Host, wait: Option<Duration>) -> bool {
        let Some(wait) = wait else { return true };
        if wait > retry::LONGEST_RETRY_AFTER {
            return false;
        }
        let mut paused = self.inner.paused.lock().unwrap_or_else(PoisonError::into_inner);
        let more = host.pause_would_add(wait);
        if *paused + more > retry::PAUSES_LIMIT {
            return false;
        }
        *paused += more;
        host.pause(wait);
        true
    }

    /// Remembers an upload that must be cancelled if the step ends before it is complete.
    pub(super) fn upload_opened(&self, session: &Url, repository: &Repository) {
        self.open_uploads().insert(session.clone(), repository.clone());
    }

    /// The upload is complete, or goes on under another address.
    pub(super) fn upload_closed(&self, session: &Url) {
        self.open_uploads().remove(session);
    }

    fn open_uploads(&self) -> std::sync::MutexGuard<'_, HashMap<Url, Repository>> {
        self.inner.open_uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancels the uploads that are still open, so that a registry need not keep what will never be complete. A failure
    /// is of no account: registries drop old uploads by themselves, and some (Quay) refuse to be asked.
    pub async fn cancel_open_uploads(&self, time_limit: Duration) {
        let open: Vec<(Url, Repository)> = self.open_uploads().drain().collect();
        let cancelled = open.iter().map(|(session, repository)| repository.cancel_upload(session));
        let _ = tokio::time::timeout(time_limit, futures_util::future::join_all(cancelled)).await;
    }

    /// The hosts that were talked to.
    pub fn hosts(&self) -> HashSet<String> {
        self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

fn initialized(cell: &OnceLock<Http>, make: impl FnOnce() -> Result<Http, Error>) -> Result<&Http, Error> {
    if let Some(client) = cell.get() {
        return Ok(client);
    }
    let client = make()?;
    Ok(cell.get_or_init(|| client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_have_a_sum_that_they_do_not_pass() {
        let client = Client::new(Options {
            jobs: 1,
            retries: 1,
            trust: Trust::default(),
            insecure_registries: vec![],
            manifest_limit: 1,
            trace: None,
            warn: None,
            notice: None,
            hints: Hints::Shell,
        });
        let pause = |host: &str, seconds| client.pause(&client.host(host), Some(Duration::from_secs(seconds)));
        assert!(!pause("a", 301), "one that is too long");
        assert!(pause("a", 300) && pause("a", 200), "the second ends before the first");
        assert!(pause("b", 300) && pause("c", 290));
        assert!(!pause("d", 300), "all together are too long");
        assert!(client.pause(&client.host("d"), None));
    }
}
