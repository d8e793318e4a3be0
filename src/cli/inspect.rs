//! Command-line arguments of `inspect`.

use clap::Args;

use super::common::{CommonArgs, ResultArgs, WriteArgs};
use super::references::reference;
use super::step::{StepArgs, StepOutput, StepSpec};
use crate::error::Result;
use crate::image::reference::Reference;
use crate::report::subject::StepVerb;
use crate::report::values::Inputs;
use crate::steps::context::Context;
use crate::steps::inspect;

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

impl StepArgs for InspectArgs {
    const SPEC: StepSpec = StepSpec {
        verb: StepVerb { name: "inspect", done: "inspect", same: "inspect" },
        inputs: Inputs::NONE,
        needs: &[],
    };

    type Request = (Reference, bool);

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn results(&self) -> Option<&ResultArgs> {
        None
    }

    fn writes(&self) -> Option<&WriteArgs> {
        None
    }

    fn source(&self) -> Option<&str> {
        Some(&self.image)
    }

    fn request(&self) -> Result<Self::Request> {
        Ok((reference("IMAGE", &self.image)?, self.no_trunc))
    }

    async fn run(context: &Context, request: &Self::Request) -> Result<StepOutput> {
        let (image, is_whole) = request;
        let inspection = inspect::run(context, image).await?;
        Ok(StepOutput::Inspection(Box::new(inspection), *is_whole))
    }
}
