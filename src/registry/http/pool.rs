//! Pools of connections that are kept for the next request. Many shared requests use one connection if the server
//! supports HTTP/2.

use std::sync::OnceLock;
use std::time::Duration;

use http::header::{ACCEPT, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use http::{Request, Response, Uri};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use super::body::Body;
use super::connector::{Answered, Connector, Reach};
use super::limits::IDLE_TIMEOUT;
use super::ordinary;
use super::request::ConnectionKind;
use super::response::ResponseBody;

/// The most that a connection reads at once, in bytes. hyper's own limit is three times that, which is no faster and
/// would be most of a transfer's memory.
const READ_SIZE: usize = 128 * 1024;
/// The window of one request on a shared connection, in bytes. A manifest is read at once, and only blobs smaller than
/// this use a shared connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// The window of a shared connection, in bytes.
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// A shared connection on which nothing arrives for this long is pinged, and closed if the answer takes as long again:
/// otherwise retry after retry would be sent into a dead connection.
const PING_INTERVAL: Duration = Duration::from_secs(20);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The pools of all hosts that are trusted in the same way.
pub(crate) struct Pools {
    /// HTTP/1.1, one request at a time on each connection: dedicated requests to servers that support HTTP/2.
    http1: Client<Connector, Body>,
    /// HTTP/2 where the server chooses it: all other requests.
    auto: Client<Connector, Body>,
    /// A new connection for each request.
    fresh: Client<Connector, Body>,
    /// For ordinary requests; many steps send none.
    ordinary: OnceLock<reqwest::Client>,
    connector: Connector,
}

impl Pools {
    /// Pools without connections. `tls` decides who is trusted.
    pub(crate) fn new(tls: ClientConfig, reach: Reach) -> Self {
        let connector = Connector::new(tls, reach);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(READ_SIZE)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_INTERVAL);
        let (http1, auto) = (builder.build(connector.clone()), builder.build(connector.offering_http2()));
        let fresh = builder.pool_max_idle_per_host(0).build(connector.clone());
        Self { http1, auto, fresh, ordinary: OnceLock::new(), connector }
    }

    /// Sends a request and returns the head of its response.
    ///
    /// # Errors
    /// No response came.
    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
        connection: ConnectionKind,
    ) -> Result<Response<ResponseBody>, BoxError> {
        let agent = HeaderValue::from_static(concat!("imgstep/", env!("CARGO_PKG_VERSION")));
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, agent);
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        // A tunnel's proxy gets the login with `CONNECT`; a proxy for plain HTTP gets it with each request.
        if request.uri().scheme_str() == Some("http")
            && let Some(login) = self.connector.proxy_of(request.uri()).and_then(|proxy| proxy.basic_auth().cloned())
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, login);
        }
        let pool = match connection {
            ConnectionKind::Afresh => &self.fresh,
            ConnectionKind::Dedicated if !self.connector.is_one_at_a_time(request.uri()) => &self.http1,
            ConnectionKind::Ordinary if self.connector.proxy_of(request.uri()).is_none() => {
                // Boxed, so that the other requests' futures stay small.
                let sending = Box::pin(ordinary::send(self.ordinary()?, request));
                return Ok(sending.await?.map(ResponseBody::Ordinary));
            }
            ConnectionKind::Shared | ConnectionKind::Dedicated | ConnectionKind::Ordinary => &self.auto,
        };
        let result = pool.request(request).await;
        if let Some(answered) = result.as_ref().ok().and_then(|response| response.extensions().get::<Answered>()) {
            answered.set();
        }
        Ok(result?.map(ResponseBody::Registry))
    }

    fn ordinary(&self) -> reqwest::Result<&reqwest::Client> {
        if let Some(client) = self.ordinary.get() {
            return Ok(client);
        }
        let client = self.connector.ordinary_client()?;
        Ok(self.ordinary.get_or_init(|| client))
    }

    /// Opens connections to the host of `uri` for as many requests as `missing` returns, which are about to be sent and
    /// may need a connection each.
    pub(super) fn open_ahead(&self, uri: &Uri, connection: ConnectionKind, missing: impl FnOnce() -> usize) {
        self.connector.open_ahead(uri, connection == ConnectionKind::Shared, missing);
    }
}

/// Whether a request failed on a connection that had carried responses before. Most likely the server had closed it and
/// never saw the request.
pub(super) fn was_reused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut found = http::Extensions::new();
    if let Some(connected) = error.downcast_ref::<Error>().and_then(Error::connect_info) {
        connected.get_extras(&mut found);
    }
    found.get::<Answered>().is_some_and(Answered::get)
}
