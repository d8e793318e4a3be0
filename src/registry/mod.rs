//! The OCI distribution specification, spoken to one host at a time. It knows nothing of steps.
//!
//! A [`client::Client`] is what all registries of a step share; a [`repository::Repository`] is where requests go.
//! Everything that a registry sends is bounded, checked and made safe to print.

mod api_request;
pub mod blobs;
pub mod challenge;
pub mod client;
mod connect_error;
pub mod error;
pub mod host;
mod http;
pub mod location;
pub mod manifests;
mod minimum_rate;
mod parallel;
mod proxy;
pub mod referrers;
pub mod remedies;
pub mod repository;
mod resolver;
pub mod retry;
pub mod tags;
pub mod tls;
mod tls_error;
mod token;
mod transport;
pub mod uploads;

pub use http::{Body, ConnectionKind, stream_body};
pub use transport::UploadCounter;
