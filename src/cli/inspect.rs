//! Command-line arguments of `inspect`.

use clap::Args;

use super::common::CommonArgs;

/// Arguments of `inspect`.
#[derive(Debug, Clone, Args)]
#[command(before_long_help = EXAMPLES)]
pub struct InspectArgs {
    /// Image: `registry/repository[:tag][@digest]` or `oci:DIR[:tag]`
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Don't shorten digests, media types and annotations on a terminal
    #[arg(long, value_name = "BOOL", help_heading = "Output options")]
    pub no_trunc: bool,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
}

const EXAMPLES: &str = "\
Examples:
  imgstep inspect alpine:3.20
  imgstep inspect oci:build/image
  imgstep inspect ghcr.io/org/app:v1 --output json | jq .manifests";
