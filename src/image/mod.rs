//! Images as data: references, digests, platforms, descriptors, manifests. No I/O.

pub mod config;
pub mod descriptor;
pub mod digest;
pub mod format;
pub mod index;
pub mod manifest;
pub mod manifest_json;
pub mod media_type;
pub mod overrides;
pub mod platform;
pub mod reference;
pub mod reference_mistakes;
pub mod schema1;
pub mod spec;
