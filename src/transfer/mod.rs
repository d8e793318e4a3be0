//! The engine that all steps share: content moves from a source to destinations, each a registry or an OCI layout,
//! by mount, by skip or by stream; manifests are committed bottom up.

pub mod bounds;
pub mod copy;
pub mod destination;
mod feed;
pub mod layout;
pub mod ledger;
pub mod made;
pub mod options;
pub mod readings;
pub mod relay;
pub mod store;
pub mod stream;
pub mod verified;
