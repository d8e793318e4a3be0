//! What a step reports: stdout, result files, the outputs of a CI system, and progress on the way.
//!
//! ```text
//! transfer ──▶ Progress ──┐
//! steps ─────▶ Console ───┴▶ stderr
//! steps ─────▶ Outcome ───▶ Reporter ──▶ result files, a CI system's outputs and summary, stdout
//! ```
//!
//! Nothing else in the library prints. Stdout holds the step's answer and nothing else; people read stderr.

pub mod ci;
pub mod console;
mod display;
pub mod failure;
mod files;
mod human;
pub mod inspection;
mod json;
pub mod level;
pub mod list;
pub mod list_reporter;
mod markdown;
pub mod outcome;
pub mod progress;
pub mod reporter;
pub mod results;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod schema_test;
mod screen;
pub mod stdout;
pub mod subject;
mod summary;
pub mod tekton;
#[cfg(test)]
mod terminal;
mod tree;
pub mod values;
