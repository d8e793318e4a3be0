//! HTTP itself: connections over TCP and TLS, through a proxy where the environment names one, kept for the next request,
//! shared by light requests where the server speaks HTTP/2, and opened ahead of requests that are known to come.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{TryStream, TryStreamExt as _};
use http::header::{ACCEPT, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Frame, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::oneshot;
use tower_service::Service;

use super::proxy::{Proxy, Tunnel};
use super::resolver::Resolver;

/// Connecting takes no longer, TLS and a proxy included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection that was opened ahead and has waited longer is not used: servers hang up on silent ones.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(4);
/// The most that a connection reads at once, in bytes. hyper's own limit is three times that, which makes nothing faster
/// and is what most of a transfer's memory would be.
const READ_SIZE: usize = 128 * 1024;
/// So long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a shared connection holds for requests that don't read on, in bytes: of one, and of all together. A manifest is
/// read at once, and of blobs only such pass here as are lighter.
const SHARED_WINDOW: u32 = 1024 * 1024;
const SHARED_WINDOWS: u32 = 8 * 1024 * 1024;
/// A shared connection on which nothing comes is asked for a sign of life, and given up after as long again: requests
/// would otherwise be sent on it, one try after the other, into nothing.
const ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// What a request and its answer carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionKind {
    /// Questions, manifests, small blobs: many share one connection, where the server speaks HTTP/2.
    Shared,
    /// A blob: it has a connection for itself as long as it takes. HTTP/2's windows would hold an upload to some 64 kB for
    /// each round trip, and one connection all of them to what one is given.
    Dedicated,
    /// Anything, on a new connection, which serves nobody after: the last one was closed, or its bytes were wrong.
    Afresh,
}

impl ConnectionKind {
    /// Of a request with a body of so many bytes, `None` if nobody knows how many. All that are sent at once shall fit into
    /// the window of 64 KiB that HTTP/2 gives a connection to begin with (RFC 9113, section 6.9.2).
    pub fn of_request(bytes: Option<u64>) -> Self {
        if bytes.is_some_and(|bytes| bytes <= 8 * 1024) { Self::Shared } else { Self::Dedicated }
    }

    /// Of an answer with a body of so many bytes.
    pub fn of_answer(bytes: u64) -> Self {
        if bytes <= 64 * 1024 { Self::Shared } else { Self::Dedicated }
    }
}

/// A request's body.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A body without bytes.
pub fn empty_body() -> Body {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of these bytes.
pub fn whole_body(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A body of what a stream gives.
pub fn stream_body(pieces: impl TryStream<Ok = Bytes, Error = std::io::Error> + Send + 'static) -> Body {
    http_body_util::StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

/// Where a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To this machine alone, whatever names say, and by no proxy.
    Loopback,
    /// Anywhere, by the proxies of the environment (`HTTPS_PROXY` and the like).
    Anywhere,
}

/// An HTTP client with one kind of trust.
pub struct Http {
    /// One request at a time on each connection, HTTP/1.1: heavy requests to servers that speak HTTP/2.
    single: Pool<Connector, Body>,
    /// All other requests.
    shared: Pool<Connector, Body>,
    /// Requests that want a new connection each.
    fresh: Pool<Connector, Body>,
    connector: Connector,
}

impl Http {
    /// A client that trusts as `tls` says. What it sent and could not be acknowledged for `stall_timeout` ends a
    /// connection.
    pub fn new(tls: ClientConfig, reach: Reach, stall_timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(reach == Reach::Loopback));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(15)));
        // The system's own limit, or a shorter one, would end an upload to a registry that is busy for longer.
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(stall_timeout));
        #[cfg(not(target_os = "linux"))]
        let _ = stall_timeout;
        let mut offering = tls.clone();
        offering.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connector = Connector {
            tcp,
            tls: Arc::new(tls),
            offering: None,
            proxies: (reach == Reach::Anywhere).then(|| Arc::new(Matcher::from_env())),
            hosts: Arc::default(),
        };
        let sharing = Connector { offering: Some(Arc::new(offering)), ..connector.clone() };
        let mut builder = Pool::builder(TokioExecutor::new());
        builder
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(READ_SIZE)
            .http2_initial_stream_window_size(SHARED_WINDOW)
            .http2_initial_connection_window_size(SHARED_WINDOWS)
            .http2_keep_alive_interval(ALIVE_INTERVAL)
            .http2_keep_alive_timeout(ALIVE_INTERVAL);
        let (single, shared) = (builder.build(connector.clone()), builder.build(sharing));
        let fresh = builder.pool_max_idle_per_host(0).build(connector.clone());
        Self { single, shared, fresh, connector }
    }

    /// Sends a request; the head of its answer.
    ///
    /// # Errors
    /// No answer came.
    pub async fn send(
        &self,
        mut request: Request<Body>,
        load: ConnectionKind,
    ) -> Result<Response<Incoming>, hyper_util::client::legacy::Error> {
        let agent = HeaderValue::from_static(concat!("imgstep/", env!("CARGO_PKG_VERSION")));
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, agent);
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        // Of a tunnel the proxy is told when it is dug; of plain HTTP, with each request.
        if request.uri().scheme_str() == Some("http")
            && let Some(login) = self.connector.proxy_of(request.uri()).and_then(|proxy| proxy.basic_auth().cloned())
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, login);
        }
        let pool = match load {
            ConnectionKind::Afresh => &self.fresh,
            ConnectionKind::Dedicated if !self.connector.is_one_at_a_time(request.uri()) => &self.single,
            ConnectionKind::Shared | ConnectionKind::Dedicated => &self.shared,
        };
        let result = pool.request(request).await;
        if let Some(answered) = result.as_ref().ok().and_then(|response| response.extensions().get::<Answered>()) {
            answered.0.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Opens connections to the host of `uri` for as many requests that are about to come as `lacking` says, if each will
    /// want one of its own. While that is not known of light ones, it is done as soon as it is.
    pub fn open_ahead(&self, uri: &Uri, load: ConnectionKind, lacking: impl FnOnce() -> usize) {
        if load == ConnectionKind::Dedicated || self.connector.is_one_at_a_time(uri) {
            self.connector.open_ahead(uri, lacking());
        } else if self.connector.speaks_http2(uri).is_none() {
            self.connector.hosts().entry(host_of(uri)).or_default().expected += lacking();
        }
    }
}

/// Whether a connection has carried an answer.
#[derive(Clone, Default)]
struct Answered(Arc<AtomicBool>);

/// Whether the connection that a request failed on was a kept one, which had carried answers before: most likely the
/// server closed it in the meantime, and never saw the request.
pub fn was_kept(error: &hyper_util::client::legacy::Error) -> bool {
    let mut found = http::Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut found);
    }
    found.get::<Answered>().is_some_and(|answered| answered.0.load(Ordering::Relaxed))
}

fn host_of(uri: &Uri) -> String {
    format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |host| host.as_str()))
}

/// What is known of a host, and kept for it.
#[derive(Default)]
struct HostState {
    /// What it chose when it was offered HTTP/2.
    speaks_http2: Option<bool>,
    /// Light requests that are about to come, and may want a connection each.
    expected: usize,
    /// The connections that are open, or being opened, and have no request yet. None of them speaks HTTP/2.
    ahead: VecDeque<(Instant, oneshot::Receiver<Stream>)>,
}

/// What a pool gets its connections from.
#[derive(Clone)]
struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: Arc<ClientConfig>,
    /// The same, offering HTTP/2: of the pool that shares connections.
    offering: Option<Arc<ClientConfig>>,
    proxies: Option<Arc<Matcher>>,
    hosts: Arc<Mutex<HashMap<String, HostState>>>,
}

impl Connector {
    fn hosts(&self) -> std::sync::MutexGuard<'_, HashMap<String, HostState>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn speaks_http2(&self, uri: &Uri) -> Option<bool> {
        self.hosts().get(&host_of(uri)).and_then(|place| place.speaks_http2)
    }

    /// Whether each connection to a host is known to carry one request at a time. HTTP/2 is spoken over TLS alone, where the
    /// server chooses it (RFC 9113, section 3.2).
    fn is_one_at_a_time(&self, uri: &Uri) -> bool {
        uri.scheme_str() == Some("http") || self.speaks_http2(uri) == Some(false)
    }

    fn open_ahead(&self, uri: &Uri, count: usize) {
        for _ in 0..count {
            let (sender, receiver) = oneshot::channel();
            self.hosts().entry(host_of(uri)).or_default().ahead.push_back((Instant::now(), receiver));
            let connecting = self.connect(uri.clone());
            tokio::spawn(async move {
                // A failure is told by the request that tries again.
                if let Ok(stream) = connecting.await {
                    let _ = sender.send(stream);
                }
            });
        }
    }

    /// What became of the offer of HTTP/2.
    fn learn(&self, uri: &Uri, speaks_http2: bool) {
        let expected = {
            let mut hosts = self.hosts();
            let place = hosts.entry(host_of(uri)).or_default();
            place.speaks_http2 = Some(speaks_http2);
            std::mem::take(&mut place.expected)
        };
        if !speaks_http2 {
            self.open_ahead(uri, expected);
        }
    }

    fn proxy_of(&self, uri: &Uri) -> Option<Intercept> {
        self.proxies.as_ref()?.intercept(uri)
    }

    /// A new connection, on which HTTP/2 is offered; what becomes of the offer is remembered.
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
        self.connect_with(uri, &self.tls)
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
        let place = hosts.get_mut(&host_of(uri))?;
        while let Some((begun, stream)) = place.ahead.pop_front() {
            if begun.elapsed() < AHEAD_TIMEOUT {
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
        if let Some(tls) = self.offering.as_ref().filter(|_| !self.is_one_at_a_time(&uri)) {
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
struct Stream {
    io: Box<dyn Io>,
    /// The other end is a proxy, which is told whole addresses.
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
