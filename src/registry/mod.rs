//! The OCI distribution specification: a client for one registry host at a time. It knows nothing about steps.
//!
//! All registries of a step share a [`client::Client`]; requests go through a [`repository::Repository`].
//! Everything that a registry sends is bounded, checked and made safe to print.

mod api_request;
mod auth;
mod blobs;
pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod host;
mod http;
pub(crate) mod manifests;
mod open_uploads;
pub(crate) mod referrers;
pub(crate) mod repository;
pub(crate) mod tags;
#[allow(unreachable_pub, reason = "not yet narrowed")]
pub(crate) mod uploads;

#[cfg(any(test, fuzzing))]
pub(crate) use auth::challenge;
pub(crate) use blobs::{BlobRead, BlobReader};
#[cfg(any(test, fuzzing))]
pub(crate) use http::location;
pub(crate) use http::{Body, ConnectionKind, UploadCounter, remedies, retry, stream_body, tls};
