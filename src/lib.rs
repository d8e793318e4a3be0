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

// Whatever dependency users get is used. Those of the tests belong to many targets: scripts/unused-dependencies.sh.
#![cfg_attr(not(any(test, fuzzing)), warn(unused_crate_dependencies))]

pub mod app;
mod atomic_file;
pub mod cli;
pub mod credentials;
pub mod error;
mod exit_status;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod image;
pub mod layer;
mod lock;
mod mask;
pub mod registry;
pub mod report;
pub mod serve;
mod signals;
pub mod steps;
mod text;
mod time;
pub mod transfer;
pub mod workspace;

pub use error::{Error, ErrorKind, ExitStatus, Result};
