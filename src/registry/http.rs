//! HTTP/1.1 itself: connections over TCP and TLS, through a proxy where the environment names one, kept for the next
//! request, and opened ahead of requests that are known to come.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
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
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::oneshot;
use tower_service::Service;

/// Connecting takes no longer, TLS and a proxy included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection that was opened ahead and has waited longer is not used: servers hang up on silent ones.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(4);
/// The most that a connection reads at once, in bytes. hyper's own limit is three times that, which makes nothing faster
/// and is what most of a transfer's memory would be.
const READ_SIZE: usize = 128 * 1024;
/// So long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

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

/// An HTTP client with one kind of trust.
pub struct Http {
    pool: Pool<Connector, Body>,
    connector: Connector,
}

impl Http {
    /// A client that trusts as `tls` says, and takes the proxies of the environment (`HTTPS_PROXY` and the like) if it
    /// is to be `proxied`. What it sent and could not be acknowledged for `stall_timeout` ends a connection.
    pub fn new(tls: ClientConfig, proxied: bool, stall_timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(15)));
        // The system's own limit, or a shorter one, would end an upload to a registry that is busy for longer.
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(stall_timeout));
        #[cfg(not(target_os = "linux"))]
        let _ = stall_timeout;
        let connector = Connector {
            tcp,
            tls: Arc::new(tls),
            proxies: proxied.then(|| Arc::new(Matcher::from_env())),
            ahead: Arc::default(),
        };
        let pool = Pool::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(READ_SIZE)
            .build(connector.clone());
        Self { pool, connector }
    }

    /// Sends a request; the head of its answer.
    ///
    /// # Errors
    /// No answer came.
    pub async fn send(
        &self,
        mut request: Request<Body>,
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
        self.pool.request(request).await
    }

    /// Opens `count` connections to the host of `uri`, for requests that are about to come.
    pub fn open_ahead(&self, uri: &Uri, count: usize) {
        for _ in 0..count {
            let (sender, receiver) = oneshot::channel();
            self.connector.ahead().entry(host_of(uri)).or_default().push_back((Instant::now(), receiver));
            let connecting = self.connector.connect(uri.clone());
            tokio::spawn(async move {
                // A failure is told by the request that tries again.
                if let Ok(stream) = connecting.await {
                    let _ = sender.send(stream);
                }
            });
        }
    }
}

fn host_of(uri: &Uri) -> String {
    format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |host| host.as_str()))
}

type Ahead = HashMap<String, VecDeque<(Instant, oneshot::Receiver<Stream>)>>;

/// What the pool gets its connections from.
#[derive(Clone)]
struct Connector {
    tcp: HttpConnector,
    tls: Arc<ClientConfig>,
    proxies: Option<Arc<Matcher>>,
    /// By host: the connections that are open, or being opened, and have no request yet.
    ahead: Arc<Mutex<Ahead>>,
}

impl Connector {
    fn ahead(&self) -> std::sync::MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn proxy_of(&self, uri: &Uri) -> Option<Intercept> {
        self.proxies.as_ref()?.intercept(uri)
    }

    /// A new connection.
    fn connect(&self, uri: Uri) -> Connecting {
        let tls = Arc::clone(&self.tls);
        let mut direct = HttpsConnector::from((self.tcp.clone(), Arc::clone(&tls)));
        let connecting: Connecting = match self.proxy_of(&uri) {
            None => Box::pin(async move { Ok(Stream::new(direct.call(uri).await?, false)) }),
            Some(proxy) if uri.scheme_str() == Some("https") => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
                if let Some(login) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(login.clone());
                }
                let mut through = HttpsConnector::from((tunnel, tls));
                Box::pin(async move { Ok(Stream::new(through.call(uri).await?, false)) })
            }
            Some(proxy) => Box::pin(async move { Ok(Stream::new(direct.call(proxy.uri().clone()).await?, true)) }),
        };
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()).into()),
            }
        })
    }

    fn next_ahead(&self, uri: &Uri) -> Option<oneshot::Receiver<Stream>> {
        let mut ahead = self.ahead();
        let waiting = ahead.get_mut(&host_of(uri))?;
        while let Some((begun, stream)) = waiting.pop_front() {
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
}

trait Io: Read + Write + Connection + Unpin + Send {}

impl<T: Read + Write + Connection + Unpin + Send> Io for T {}

impl Stream {
    fn new(io: impl Io + 'static, to_proxy: bool) -> Self {
        Self { io: Box::new(io), to_proxy }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.to_proxy)
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
