//! The OCI distribution specification: a client for one registry host at a time. It knows nothing about steps.
//!
//! All registries of a step share a [`client::Client`]; requests go through a [`repository::Repository`].
//! Everything that a registry sends is bounded, checked and made safe to print.

mod api_request;
mod auth;
mod blobs;
pub mod client;
pub mod error;
pub mod host;
mod http;
pub mod manifests;
mod open_uploads;
pub mod referrers;
pub mod repository;
pub mod tags;
pub mod uploads;

#[cfg(any(test, fuzzing))]
pub use auth::challenge;
pub use blobs::{BlobPresence, BlobRead, BlobReader};
pub use http::{Body, ConnectionKind, UploadCounter, location, remedies, retry, stream_body, tls};
