//! The engine that all steps share: content moves from a source to destinations, each a registry or an OCI layout,
//! by mount, by skip or by stream; manifests are committed bottom up, tags last.

pub mod blob_copy;
pub mod blob_source;
pub mod copy;
pub mod destination;
pub mod destinations;
pub mod generated;
pub mod ingest;
pub mod layout;
pub mod manifest_limits;
pub mod options;
mod pieces;
mod present;
pub mod read_attempts;
mod relay;
pub mod store;
pub mod transfer_log;
pub mod verified;
