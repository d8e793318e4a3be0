//! Command-line arguments of `tag`.

use clap::Args;

use super::args::list;
use super::common::{CommonArgs, IfExistsArg, ResultArgs, WriteArgs};
use super::promote::comma_separated;
use super::references::reference;
use super::step::{StepArgs, StepOutput, StepSpec};
use crate::error::{Error, Result};
use crate::image::reference::{Reference, is_tag};
use crate::report::subject::StepVerb;
use crate::report::values::Inputs;
use crate::steps::context::Context;
use crate::steps::destinations::IfExists;
use crate::steps::tag;
use crate::text::printable;

/// Arguments of `tag`.
#[derive(Debug, Clone, Args)]
#[command(before_long_help = EXAMPLES)]
pub struct TagArgs {
    /// Image to tag: `registry/repository[:tag][@digest]` or `oci:DIR[:tag]`
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Tags to add
    #[arg(value_name = "TAG")]
    pub tags: Vec<String>,
    /// What to do if a tag already points to a different image
    #[arg(long, value_name = "ACTION", default_value = "overwrite")]
    pub if_exists: IfExistsArg,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Results.
    #[command(flatten)]
    pub results: ResultArgs,
}

const EXAMPLES: &str = "\
Examples:
  imgstep tag ghcr.io/org/app:v1.2.3 v1.2 v1 latest
  imgstep tag ghcr.io/org/app@sha256:… stable --if-exists fail";

impl StepArgs for TagArgs {
    const SPEC: StepSpec = StepSpec {
        verb: StepVerb { name: "tag", done: "tagged", same: "tagged" },
        inputs: Inputs::SOURCE,
        needs: &[&["tags"]],
    };

    type Request = (Reference, Vec<String>, IfExists);

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

    fn destinations(&self) -> Vec<String> {
        list(&self.tags)
    }

    fn request(&self) -> Result<Self::Request> {
        let (image, tags) = Self::request(self)?;
        Ok((image, tags, self.if_exists.into()))
    }

    async fn run(context: &Context, request: &Self::Request) -> Result<StepOutput> {
        let (image, tags, if_exists) = request;
        tag::run(context, image, tags, *if_exists).await.map(StepOutput::from)
    }
}

impl TagArgs {
    /// The image, and the tags to add.
    ///
    /// # Errors
    /// An invalid reference or tag; no tag (`ErrorKind::Usage`).
    pub fn request(&self) -> Result<(Reference, Vec<String>)> {
        let image = reference("IMAGE", &self.image)?;
        let tags = list(&comma_separated(&list(&self.tags)));
        if tags.is_empty() {
            return Err(Error::usage("no tag").with_hint("write `imgstep tag IMAGE TAG...`"));
        }
        match tags.iter().find(|tag| !is_tag(tag)) {
            Some(bad) => Err(no_tag(&image, bad)),
            None => Ok((image, tags)),
        }
    }
}

/// The error for a value that isn't a tag. Other tools take a full reference here.
fn no_tag(image: &Reference, word: &str) -> Error {
    let shown = printable(word, 300);
    let hint = match word.parse::<Reference>().ok().filter(|_| word.contains(['/', ':'])) {
        Some(full) if full.name() == image.name() => {
            full.tag().map(|tag| format!("write `{tag}`, it is a tag in the image's own repository"))
        }
        Some(_) => Some(format!("for another repository, write `imgstep promote {image} {shown}`")),
        None => None,
    };
    let error = Error::usage(format!("`{shown}` is not a tag"));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
