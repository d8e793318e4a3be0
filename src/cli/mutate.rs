//! Command-line arguments of `mutate`.

use clap::{Args, ValueEnum};

use super::args::parse_list;
use super::changes::ChangeArgs;
use super::common::{CommonArgs, ResultArgs, WriteArgs};
use super::promote::comma_separated;
use super::references::reference;
use super::step::{StepArgs, StepOutput, StepSpec};
use crate::error::Result;
use crate::report::subject::StepVerb;
use crate::report::values::Inputs;
use crate::steps::context::Context;
use crate::steps::mutate::{self, Request};

/// Arguments of `mutate`.
#[derive(Debug, Clone, Args)]
#[command(before_long_help = EXAMPLES)]
pub struct MutateArgs {
    /// Image to change: `registry/repository[:tag][@digest]` or `oci:DIR[:tag]`
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Destinations, tags and guards.
    #[command(flatten)]
    pub writing: WriteArgs,
    /// Change only these platforms of an index (`os/architecture[/variant]`)
    ///
    /// The other platforms are kept as they are.
    #[arg(long, value_name = "PLATFORM", num_args = 0..)]
    pub platform: Vec<String>,
    /// The changes.
    #[command(flatten)]
    pub changes: ChangeArgs,
    /// Where to write annotations
    ///
    /// An annotation for one platform is always written to the manifest of its image.
    #[arg(long, value_name = "WHERE", default_value = "both", help_heading = "Image options", hide_short_help = true)]
    pub annotate: AnnotateArg,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Results.
    #[command(flatten)]
    pub results: ResultArgs,
}

const EXAMPLES: &str = "\
Examples:
  Set a label and an annotation on every platform:
    imgstep mutate ghcr.io/org/app:v1 -t ghcr.io/org/app:v1 \\
      --label org.opencontainers.image.source=https://github.com/org/app \\
      --annotation org.opencontainers.image.version=1.0.0

  Change the program, its user and its environment:
    imgstep mutate alpine:3.20 -t registry.example/tools:v1 \\
      --entrypoint '[\"/bin/sh\",\"-c\"]' --user 65532:65532 \\
      --env PORT=8080 --unset-env DEBUG --expose 8080

  Set one value for all platforms and another one for some:
    imgstep mutate app:v1 -t reg.example/app:v2 \\
      --user 65532 --user '[windows/amd64]ContainerUser' \\
      --env A=1 '[linux/arm64,linux/arm/v7]A=2'

  Change one platform only, or annotate the index only:
    imgstep mutate app:v1 -t reg.example/app:v2 \\
      --platform linux/arm64 --env GOGC=50
    imgstep mutate app:v1 -t reg.example/app:v2 \\
      --annotate index --annotation com.example.team=a";

/// Where to write annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnnotateArg {
    /// On the index only
    Index,
    /// On the manifests of the changed images only
    Manifests,
    /// On the index and the manifests of the changed images
    Both,
}

impl StepArgs for MutateArgs {
    const SPEC: StepSpec = StepSpec {
        verb: StepVerb { name: "mutate", done: "changed", same: "unchanged:" },
        inputs: Inputs::SOURCE,
        needs: &[&["to", "tags"]],
    };

    type Request = Request;

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn results(&self) -> Option<&ResultArgs> {
        Some(&self.results)
    }

    fn writes(&self) -> Option<&WriteArgs> {
        Some(&self.writing)
    }

    fn source(&self) -> Option<&str> {
        Some(&self.image)
    }

    fn request(&self) -> Result<Self::Request> {
        let image = reference("IMAGE", &self.image)?;
        let (destinations, tags) = self.writing.required_destinations("`imgstep mutate IMAGE --to DESTINATION`")?;
        Ok(Request {
            image,
            platforms: parse_list("--platform", &comma_separated(&self.platform))?,
            changes: self.changes.changes()?,
            annotate: match self.annotate {
                AnnotateArg::Index => mutate::Annotate::Index,
                AnnotateArg::Manifests => mutate::Annotate::Manifests,
                AnnotateArg::Both => mutate::Annotate::Both,
            },
            write: self.writing.request(destinations, tags),
        })
    }

    async fn run(context: &Context, request: &Self::Request) -> Result<StepOutput> {
        mutate::run(context, request).await.map(StepOutput::from)
    }
}
