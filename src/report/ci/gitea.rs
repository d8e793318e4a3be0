//! Gitea's and Forgejo's Actions: GitHub's files and groups, and a log that shows GitHub's annotations as they are written.

use super::github;
use super::system::{CiSystem, Outputs};
use crate::report::level::{self, LogStyle};

/// Gitea Actions and Forgejo Actions.
pub(super) const SYSTEM: CiSystem = CiSystem {
    name: "gitea",
    help: "Gitea Actions and Forgejo Actions",
    detect: &["GITEA_ACTIONS", "FORGEJO_ACTIONS"],
    debug: None,
    source_variables: github::SYSTEM.source_variables,
    log: LogStyle { mark: level::plain, one_text: false, group: Some(github::group) },
    outputs: Outputs::Of(&github::SYSTEM),
};
