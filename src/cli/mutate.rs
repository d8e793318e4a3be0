//! The words of `mutate`.

use clap::{Args, ValueEnum};

use super::args::{destinations, parse_list};
use super::changes::ChangeArgs;
use super::common::{CommonArgs, ResultArgs, WriteArgs};
use super::promote::comma_separated;
use super::references::reference;
use crate::error::Error;
use crate::steps::mutate::{self, Request};

/// The words of `mutate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub struct MutateArgs {
    /// The image or index to change: `registry/repository[:tag][@digest]` or `oci:DIR[:tag]`.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Where to write the result: `registry/repository[:tag]` or `oci:DIR[:tag]`.
    #[arg(long, short = 't', value_name = "DESTINATION", num_args = 0..)]
    pub to: Vec<String>,
    /// Further tags in the repository of each destination; a full reference is a destination of its own.
    #[arg(long, value_name = "TAG", num_args = 0..)]
    pub tags: Vec<String>,
    /// Change only these platforms (os/architecture[/variant]) of an index; the others stay as they are.
    #[arg(long, value_name = "PLATFORM", num_args = 0..)]
    pub platform: Vec<String>,
    /// The changes.
    #[command(flatten)]
    pub changes: ChangeArgs,
    /// Where annotations stand: on the index, on the manifests of the images that are changed, or on both. Those for one
    /// platform stand on its manifest anyway.
    #[arg(long, value_name = "WHERE", default_value = "both", help_heading = "Changes")]
    pub annotate: AnnotateArg,
    /// How to write.
    #[command(flatten)]
    pub writing: WriteArgs,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Results.
    #[command(flatten)]
    pub results: ResultArgs,
}

const EXAMPLES: &str = "\
Examples:
  Say where an image comes from, on every platform:
    imgstep mutate ghcr.io/org/app:v1 -t ghcr.io/org/app:v1 \\
      --label org.opencontainers.image.source=https://github.com/org/app \\
      --annotation org.opencontainers.image.version=1.0.0

  Another program, user and environment:
    imgstep mutate alpine:3.20 -t registry.example/tools:v1 \\
      --entrypoint '[\"/bin/sh\",\"-c\"]' --user 65532:65532 \\
      --env PORT=8080 --unset-env DEBUG --expose 8080

  One value for all platforms, another one for some:
    imgstep mutate app:v1 -t reg.example/app:v2 \\
      --user 65532 --user '[windows/amd64]ContainerUser' \\
      --env A=1 '[linux/arm64,linux/arm/v7]A=2'

  Only one platform; annotations on the index alone:
    imgstep mutate app:v1 -t reg.example/app:v2 \\
      --platform linux/arm64 --env GOGC=50
    imgstep mutate app:v1 -t reg.example/app:v2 \\
      --annotate index --annotation com.example.team=a

With nothing to change, the digest stays. An attestation of an image that changed is left out.";

/// Where annotations stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnnotateArg {
    /// On the index.
    Index,
    /// On the manifests of the images that are changed.
    Manifests,
    /// On both.
    Both,
}

impl MutateArgs {
    /// The request that these words mean.
    ///
    /// # Errors
    /// A word that is no reference, tag, platform, pair, port or time; no destination (`ErrorKind::Usage`).
    pub fn request(&self) -> Result<Request, Error> {
        let (destinations, tags) = destinations(&self.to, &self.tags)?;
        let image = reference("IMAGE", &self.image)?;
        if destinations.is_empty() {
            return Err(Error::usage("no destination: write `imgstep mutate IMAGE --to DESTINATION`"));
        }
        Ok(Request {
            image,
            platforms: parse_list("--platform", &comma_separated(&self.platform))?,
            changes: self.changes.changes()?,
            annotate: match self.annotate {
                AnnotateArg::Index => mutate::Annotate::Index,
                AnnotateArg::Manifests => mutate::Annotate::Manifests,
                AnnotateArg::Both => mutate::Annotate::Both,
            },
            destinations,
            tags,
            if_exists: self.writing.if_exists.into(),
            dry_run: self.writing.dry_run,
        })
    }
}
