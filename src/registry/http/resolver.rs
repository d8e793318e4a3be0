//! Resolves names. Plain HTTP is only allowed to this machine, whatever a name promises.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use super::refusal::FinalFailure;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A name has no address, or can't be resolved.
#[derive(Debug, thiserror::Error)]
#[error("there is no address for the name {name}")]
pub(super) struct NoAddress {
    pub name: String,
    pub source: std::io::Error,
}

/// Resolves names, to any address or only to this machine's.
#[derive(Clone)]
pub(super) struct Resolver {
    system: GaiResolver,
    /// Accept only this machine's addresses.
    only_loopback: bool,
}

impl Resolver {
    pub(super) fn new(only_loopback: bool) -> Self {
        Self { system: GaiResolver::new(), only_loopback }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let only_loopback = self.only_loopback;
        let text = name.as_str().to_owned();
        let looking = self.system.call(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> = match looking.await {
                Ok(found) => found.collect(),
                Err(source) => return Err(NoAddress { name: text, source }.into()),
            };
            let allowed = if only_loopback { loopback_of(&text, found)? } else { found };
            Ok(allowed.into_iter())
        })
    }
}

/// The addresses of this machine among those of a name. Names under `.localhost` should have no others (RFC 6761,
/// section 6.3), but resolvers and search domains decide that.
fn loopback_of(name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, FinalFailure> {
    let first = found.first().map(SocketAddr::ip);
    let own: Vec<SocketAddr> = found.into_iter().filter(|address| address.ip().to_canonical().is_loopback()).collect();
    match first {
        Some(address) if own.is_empty() => Err(FinalFailure::new(
            format!(
                "{name} resolves to {address}, which is not this machine, and plain HTTP is used on this machine only"
            ),
            "--insecure-registry allows it for other registries",
        )),
        _ => Ok(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(addresses: &[&str]) -> Result<Vec<String>, String> {
        let found = addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
        loopback_of("reg.localhost", found)
            .map(|own| own.iter().map(|address| address.ip().to_string()).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_name_resolves_to_decides_and_not_the_name() {
        assert_eq!(allowed(&["127.0.0.1", "::1"]).unwrap(), ["127.0.0.1", "::1"]);
        assert_eq!(allowed(&["192.0.2.2", "127.0.0.5", "::ffff:10.0.0.1"]).unwrap(), ["127.0.0.5"]);
        assert_eq!(allowed(&["::ffff:127.0.0.1"]).unwrap(), ["::ffff:127.0.0.1"]);
        assert!(allowed(&[]).unwrap().is_empty());
        for address in ["192.0.2.2", "169.254.169.254", "10.1.2.3", "::", "0.0.0.0", "fe80::1"] {
            let said = allowed(&[address]).unwrap_err();
            assert!(said.contains("reg.localhost") && said.contains(address), "{said}");
        }
    }
}
