//! What a step reports: stdout, result files, the outputs of a CI system, and progress on the way.
//!
//! ```text
//! transfer ──▶ Progress ──┐
//! steps ─────▶ Console ───┴▶ stderr
//! steps ─────▶ Outcome ───▶ Reporter ──▶ result files, a CI system's outputs and summary, stdout
//! ```
//!
//! Nothing else in the library prints. Stdout is for the step's result and nothing else; people read stderr.

pub(crate) mod ci;
pub(crate) mod console;
mod display;
pub(crate) mod failure;
mod files;
mod human;
pub(crate) mod inspection;
mod json;
pub(crate) mod level;
pub(crate) mod list;
pub(crate) mod list_reporter;
mod markdown;
pub(crate) mod outcome;
pub(crate) mod progress;
pub(crate) mod reporter;
pub(crate) mod results;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod schema_test;
mod screen;
pub(crate) mod stdout;
pub mod subject;
mod summary;
pub(crate) mod tekton;
#[cfg(test)]
mod terminal;
mod tree;
pub mod values;
