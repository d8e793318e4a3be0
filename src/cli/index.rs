//! Command-line arguments of `index`.

use std::collections::BTreeMap;

use clap::Args;

use super::args::{annotation, list};
use super::common::{CommonArgs, FormatArg, ResultArgs, WriteArgs};
use super::promote::comma_separated;
use super::references::references;
use super::step::{StepArgs, StepOutput, StepSpec};
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::report::results::ResultFile;
use crate::report::subject::StepVerb;
use crate::report::values::Inputs;
use crate::steps::context::Context;
use crate::steps::index::{self, NamedInput, Removal, Request};
use crate::text::printable;

/// Arguments of `index`.
#[derive(Debug, Clone, Args)]
#[command(before_long_help = EXAMPLES)]
pub struct IndexArgs {
    /// Images to join: `registry/repository[:tag][@digest]` or `oci:DIR[:tag]`
    ///
    /// In any order, from any registries. An index contributes all of its images, with their attestations.
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Destinations, tags and guards.
    #[command(flatten)]
    pub writing: WriteArgs,
    /// Index to start from
    ///
    /// Its images, annotations and all other fields are kept unless another option changes them.
    #[arg(long, value_name = "INDEX")]
    pub from: Option<String>,
    /// Images to add to --from; the same as IMAGE
    #[arg(long, value_name = "IMAGE", num_args = 0..)]
    pub add: Vec<String>,
    /// Images that replace those in --from for the same platforms
    ///
    /// An image whose platform isn't in --from is added.
    #[arg(long, value_name = "IMAGE", num_args = 0..)]
    pub replace: Vec<String>,
    /// Platforms or digests to remove, with their attestations
    ///
    /// They are removed from --from if it is given, otherwise from the indexes among the images.
    #[arg(long, value_name = "PLATFORM|DIGEST", num_args = 0..)]
    pub remove: Vec<String>,
    /// Platform of an image whose config has none, or a wrong one
    ///
    /// REF is an IMAGE exactly as given, or a digest.
    #[arg(long, value_name = "REF=PLATFORM", num_args = 0.., hide_short_help = true)]
    pub platform_of: Vec<String>,
    /// Annotations of the index
    #[arg(long, value_name = "KEY=VALUE", num_args = 0..)]
    pub annotation: Vec<String>,
    /// Format of the index and its images [default: that of the images]
    ///
    /// Without this option, images that mix formats are refused. With it, images in the other format are converted, or
    /// refused with the reason why they can't be.
    #[arg(long, value_name = "FORMAT", hide_short_help = true)]
    pub format: Option<FormatArg>,
    /// Write a single image unchanged instead of an index with one image
    #[arg(long, value_name = "BOOL", hide_short_help = true)]
    pub allow_single: bool,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Results.
    #[command(flatten)]
    pub results: ResultArgs,
}

const EXAMPLES: &str = "\
Examples:
  Join the images that the jobs of a matrix built; their order doesn't matter:
    imgstep index ghcr.io/org/app:v1-amd64 ghcr.io/org/app:v1-arm64 \\
      --to ghcr.io/org/app:v1 --tags latest

  Join images from different registries and a folder, with an annotation:
    imgstep index build.example/app@sha256:… oci:build/arm64 \\
      -t ghcr.io/org/app:v1 \\
      --annotation org.opencontainers.image.version=1.0.0

  Replace the image of one platform and remove another platform:
    imgstep index --from ghcr.io/org/app:v1 \\
      --replace ghcr.io/org/app:v1-arm64-fixed --remove linux/386 \\
      -t ghcr.io/org/app:v1.0.1

  Set the platform of an image whose config has none:
    imgstep index reg.example/app:amd64 reg.example/app:riscv \\
      -t reg.example/app:v1 \\
      --platform-of reg.example/app:riscv=linux/riscv64";

impl StepArgs for IndexArgs {
    const SPEC: StepSpec = StepSpec {
        verb: StepVerb { name: "index", done: "assembled", same: "assembled" },
        inputs: Inputs::NONE,
        needs: &[&["images", "from"], &["to", "tags"]],
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
        self.from.as_deref()
    }

    /// With `--from`, it reads one image: that index.
    fn result_files(&self) -> Result<Vec<ResultFile>> {
        let is_from = self.from.as_deref().is_some_and(|from| !from.trim().is_empty());
        self.result_files_with(if is_from { Inputs::SOURCE } else { Inputs::NONE })
    }

    fn request(&self) -> Result<Self::Request> {
        let mut images: Vec<Reference> = references("IMAGE", &self.images)?;
        let add: Vec<Reference> = references("--add", &self.add)?;
        let replace: Vec<Reference> = references("--replace", &self.replace)?;
        let from: Vec<Reference> = references("--from", &self.from.iter().cloned().collect::<Vec<_>>())?;
        let from = from.into_iter().next();
        if from.is_none() && !(add.is_empty() && replace.is_empty()) {
            return Err(Error::usage("--add and --replace require --from"));
        }
        images.extend(add);
        if from.is_none() && images.is_empty() {
            return Err(Error::usage("no image").with_hint("write `imgstep index IMAGE... --to DESTINATION`"));
        }
        let (destinations, tags) = self.writing.required_destinations("`imgstep index IMAGE... --to DESTINATION`")?;
        let annotations: Vec<(String, String)> =
            list(&self.annotation).iter().map(|word| annotation(word)).collect::<Result<_, Error>>()?;
        Ok(Request {
            images,
            from,
            replace,
            remove: comma_separated(&list(&self.remove))
                .iter()
                .map(|word| removal(word))
                .collect::<Result<_, Error>>()?,
            platform_of: list(&self.platform_of).iter().map(|word| platform_of(word)).collect::<Result<_, Error>>()?,
            annotations: annotations.into_iter().collect::<BTreeMap<_, _>>(),
            format: self.format.map(Into::into),
            allow_single: self.allow_single,
            write: self.writing.request(destinations, tags),
        })
    }

    async fn run(context: &Context, request: &Self::Request) -> Result<StepOutput> {
        index::run(context, request).await.map(StepOutput::from)
    }
}

fn removal(word: &str) -> Result<Removal, Error> {
    let word = word.trim();
    if let Ok(digest) = word.parse::<Digest>() {
        return Ok(Removal::Digest(digest));
    }
    word.parse::<Platform>().map(Removal::Platform).map_err(|_| {
        let word = printable(word, 160);
        Error::usage(format!(
            "--remove: `{word}` is neither a platform (os/architecture[/variant]) nor a digest (sha256:…)"
        ))
    })
}

fn platform_of(word: &str) -> Result<(NamedInput, Platform), Error> {
    let fail = |reason: String| Error::usage(format!("--platform-of: {reason}"));
    // A folder's name may hold a `=`; a platform never does.
    let Some((name, platform)) = word.rsplit_once('=') else {
        return Err(fail(format!("`{}` has no `=`; write REF=os/architecture[/variant]", printable(word, 200))));
    };
    let platform = platform.trim().parse::<Platform>().map_err(|error| fail(error.to_string()))?;
    let named = match name.parse::<Digest>() {
        Ok(digest) => NamedInput::Digest(digest),
        Err(_) => NamedInput::Image(name.trim().parse::<Reference>().map_err(|error| fail(error.to_string()))?),
    };
    Ok((named, platform))
}
