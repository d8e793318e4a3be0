//! HTTP: connections, one exchange, redirects, retries, TLS and proxies. It knows nothing about registries.

pub(crate) mod connect_error;
pub mod location;
pub(crate) mod minimum_rate;
pub(crate) mod pool;
mod proxy;
pub mod remedies;
mod resolver;
pub mod retry;
pub mod tls;
mod tls_error;
pub(crate) mod transport;

pub use pool::{Body, ConnectionKind, stream_body};
