//! Blobs: whether they exist, and reading them, by one connection or by several.

pub(crate) mod parallel;
mod reader;

pub use reader::{BlobPresence, BlobRead, BlobReader};
