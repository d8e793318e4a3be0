//! Jenkins: no outputs that a program could write, and a plain log.

use super::system::{CiSystem, Outputs, SourceVariables};
use crate::report::level::LogStyle;

/// Jenkins.
pub(super) const SYSTEM: CiSystem = CiSystem {
    name: "jenkins",
    help: "Jenkins",
    detect: &[],
    debug: None,
    source_variables: Some(SourceVariables {
        address: &["GIT_URL"],
        commit: "GIT_COMMIT",
        tag: "TAG_NAME",
        tag_if: None,
        needs_commit: true,
    }),
    log: LogStyle::PLAIN,
    outputs: Outputs::None,
};
