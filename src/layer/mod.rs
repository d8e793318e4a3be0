//! Builds layers from files: the same bytes on any machine, at any time, on any number of cores.

pub(crate) mod binary;
pub(crate) mod compress;
pub(crate) mod credential_paths;
pub(crate) mod decompress;
mod directory;
pub(crate) mod dockerignore;
pub(crate) mod exclusions;
pub(crate) mod ignore;
pub(crate) mod image_archive;
pub(crate) mod interpreter;
pub(crate) mod path_set;
pub(crate) mod recipe;
pub(crate) mod scan;
pub(crate) mod spec;
pub(crate) mod tar_inspector;
pub mod tar_writer;
pub(crate) mod walk;
pub(crate) mod warnings;

#[cfg(test)]
mod proptests;
#[cfg(test)]
mod tests;
