//! The words of the small steps: `tag`, `digest`, `inspect`.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::common::{CommonArgs, IfExistsArg, ResultArgs};

/// The words of `tag`.
#[derive(Debug, Clone, Args)]
#[command(after_help = TAG_EXAMPLES, after_long_help = TAG_EXAMPLES)]
pub struct TagArgs {
    /// The image: `registry/repository[:tag][@digest]` or `oci:DIR[:tag]`.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The tags that shall name it too.
    #[arg(value_name = "TAG")]
    pub tags: Vec<String>,
    /// What to do if a tag names another image: `fail` writes nothing and exits with 3.
    #[arg(long, value_name = "WHAT", default_value = "overwrite")]
    pub if_exists: IfExistsArg,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Results.
    #[command(flatten)]
    pub results: ResultArgs,
}

const TAG_EXAMPLES: &str = "\
Examples:
  imgstep tag ghcr.io/org/app:v1.2.3 v1.2 v1 latest
  imgstep tag ghcr.io/org/app@sha256:… stable --if-exists fail";

/// The words of `digest`.
#[derive(Debug, Clone, Args)]
#[command(after_help = DIGEST_EXAMPLES, after_long_help = DIGEST_EXAMPLES)]
pub struct DigestArgs {
    /// The image: `registry/repository[:tag]` or `oci:DIR[:tag]`.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The digest of the image for this platform (os/architecture[/variant]), not of the index.
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Results.
    #[command(flatten)]
    pub results: ResultArgs,
}

const DIGEST_EXAMPLES: &str = "\
Examples:
  imgstep digest alpine:3.20
  imgstep digest alpine:3.20 --platform linux/arm64
  imgstep digest ghcr.io/org/app:v1 --result ref=ref.txt";

/// The words of `inspect`.
#[derive(Debug, Clone, Args)]
#[command(after_help = INSPECT_EXAMPLES, after_long_help = INSPECT_EXAMPLES)]
pub struct InspectArgs {
    /// The image: `registry/repository[:tag][@digest]` or `oci:DIR[:tag]`.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Show digests, types and annotations whole on a terminal too, as they are everywhere else.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = "Output")]
    pub no_trunc: bool,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
}

const INSPECT_EXAMPLES: &str = "\
Examples:
  imgstep inspect alpine:3.20
  imgstep inspect oci:build/image
  imgstep inspect ghcr.io/org/app:v1 --output json | jq .manifests";
