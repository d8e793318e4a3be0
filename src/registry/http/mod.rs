//! HTTP: connections, one exchange, redirects, retries, TLS and proxies. It knows nothing about registries.

pub(crate) mod body;
mod connect_error;
mod connector;
mod limits;
pub mod location;
mod minimum_rate;
mod ordinary;
pub(crate) mod pauses;
mod pool;
mod proxy;
mod refusal;
pub mod remedies;
pub(crate) mod request;
mod resolver;
pub(crate) mod response;
pub mod retry;
pub mod tls;
mod tls_error;
pub(crate) mod transport;

pub use body::{Body, UploadCounter, stream_body};
pub use request::ConnectionKind;
pub(crate) use request::{ANSWER_TIMEOUT, HttpRequest};
pub(crate) use response::HttpResponse;
pub use transport::Trace;
pub(crate) use transport::{Settings, Transport};
