//! What a step says: stdout, result files, each CI's outputs, and progress on the way.

pub mod outcome;
