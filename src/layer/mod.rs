//! Builds layers from files: the same bytes on any machine, at any time, on any number of cores.

pub mod binary;
pub mod compress;
pub mod credential_paths;
pub mod decompress;
mod directory;
pub mod dockerignore;
pub mod exclusions;
pub mod ignore;
pub mod image_archive;
pub mod interpreter;
pub mod path_set;
pub mod recipe;
pub mod scan;
pub mod spec;
pub mod tar_inspector;
pub mod tar_writer;
pub mod walk;
pub mod warnings;

#[cfg(test)]
mod proptests;
#[cfg(test)]
mod tests;
