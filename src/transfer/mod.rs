//! The engine that all steps share: content moves from a source to destinations, each a registry or an OCI layout,
//! by mount, by skip or by stream; manifests are committed bottom up, tags last.

pub(crate) mod blob_copy;
pub(crate) mod blob_source;
pub(crate) mod copy;
pub(crate) mod destination;
pub(crate) mod destinations;
pub(crate) mod generated;
pub(crate) mod ingest;
pub(crate) mod layout;
pub(crate) mod manifest_limits;
pub(crate) mod options;
mod pieces;
mod present;
pub(crate) mod read_attempts;
mod relay;
pub(crate) mod store;
pub(crate) mod transfer_log;
pub(crate) mod verified;
