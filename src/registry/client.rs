//! The client for all registries of a step: connections, hosts, and what they share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::auth::HostAuthorization;
use super::host::Host;
use super::http::remedies::Hints;
use super::http::tls::Trust;
use super::http::{Transport, TransportSettings};
use super::open_uploads::OpenUploads;

use crate::lock::lock;

pub(crate) use super::http::Trace;

/// How many parts of blobs are in memory at once, of all blobs together: 96 MiB.
const PARTS_LIMIT: usize = 12;

/// What all registries of a step have in common.
#[derive(Clone)]
pub struct Options {
    /// The most requests at once to one host.
    pub jobs: usize,
    /// How often a request that failed temporarily is retried.
    pub retries: u32,
    /// Certificate authorities.
    pub trust: Trust,
    /// Hosts, or hosts with ports, for which plain HTTP and unverified certificates are allowed.
    pub insecure_registries: Vec<String>,
    /// The largest manifest that is read, in bytes.
    pub manifest_limit: u64,
    /// Takes a line for each request.
    pub trace: Option<Trace>,
    /// Takes a line for what is retried.
    pub notice: Option<Trace>,
    /// How hints are worded.
    pub hints: Hints,
    /// Takes warnings.
    pub warn: Option<Trace>,
}

/// The client. Clones are the same client.
#[derive(Clone)]
pub struct Client {
    inner: Arc<ClientState>,
    transport: Transport,
}

struct ClientState {
    options: Options,
    hosts: Mutex<HashMap<String, KnownHost>>,
    open_uploads: OpenUploads,
    parts: Arc<Semaphore>,
}

/// A host, and how requests to it are authorized.
type KnownHost = (Arc<Host>, Arc<HostAuthorization>);

impl Client {
    /// A client without connections.
    pub fn new(options: Options) -> Self {
        let Options { trust, insecure_registries, trace, hints, .. } = options.clone();
        let transport = Transport::new(TransportSettings { trust, insecure_registries, trace, hints });
        let inner = ClientState {
            options,
            hosts: Mutex::new(HashMap::new()),
            open_uploads: OpenUploads::default(),
            parts: Arc::new(Semaphore::new(PARTS_LIMIT)),
        };
        Self { inner: Arc::new(inner), transport }
    }

    /// The same client with a second counter for its own requests: one image of several has a report of its own.
    #[must_use]
    pub fn counting_apart(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), transport: self.transport.counting_separately() }
    }

    /// The options it was made with.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// The number of HTTP requests that were sent, including those to token services and to the targets of redirects.
    pub fn requests(&self) -> u64 {
        self.transport.requests()
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(super) fn open_uploads(&self) -> &OpenUploads {
        &self.inner.open_uploads
    }

    /// The host of `authority` (`host[:port]`).
    pub(super) fn host(&self, authority: &str) -> KnownHost {
        let mut hosts = lock(&self.inner.hosts);
        let new = || (Arc::new(Host::new(authority, self.inner.options.jobs)), Arc::default());
        hosts.entry(authority.to_owned()).or_insert_with(new).clone()
    }

    /// Memory for a part of a blob, if there is some now.
    pub(super) fn memory_for_part(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.inner.parts).try_acquire_owned().ok()
    }

    /// Notes that something is retried, from the second failure on, so that a step that waits doesn't look dead. What many
    /// requests to one host run into at once is noted once.
    pub(super) fn note_retry(&self, host: &Host, failures: u32, reason: &str) {
        let Options { retries, notice: Some(notice), .. } = &self.inner.options else { return };
        if failures >= 2 && host.may_note_failure() {
            notice(&format!("{reason}, trying again ({failures} of {retries})"));
        }
    }

    /// Warns about something that did not stop the step.
    pub(super) fn warn(&self, text: &str) {
        if let Some(warn) = &self.inner.options.warn {
            warn(text);
        }
    }

    /// Cancels the uploads that are not complete, for at most `time_limit`.
    pub async fn cancel_open_uploads(&self, time_limit: Duration) {
        self.inner.open_uploads.cancel(time_limit).await;
    }
}
