//! Ordinary requests, by reqwest: small ones to hosts that are not registries, such as token services.
//!
//! It gets our TLS settings, resolver and timeouts, and neither proxies nor redirects of its own: `transport.rs` follows
//! redirects, and what needs a proxy uses our own connections, whose errors name the variable that set it.

use std::str::FromStr as _;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::connect::dns::Name;
use reqwest::dns::{Addrs, Resolve, Resolving};
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use tower_service::Service as _;

use super::body::{Body, STALL_TIMEOUT};
use super::limits::{CONNECT_TIMEOUT, IDLE_TIMEOUT, KEEPALIVE};
use super::resolver::Resolver;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client without connections. `tls` decides who is trusted.
///
/// # Errors
/// reqwest refuses the settings.
pub(super) fn client(tls: ClientConfig, resolver: Resolver) -> reqwest::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(resolver))
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_keepalive(KEEPALIVE);
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(STALL_TIMEOUT);
    builder.build()
}

/// Sends a request with a small body and returns the head of its response.
///
/// # Errors
/// No response came.
pub(super) async fn send(
    client: &reqwest::Client,
    request: Request<Body>,
) -> Result<Response<reqwest::Body>, BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let request = reqwest::Request::try_from(Request::from_parts(parts, body))?;
    Ok(client.execute(request).await?.into())
}

impl Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        let mut resolver = self.clone();
        Box::pin(async move {
            let found = resolver.call(Name::from_str(name.as_str())?).await?;
            Ok(Box::new(found) as Addrs)
        })
    }
}
