//! imgstep: container image steps for CI as pure registry operations.
//!
//! Data flows one way:
//!
//! ```text
//! words ──▶ cli ──▶ steps ──▶ transfer ──▶ registry ──▶ HTTP
//!                     │           │            ▲
//!                     │           └── image ───┘ credentials
//!                     └──▶ report ──▶ stdout, result files, CI
//! ```

// What is public is what binaries, examples and tests use; for the rest, the compiler finds what nobody uses.
#![cfg_attr(not(any(test, fuzzing)), warn(unreachable_pub))]
// Whatever dependency users get is used. Those of the tests belong to many targets: scripts/unused-dependencies.sh.
#![cfg_attr(not(any(test, fuzzing)), warn(unused_crate_dependencies))]

pub mod app;
mod atomic_file;
pub mod cli;
mod credentials;
pub mod error;
mod exit_status;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod image;
pub mod layer;
mod lock;
mod mask;
mod registry;
pub mod report;
pub mod serve;
mod signals;
mod steps;
mod text;
mod time;
mod transfer;
mod workspace;

pub use error::{Error, ErrorKind, ExitStatus, Result};
