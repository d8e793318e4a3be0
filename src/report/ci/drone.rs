//! Drone: no outputs that a program could write, and a plain log.

use super::system::{CiSystem, Outputs, SourceVariables};
use crate::report::level::LogStyle;

/// Drone.
pub(super) const SYSTEM: CiSystem = CiSystem {
    name: "drone",
    help: "Drone",
    detect: &[],
    debug: None,
    source_variables: Some(SourceVariables {
        address: &["DRONE_REPO_LINK"],
        commit: "DRONE_COMMIT_SHA",
        tag: "DRONE_TAG",
        tag_if: None,
        needs_commit: true,
    }),
    log: LogStyle::PLAIN,
    outputs: Outputs::None,
};
