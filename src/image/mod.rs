//! Images as data: references, digests, platforms, descriptors, manifests. No I/O.

pub mod changes;
pub mod config;
pub mod descriptor;
pub mod digest;
pub mod format;
pub mod index;
pub mod manifest;
pub mod media_type;
pub mod mistaken;
pub mod platform;
pub mod reading;
pub mod reference;
pub mod schema1;
