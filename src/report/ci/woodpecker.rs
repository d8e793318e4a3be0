//! Woodpecker CI: no outputs that a program could write, and a plain log.

use super::system::{CiSystem, Outputs, SourceVariables};
use crate::report::level::LogStyle;

/// Woodpecker CI.
pub(super) const SYSTEM: CiSystem = CiSystem {
    name: "woodpecker",
    help: "Woodpecker CI",
    detect: &[],
    debug: None,
    source_variables: Some(SourceVariables {
        address: &["CI_REPO_URL"],
        commit: "CI_COMMIT_SHA",
        tag: "CI_COMMIT_TAG",
        tag_if: None,
        needs_commit: true,
    }),
    log: LogStyle::PLAIN,
    outputs: Outputs::None,
};
