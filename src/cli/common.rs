//! Options that all steps share.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::args::list;
use crate::report::ci;

/// Options of every step that talks to registries.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Folders with a config.json, .dockerconfigjson, .dockercfg or auth.json to take logins from, before the usual
    /// places ($DOCKER_AUTH_CONFIG, $DOCKER_CONFIG, $REGISTRY_AUTH_FILE, ~/.docker, $XDG_RUNTIME_DIR/containers).
    #[arg(long, value_name = "DIR", num_args = 0.., help_heading = "Registries")]
    pub auth_dir: Vec<PathBuf>,
    /// Like --auth-dir, for what is read; two accounts on one registry can be told apart so.
    #[arg(long, value_name = "DIR", num_args = 0.., help_heading = "Registries")]
    pub source_auth_dir: Vec<PathBuf>,
    /// Folders of PEM files with certificate authorities to trust beside the system's.
    #[arg(long, value_name = "DIR", num_args = 0.., help_heading = "Registries")]
    pub ca_dir: Vec<PathBuf>,
    /// PEM files with certificate authorities to trust beside the system's.
    #[arg(long, value_name = "FILE", num_args = 0.., help_heading = "Registries")]
    pub ca_file: Vec<PathBuf>,
    /// Hosts (`host` or `host:port`) that may speak plain HTTP or show any certificate. Loopback hosts may speak plain
    /// HTTP anyway.
    #[arg(long, value_name = "HOST", num_args = 0.., help_heading = "Registries")]
    pub insecure_registry: Vec<String>,
    /// Requests under way at once on one host.
    #[arg(long, short, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Registries")]
    pub jobs: u16,
    /// How often a request that failed for a passing reason (no connection, 429, 5xx) is sent again.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=20), help_heading = "Registries")]
    pub retries: u32,
    /// The time that the step may take in all (`90s`, `10m`, `1h30m`): after that it ends with status 6, no tag moved
    /// half-way and its uploads cancelled. Without it, a registry that says nothing is given up after two minutes.
    #[arg(long, value_name = "DURATION", value_parser = super::duration::parse, help_heading = "Registries")]
    pub timeout: Option<super::duration::Limit>,
    /// The largest manifest that is read, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = crate::registry::client::MANIFEST_LIMIT, value_parser = clap::value_parser!(u64).range(1..=1 << 30), help_heading = "Registries")]
    pub max_manifest_size: u64,
    /// What stdout shows: a line per result, or one JSON document.
    #[arg(long, value_name = "FORM", default_value = "text", help_heading = "Output")]
    pub output: OutputArg,
    /// Say nothing but errors.
    #[arg(long, short, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = "Output")]
    pub quiet: bool,
    /// Say every request, without secrets.
    #[arg(long, short, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = "Output")]
    pub verbose: bool,
}

/// How the steps that write go about it.
#[derive(Debug, Clone, Args)]
pub struct WriteArgs {
    /// What to do if a destination's tag names another image: `fail` writes nothing and exits with 3.
    #[arg(long, value_name = "WHAT", default_value = "overwrite")]
    pub if_exists: IfExistsArg,
    /// Say what would be mounted, sent and skipped; write nothing.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new())]
    pub dry_run: bool,
    /// On GitHub, declare what was written as artifacts of the job ($GITHUB_ARTIFACTS), which `actions/attest` finds by
    /// itself. A job can declare one digest for each name: leave it to the step that writes the final image.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = "Output")]
    pub github_artifacts: bool,
}

/// What to do with a destination's tag that names another image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IfExistsArg {
    /// Let it name the result.
    Overwrite,
    /// Leave it alone.
    Skip,
    /// Write nothing at all.
    Fail,
}

impl From<IfExistsArg> for crate::steps::goals::IfExists {
    fn from(word: IfExistsArg) -> Self {
        match word {
            IfExistsArg::Overwrite => Self::Overwrite,
            IfExistsArg::Skip => Self::Skip,
            IfExistsArg::Fail => Self::Fail,
        }
    }
}

/// Where results go, for the steps that have some.
#[derive(Debug, Clone, Args)]
pub struct ResultArgs {
    /// Write one result, exact bytes and no newline, to a file once everything is done: KEY is digest, url, ref, images,
    /// tags, source (append: base), json or dotenv. An empty FILE is ignored.
    #[arg(long, value_name = "KEY=FILE", num_args = 0.., help_heading = "Output")]
    pub result: Vec<String>,
    /// Write the outputs of this CI system: github to $GITHUB_OUTPUT, gitlab to the dotenv file
    /// $CI_PROJECT_DIR/imgstep.env, azure as output variables, buildkite as meta-data of the build, circleci to $BASH_ENV.
    /// auto writes GitHub's where their file is set, and otherwise only marks errors as the log wants them.
    #[arg(long, value_name = "SYSTEM", default_value = "auto", help_heading = "Output")]
    pub ci: CiArg,
}

/// The CI system that outputs are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CiArg {
    /// What the environment tells.
    Auto,
    /// GitHub Actions, and Gitea's and Forgejo's.
    Github,
    /// GitLab CI/CD.
    Gitlab,
    /// Azure Pipelines.
    Azure,
    /// Buildkite.
    Buildkite,
    /// CircleCI.
    #[value(name = "circleci")]
    CircleCi,
    /// No CI system, not even GitHub.
    None,
}

impl From<CiArg> for ci::Choice {
    fn from(word: CiArg) -> Self {
        match word {
            CiArg::Auto => Self::Auto,
            CiArg::Github => Self::System(ci::System::GitHub),
            CiArg::Gitlab => Self::System(ci::System::GitLab),
            CiArg::Azure => Self::System(ci::System::Azure),
            CiArg::Buildkite => Self::System(ci::System::Buildkite),
            CiArg::CircleCi => Self::System(ci::System::CircleCi),
            CiArg::None => Self::None,
        }
    }
}

/// What stdout shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputArg {
    /// A line per result.
    Text,
    /// One JSON document.
    Json,
}

/// A list of folders or files, without empty ones.
pub fn paths(values: &[PathBuf]) -> Vec<PathBuf> {
    values.iter().filter(|path| !path.as_os_str().is_empty()).cloned().collect()
}

impl CommonArgs {
    /// The hosts of `--insecure-registry`.
    pub fn insecure_registries(&self) -> Vec<String> {
        list(&self.insecure_registry)
    }
}
