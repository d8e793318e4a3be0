//! Proxies: which variable names one, and the tunnel through it. Its errors contain its name and status.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderValue, Uri};
use hyper::rt::{Read, Write};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_service::Service;

use super::refusal::FinalFailure;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The largest head of a proxy's answer, in bytes.
const HEAD_LIMIT: usize = 8 * 1024;

/// A proxy's URL, and the environment variable that it comes from.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    address: Uri,
    login: Option<HeaderValue>,
    name: String,
}

/// A proxy can't be reached, or refuses for now.
#[derive(Debug)]
pub(super) struct Unreached {
    words: String,
    hint: String,
    cause: Option<BoxError>,
}

impl Unreached {
    /// What to do about it.
    pub(super) fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Unreached {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl Proxy {
    /// The proxy for `target` in the environment.
    ///
    /// # Errors
    /// It isn't an HTTP proxy.
    pub(super) fn new(found: &Intercept, target: &Uri) -> Result<Self, FinalFailure> {
        let address = found.uri().clone();
        let host = address.authority().map_or("", |authority| without_login(authority.as_str()));
        let variable = variable_for(target.scheme_str() == Some("https"), &|name| std::env::var(name).ok());
        let name = format!("the proxy {host} ({variable})");
        if !matches!(address.scheme_str(), Some("http" | "https")) {
            let scheme = address.scheme_str().unwrap_or_default();
            return Err(FinalFailure::new(
                format!("{name} uses {scheme}://, which is not supported"),
                format!("use an HTTP proxy, or add {} to NO_PROXY", target.host().unwrap_or_default()),
            ));
        }
        Ok(Self { address, login: found.basic_auth().cloned(), name })
    }

    /// Its URL.
    pub(super) fn address(&self) -> Uri {
        self.address.clone()
    }

    /// A connection to it, opened by `connecting`.
    pub(super) async fn reached<S, E: Into<BoxError>>(
        self,
        connecting: impl Future<Output = Result<S, E>>,
        target: &Uri,
    ) -> Result<S, BoxError> {
        connecting.await.map_err(|error| {
            let host = target.host().unwrap_or_default();
            let words = format!("{} can't be reached", self.name);
            let hint = format!("if the registry needs no proxy, set NO_PROXY={host}");
            Box::new(Unreached { words, hint, cause: Some(error.into()) }) as BoxError
        })
    }

    /// Opens a tunnel to `target` on `connection` (RFC 9110, section 9.3.6).
    async fn dig<S: Read + Write + Unpin>(self, connection: S, target: &Uri) -> Result<S, BoxError> {
        let host = target.host().unwrap_or_default();
        let aim = format!("{host}:{}", target.port_u16().unwrap_or(443));
        let mut request = format!("CONNECT {aim} HTTP/1.1\r\nHost: {aim}\r\n").into_bytes();
        if let Some(login) = &self.login {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(login.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let mut stream = TokioIo::new(connection);
        stream.write_all(&request).await?;
        stream.flush().await?;
        let mut head = Vec::new();
        // Byte by byte: what follows the head comes from the target.
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if head.len() == HEAD_LIMIT || stream.read(&mut byte).await? == 0 {
                return Err(self.refused("gave no answer", host, false));
            }
            head.push(byte[0]);
        }
        match status_of(&head) {
            Some(200..=299) => Ok(stream.into_inner()),
            Some(status) => Err(self.answered(status, &aim, host)),
            None => Err(self.refused("gave an answer that is not HTTP", host, true)),
        }
    }

    fn answered(&self, status: u16, aim: &str, host: &str) -> BoxError {
        let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let mut words = format!("answered {status} {} to CONNECT {aim}", reason.unwrap_or_default());
        if status == 407 {
            words.push_str(match self.login {
                Some(_) => ": it rejects the user and password in that variable",
                None => ": it requires a login, as http://USER:PASSWORD@PROXY in that variable",
            });
        }
        let is_final = !matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504);
        self.refused(&words, host, is_final)
    }

    fn refused(&self, what: &str, host: &str, is_final: bool) -> BoxError {
        let words = format!("{} {what}", self.name);
        let hint = format!("if the registry needs no proxy, set NO_PROXY={host}");
        if is_final {
            Box::new(FinalFailure::new(words, hint))
        } else {
            Box::new(Unreached { words, hint, cause: None })
        }
    }
}

fn without_login(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

fn status_of(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let status = line.strip_prefix("HTTP/1.")?.get(2..5)?;
    status.parse().ok()
}

/// The variable that the proxy for a target comes from, in order of precedence.
fn variable_for(is_tls: bool, value_of: &dyn Fn(&str) -> Option<String>) -> &'static str {
    let own: [&str; 2] = if is_tls { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let set = |names: [&'static str; 2]| {
        names
            .into_iter()
            .find_map(|name| value_of(name).map(|value| (name, value)))
            .filter(|(_, value)| !value.is_empty())
    };
    set(own).or_else(|| set(["ALL_PROXY", "all_proxy"])).map_or("the environment", |(name, _)| name)
}

/// Connects through a proxy.
#[derive(Clone)]
pub(super) struct Tunnel<C> {
    proxy: Proxy,
    connector: C,
}

impl<C> Tunnel<C> {
    pub(super) fn new(proxy: Proxy, connector: C) -> Self {
        Self { proxy, connector }
    }
}

impl<C> Service<Uri> for Tunnel<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Response: Read + Write + Unpin + Send + 'static,
    C::Error: Into<BoxError>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = self.connector.call(self.proxy.address());
        let proxy = self.proxy.clone();
        Box::pin(async move {
            let connection = proxy.clone().reached(connecting, &target).await?;
            proxy.dig(connection, &target).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_by_the_variable_that_counts() {
        let of = |is_tls, set: &[(&str, &str)]| {
            variable_for(is_tls, &|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(true, &[("HTTPS_PROXY", "x"), ("ALL_PROXY", "y")]), "HTTPS_PROXY");
        assert_eq!(of(true, &[("HTTP_PROXY", "x"), ("all_proxy", "y")]), "all_proxy");
        assert_eq!(of(false, &[("http_proxy", "x"), ("HTTPS_PROXY", "y")]), "http_proxy");
        assert_eq!(of(true, &[("HTTPS_PROXY", ""), ("ALL_PROXY", "y")]), "ALL_PROXY");
    }

    #[test]
    fn the_status_of_an_answer() {
        assert_eq!(status_of(b"HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status_of(b"HTTP/1.0 407 Nope\r\nA: b\r\n\r\n"), Some(407));
        assert_eq!(status_of(b"SSH-2.0\r\n\r\n"), None);
        assert_eq!(without_login("u:p@h:1"), "h:1");
    }
}
