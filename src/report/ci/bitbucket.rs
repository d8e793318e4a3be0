//! Bitbucket: no outputs that a program could write, and a plain log.

use super::system::{CiSystem, Outputs, SourceVariables};
use crate::report::level::LogStyle;

/// Bitbucket.
pub(super) const SYSTEM: CiSystem = CiSystem {
    name: "bitbucket",
    help: "Bitbucket",
    detect: &[],
    debug: None,
    source_variables: Some(SourceVariables {
        address: &["BITBUCKET_GIT_HTTP_ORIGIN"],
        commit: "BITBUCKET_COMMIT",
        tag: "BITBUCKET_TAG",
        tag_if: None,
        needs_commit: true,
    }),
    log: LogStyle::PLAIN,
    outputs: Outputs::None,
};
