//! Images as data: references, digests, platforms, descriptors, manifests. No I/O.

pub(crate) mod config;
pub(crate) mod descriptor;
pub mod digest;
pub(crate) mod format;
pub(crate) mod index;
pub(crate) mod manifest;
pub(crate) mod manifest_json;
pub(crate) mod media_type;
pub(crate) mod overrides;
pub(crate) mod platform;
pub(crate) mod reference;
pub(crate) mod reference_mistakes;
pub mod schema1;
pub(crate) mod spec;
