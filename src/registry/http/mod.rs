//! HTTP: connections, one exchange, redirects, retries, TLS and proxies. It knows nothing about registries.

pub(crate) mod body;
mod connect_error;
mod connector;
mod limits;
pub(crate) mod location;
mod minimum_rate;
mod ordinary;
pub(crate) mod pauses;
mod pool;
mod proxy;
mod refusal;
pub(crate) mod remedies;
pub(crate) mod request;
mod resolver;
pub(crate) mod response;
pub(crate) mod retry;
pub(crate) mod tls;
mod tls_error;
pub(crate) mod transport;

pub(crate) use body::{Body, UploadCounter, stream_body};
pub(crate) use request::ConnectionKind;
pub(crate) use request::{ANSWER_TIMEOUT, HttpRequest};
pub(crate) use response::HttpResponse;
pub(crate) use transport::Trace;
pub(crate) use transport::{Transport, TransportSettings};
