//! The command line: words into requests.

pub mod registry;
