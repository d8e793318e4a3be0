//! Layers made from files: the same bytes on any machine, at any time, on any number of cores.

pub mod binary;
pub mod cautions;
pub mod compress;
pub mod dockerignore;
pub mod findings;
pub mod ignore;
pub mod ignored;
pub mod image_archive;
pub mod interpreter;
mod level;
pub mod logins;
pub mod make;
pub mod names;
pub mod spec;
pub mod tarball;
pub mod tarfile;
pub mod unpack;
pub mod walk;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
