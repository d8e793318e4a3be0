//! Connections over TCP and TLS, through a proxy if the environment names one; some are opened before they are needed.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::ClientConfig;
use tokio::sync::oneshot;
use tower_service::Service;

use super::limits::{CONNECT_TIMEOUT, KEEPALIVE};
use super::ordinary;
use super::proxy::{Proxy, Tunnel};
use super::resolver::Resolver;
use crate::lock::lock;

/// How long a connection that was opened ahead may wait for its request: servers close silent ones.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(4);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

/// Where a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Only this machine, whatever names resolve to, and without a proxy.
    Loopback,
    /// Anywhere, through the proxies of the environment (`HTTPS_PROXY` and the like).
    Anywhere,
}

/// Whether a connection has carried an answer.
#[derive(Clone, Default)]
pub(super) struct Answered(Arc<AtomicBool>);

impl Answered {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn host_of(uri: &Uri) -> String {
    format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |host| host.as_str()))
}

/// What is known about connections to a host.
#[derive(Default)]
struct HostConnections {
    /// Whether it chose HTTP/2 when it was offered.
    speaks_http2: Option<bool>,
    /// Shared requests that are about to be sent and may need a connection each.
    expected: usize,
    /// Connections that are open, or being opened, and have no request yet. None of them is HTTP/2.
    ahead: VecDeque<(Instant, oneshot::Receiver<Stream>)>,
}

/// Opens the connections of a pool.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Resolver>,
    http1: Arc<ClientConfig>,
    /// The same settings with HTTP/2 in ALPN, in the pool whose connections are shared.
    alpn_h2: Option<Arc<ClientConfig>>,
    proxies: Option<Arc<Matcher>>,
    hosts: Arc<Mutex<HashMap<String, HostConnections>>>,
}

impl Connector {
    pub(super) fn new(tls: ClientConfig, reach: Reach) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(reach == Reach::Loopback));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        // The system's own limit, or a shorter one, would end an upload to a registry that is busy for longer.
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(super::body::STALL_TIMEOUT));
        Self {
            tcp,
            http1: Arc::new(tls),
            alpn_h2: None,
            proxies: (reach == Reach::Anywhere).then(|| Arc::new(Matcher::from_env())),
            hosts: Arc::default(),
        }
    }

    /// The same connector, which offers HTTP/2.
    pub(super) fn offering_http2(&self) -> Self {
        let mut tls = (*self.http1).clone();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { alpn_h2: Some(Arc::new(tls)), ..self.clone() }
    }

    /// A client for ordinary requests with the same TLS settings and the same reach, which uses no proxy.
    pub(super) fn ordinary_client(&self) -> reqwest::Result<reqwest::Client> {
        let only_loopback = self.proxies.is_none();
        ordinary::client(ClientConfig::clone(&self.http1), Resolver::new(only_loopback))
    }

    fn hosts(&self) -> std::sync::MutexGuard<'_, HashMap<String, HostConnections>> {
        lock(&self.hosts)
    }

    fn speaks_http2(&self, uri: &Uri) -> Option<bool> {
        self.hosts().get(&host_of(uri)).and_then(|host| host.speaks_http2)
    }

    /// Whether each connection to a host is known to carry one request at a time. HTTP/2 is only used over TLS, where the
    /// server chooses it (RFC 9113, section 3.2).
    pub(super) fn is_one_at_a_time(&self, uri: &Uri) -> bool {
        uri.scheme_str() == Some("http") || self.speaks_http2(uri) == Some(false)
    }

    /// Opens connections for as many requests as `missing` returns, which are about to be sent. As long as it isn't known
    /// whether shared requests need a connection each, theirs wait for that.
    pub(super) fn open_ahead(&self, uri: &Uri, is_shared: bool, missing: impl FnOnce() -> usize) {
        if !is_shared || self.is_one_at_a_time(uri) {
            self.open(uri, missing());
        } else if self.speaks_http2(uri).is_none() {
            self.hosts().entry(host_of(uri)).or_default().expected += missing();
        }
    }

    fn open(&self, uri: &Uri, count: usize) {
        for _ in 0..count {
            let (sender, receiver) = oneshot::channel();
            self.hosts().entry(host_of(uri)).or_default().ahead.push_back((Instant::now(), receiver));
            let connecting = self.connect(uri.clone());
            tokio::spawn(async move {
                // A failure is reported by the request that tries again.
                if let Ok(stream) = connecting.await {
                    let _ = sender.send(stream);
                }
            });
        }
    }

    /// Remembers whether a host chose HTTP/2.
    fn learn(&self, uri: &Uri, speaks_http2: bool) {
        let expected = {
            let mut hosts = self.hosts();
            let host = hosts.entry(host_of(uri)).or_default();
            host.speaks_http2 = Some(speaks_http2);
            std::mem::take(&mut host.expected)
        };
        if !speaks_http2 {
            self.open(uri, expected);
        }
    }

    pub(super) fn proxy_of(&self, uri: &Uri) -> Option<Intercept> {
        self.proxies.as_ref()?.intercept(uri)
    }

    /// A new connection that offers HTTP/2.
    fn connect_offering(&self, uri: Uri, tls: &Arc<ClientConfig>) -> Connecting {
        let connecting = self.connect_with(uri.clone(), tls);
        let connector = self.clone();
        Box::pin(async move {
            let stream = connecting.await?;
            connector.learn(&uri, stream.connected().is_negotiated_h2());
            Ok(stream)
        })
    }

    /// A new connection for one request at a time.
    fn connect(&self, uri: Uri) -> Connecting {
        self.connect_with(uri, &self.http1)
    }

    fn connect_with(&self, uri: Uri, tls: &Arc<ClientConfig>) -> Connecting {
        let tls = Arc::clone(tls);
        let mut direct = HttpsConnector::from((self.tcp.clone(), Arc::clone(&tls)));
        let connecting: Connecting = match self.proxy_of(&uri).map(|found| Proxy::new(&found, &uri)) {
            None => Box::pin(async move { Ok(Stream::new(direct.call(uri).await?, false)) }),
            Some(Err(refusal)) => Box::pin(async move { Err(refusal.into()) }),
            Some(Ok(proxy)) if uri.scheme_str() == Some("https") => {
                let mut through = HttpsConnector::from((Tunnel::new(proxy, direct), tls));
                Box::pin(async move { Ok(Stream::new(through.call(uri).await?, false)) })
            }
            Some(Ok(proxy)) => Box::pin(async move {
                let connecting = direct.call(proxy.address());
                Ok(Stream::new(proxy.reached(connecting, &uri).await?, true))
            }),
        };
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()).into()),
            }
        })
    }

    fn next_ahead(&self, uri: &Uri) -> Option<oneshot::Receiver<Stream>> {
        let mut hosts = self.hosts();
        let host = hosts.get_mut(&host_of(uri))?;
        while let Some((start, stream)) = host.ahead.pop_front() {
            if start.elapsed() < AHEAD_TIMEOUT {
                return Some(stream);
            }
        }
        None
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        if let Some(tls) = self.alpn_h2.as_ref().filter(|_| !self.is_one_at_a_time(&uri)) {
            return self.connect_offering(uri, tls);
        }
        let Some(ahead) = self.next_ahead(&uri) else { return self.connect(uri) };
        let connector = self.clone();
        Box::pin(async move {
            match ahead.await {
                Ok(stream) => Ok(stream),
                Err(_) => connector.connect(uri).await,
            }
        })
    }
}

/// A connection, whatever it is made of.
pub(super) struct Stream {
    io: Box<dyn Io>,
    /// The other end is a proxy, which takes whole URLs.
    to_proxy: bool,
    answered: Answered,
}

trait Io: Read + Write + Connection + Unpin + Send {}

impl<T: Read + Write + Connection + Unpin + Send> Io for T {}

impl Stream {
    fn new(io: impl Io + 'static, to_proxy: bool) -> Self {
        Self { io: Box::new(io), to_proxy, answered: Answered::default() }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.to_proxy).extra(self.answered.clone())
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(context, buffers)
    }
}
