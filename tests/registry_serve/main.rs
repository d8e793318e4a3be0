//! `imgstep registry serve`, through the binary: what the conformance suite doesn't cover.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod client;
mod content;
mod folder;
mod hostile;
mod process;
mod uploads;
