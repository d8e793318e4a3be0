//! The OCI distribution specification, spoken to one host at a time. It knows nothing of steps.
//!
//! A [`client::Client`] is what all registries of a step share; a [`repository::Repository`] is where requests go.
//! Everything that a registry sends is bounded, checked and made safe to print.

pub mod blobs;
mod call;
pub mod challenge;
pub mod client;
pub mod error;
mod handshake;
pub mod hints;
pub mod host;
mod http;
pub mod location;
pub mod manifests;
mod pace;
mod proxy;
mod ranges;
pub mod referrers;
mod refusal;
pub mod repository;
mod resolver;
pub mod retry;
pub mod tags;
pub mod tls;
mod token;
mod transport;
pub mod uploads;

pub use http::{Body, Load, stream_body};
pub use transport::Pulled;
