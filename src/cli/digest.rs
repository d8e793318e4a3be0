//! Command-line arguments of `digest`.

use clap::Args;

use super::args::parse_list;
use super::common::{CommonArgs, ResultArgs, WriteArgs};
use super::promote::comma_separated;
use super::references::reference;
use super::step::{StepArgs, StepOutput, StepSpec};
use crate::error::{Error, Result};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::report::subject::StepVerb;
use crate::report::values::Inputs;
use crate::steps::context::Context;
use crate::steps::digest;

/// Arguments of `digest`.
#[derive(Debug, Clone, Args)]
#[command(before_long_help = EXAMPLES)]
pub struct DigestArgs {
    /// Image: `registry/repository[:tag]` or `oci:DIR[:tag]`
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Print the digest of this platform's image (`os/architecture[/variant]`)
    ///
    /// Without it, the digest of an index is the index's own.
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Results.
    #[command(flatten)]
    pub results: ResultArgs,
}

const EXAMPLES: &str = "\
Examples:
  imgstep digest alpine:3.20
  imgstep digest alpine:3.20 --platform linux/arm64
  imgstep digest ghcr.io/org/app:v1 --result ref=ref.txt";

impl StepArgs for DigestArgs {
    const SPEC: StepSpec = StepSpec {
        verb: StepVerb { name: "digest", done: "digest", same: "digest" },
        inputs: Inputs::SOURCE,
        needs: &[],
    };

    type Request = (Reference, Option<Platform>);

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn results(&self) -> Option<&ResultArgs> {
        Some(&self.results)
    }

    fn writes(&self) -> Option<&WriteArgs> {
        None
    }

    fn source(&self) -> Option<&str> {
        Some(&self.image)
    }

    fn request(&self) -> Result<Self::Request> {
        Self::request(self)
    }

    async fn run(context: &Context, request: &Self::Request) -> Result<StepOutput> {
        let (image, platform) = request;
        let outcome = digest::run(context, image, platform.as_ref()).await?;
        Ok(StepOutput::Query(Box::new(outcome)))
    }
}

impl DigestArgs {
    /// The image, and the platform if one is given.
    ///
    /// # Errors
    /// An invalid reference or platform; several platforms (`ErrorKind::Usage`).
    pub fn request(&self) -> Result<(Reference, Option<Platform>)> {
        let image = reference("IMAGE", &self.image)?;
        let given: Vec<String> = self.platform.iter().cloned().collect();
        let mut platforms: Vec<Platform> = parse_list("--platform", &comma_separated(&given))?;
        if platforms.len() > 1 {
            return Err(Error::usage("--platform: only one is possible, since the step has one digest as its result"));
        }
        Ok((image, platforms.pop()))
    }
}
