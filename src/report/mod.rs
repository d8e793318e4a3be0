//! What a step says: stdout, result files, each CI's outputs, and progress on the way.

pub mod console;
mod display;
pub mod github;
pub mod human;
pub mod outcome;
pub mod progress;

pub use console::{Console, Verbosity};
pub use outcome::Outcome;
pub use progress::{Item, Progress};
