//! Options that steps share.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::args::{self, list};
use crate::error::Error;
use crate::image::format;
use crate::image::manifest::MANIFEST_LIMIT;
use crate::image::reference::Reference;
use crate::report::ci;
use crate::report::stdout::OutputFormat;
use crate::steps::destinations::{IfExists, WriteRequest};

/// Options of every step that talks to registries.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Folders with registry logins, searched before the usual places
    ///
    /// A folder contains a config.json, .dockerconfigjson, .dockercfg or auth.json; the file itself works too. The
    /// usual places are $DOCKER_AUTH_CONFIG, $DOCKER_CONFIG, $REGISTRY_AUTH_FILE, ~/.docker and
    /// $XDG_RUNTIME_DIR/containers.
    #[arg(long, value_name = "DIR", num_args = 0.., help_heading = "Registry options")]
    pub auth_dir: Vec<PathBuf>,
    /// Like --auth-dir, but only for sources
    ///
    /// So you can use two accounts on one registry.
    #[arg(long, value_name = "DIR", num_args = 0.., help_heading = "Registry options", hide_short_help = true)]
    pub source_auth_dir: Vec<PathBuf>,
    /// Folders of PEM files with CA certificates to trust in addition to the system's
    #[arg(long, value_name = "DIR", num_args = 0.., help_heading = "Registry options", hide_short_help = true)]
    pub ca_dir: Vec<PathBuf>,
    /// PEM files with CA certificates to trust in addition to the system's
    #[arg(long, value_name = "FILE", num_args = 0.., help_heading = "Registry options", hide_short_help = true)]
    pub ca_file: Vec<PathBuf>,
    /// Hosts for which plain HTTP and unverified certificates are allowed
    ///
    /// Written as `host` or `host:port`. Loopback hosts may always use plain HTTP.
    #[arg(long, value_name = "HOST", num_args = 0.., help_heading = "Registry options")]
    pub insecure_registry: Vec<String>,
    /// Maximum number of concurrent requests per registry host
    #[arg(long, short, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Registry options", hide_short_help = true)]
    pub jobs: u16,
    /// Number of retries after a transient failure (no connection, 429, 5xx)
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=20), help_heading = "Registry options", hide_short_help = true)]
    pub retries: u32,
    /// Time limit for the whole step, such as `90s`, `10m` or `1h30m`
    ///
    /// When it is over, the step cancels its uploads and exits with status 6; every tag is either unchanged or
    /// complete. Without a limit, imgstep gives up on a registry after two minutes of silence.
    #[arg(long, value_name = "DURATION", value_parser = super::duration::parse, help_heading = "Registry options", hide_short_help = true)]
    pub timeout: Option<super::duration::Limit>,
    /// Maximum size of a manifest, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = MANIFEST_LIMIT as u64, value_parser = clap::value_parser!(u64).range(1..=1 << 30), help_heading = "Registry options", hide_short_help = true)]
    pub max_manifest_size: u64,
    /// Format of stdout
    #[arg(long, value_name = "FORMAT", default_value = "text", help_heading = "Output options")]
    pub output: OutputArg,
    /// Print errors only
    #[arg(long, short, value_name = "BOOL", help_heading = "Output options")]
    pub quiet: bool,
    /// Log every HTTP request, with secrets redacted
    #[arg(long, short, value_name = "BOOL", help_heading = "Output options")]
    pub verbose: bool,
}

/// Where a step writes, and under which conditions.
#[derive(Debug, Clone, Args)]
pub struct WriteArgs {
    /// Where to write the result: `registry/repository[:tag]` or `oci:DIR[:tag]`
    #[arg(long, short = 't', value_name = "DESTINATION", num_args = 0..)]
    pub to: Vec<String>,
    /// Further tags in the repository of each destination
    ///
    /// A full reference, such as `ghcr.io/org/app:v1`, is a destination of its own.
    #[arg(long, value_name = "TAG", num_args = 0..)]
    pub tags: Vec<String>,
    /// What to do if a tag already points to a different image
    #[arg(long, value_name = "ACTION", default_value = "overwrite")]
    pub if_exists: IfExistsArg,
    /// Print what would be mounted, sent and skipped, without writing anything
    #[arg(long, value_name = "BOOL")]
    pub dry_run: bool,
    /// Declare what was written as artifacts of the GitHub job, for attestations
    ///
    /// They are written to $GITHUB_ARTIFACTS, where `actions/attest` finds them. A job can declare only one digest for
    /// each name, so use this only in the step that writes the final image.
    #[arg(long, value_name = "BOOL", help_heading = "Output options", hide_short_help = true)]
    pub github_artifacts: bool,
}

impl WriteArgs {
    /// The destinations of `--to` and `--tags`, and the tags for the repository of each.
    ///
    /// # Errors
    /// A value that is no reference or tag (`ErrorKind::Usage`).
    pub fn destinations(&self) -> Result<(Vec<Reference>, Vec<String>), Error> {
        args::destinations(&self.to, &self.tags)
    }

    /// The same where there must be a destination; `example` shows how to name one.
    ///
    /// # Errors
    /// As [`WriteArgs::destinations`], and if there is none.
    pub fn required_destinations(&self, example: &str) -> Result<(Vec<Reference>, Vec<String>), Error> {
        let (destinations, tags) = self.destinations()?;
        if destinations.is_empty() {
            return Err(Error::usage(format!("no destination: write {example}")));
        }
        Ok((destinations, tags))
    }
}

/// What to do if a destination tag already points to a different image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IfExistsArg {
    /// Move the tag
    Overwrite,
    /// Keep the tag
    Skip,
    /// Write nothing and exit with status 3
    Fail,
}

impl WriteArgs {
    /// What is written to `destinations` under these conditions, with further `tags`.
    pub fn request(&self, destinations: Vec<Reference>, tags: Vec<String>) -> WriteRequest {
        WriteRequest { destinations, tags, if_exists: self.if_exists.into(), dry_run: self.dry_run }
    }
}

impl From<IfExistsArg> for IfExists {
    fn from(word: IfExistsArg) -> Self {
        match word {
            IfExistsArg::Overwrite => Self::Overwrite,
            IfExistsArg::Skip => Self::Skip,
            IfExistsArg::Fail => Self::Fail,
        }
    }
}

/// Where results go, for the steps that have any.
#[derive(Debug, Clone, Args)]
pub struct ResultArgs {
    /// Write a result to a file, for example `digest=digest.txt`
    ///
    /// KEY is digest, url, ref, images, tags, source (base for append), json or dotenv. Files are written when
    /// everything is done and contain the exact value, without a newline. An empty FILE is ignored.
    #[arg(long, value_name = "KEY=FILE", num_args = 0.., help_heading = "Output options")]
    pub result: Vec<String>,
    /// CI system to write outputs for
    #[arg(
        long,
        value_name = "SYSTEM",
        default_value = "auto",
        value_parser = ci_values(),
        help_heading = "Output options",
        hide_short_help = true
    )]
    pub ci: ci::Choice,
}

/// The values of `--ci`: every system that has outputs, from one table.
fn ci_values() -> impl TypedValueParser<Value = ci::Choice> {
    let value = |name: &'static str, help: &'static str| PossibleValue::new(name).help(help);
    let auto = "As github if $GITHUB_OUTPUT is set; otherwise only mark errors as the CI log expects";
    let systems = ci::choices().map(|system| value(system.name, system.help));
    let values = [value("auto", auto)].into_iter().chain(systems);
    let values = values.chain([value("none", "No outputs, not even GitHub's")]);
    PossibleValuesParser::new(values.collect::<Vec<_>>()).map(|name| ci::named(&name).unwrap_or_default())
}

/// The format of stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputArg {
    /// One line per result
    Text,
    /// One JSON document
    Json,
}

impl From<OutputArg> for OutputFormat {
    fn from(arg: OutputArg) -> Self {
        match arg {
            OutputArg::Text => Self::Text,
            OutputArg::Json => Self::Json,
        }
    }
}

/// The format of the manifests that a step writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// Formats of the Open Container Initiative
    Oci,
    /// Formats of Docker, manifest schema 2
    Docker,
}

impl From<FormatArg> for format::Format {
    fn from(word: FormatArg) -> Self {
        match word {
            FormatArg::Oci => Self::Oci,
            FormatArg::Docker => Self::Docker,
        }
    }
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
