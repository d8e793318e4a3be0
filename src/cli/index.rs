//! The words of `index`.

use std::collections::BTreeMap;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::args::{annotation, destinations, list};
use super::common::{CommonArgs, ResultArgs, WriteArgs};
use super::promote::comma_separated;
use super::references::references;
use super::run::RESULT_KEYS;
use crate::error::Error;
use crate::image::digest::Digest;
use crate::image::format;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::report::results::ResultKey;
use crate::steps::index::{Named, Removal, Request};
use crate::text::printable;

/// The words of `index`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub struct IndexArgs {
    /// The images to put together, in any order: `registry/repository[:tag][@digest]` or `oci:DIR[:tag]`, from any
    /// registries. One that is an index contributes its children, attestations with them.
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Where to write the index: `registry/repository[:tag]` or `oci:DIR[:tag]`.
    #[arg(long, short = 't', value_name = "DESTINATION", num_args = 0..)]
    pub to: Vec<String>,
    /// Further tags in the repository of each destination; a full reference is a destination of its own.
    #[arg(long, value_name = "TAG", num_args = 0..)]
    pub tags: Vec<String>,
    /// Start from this index: its children, annotations and every other field stay, unless something here changes them.
    #[arg(long, value_name = "INDEX")]
    pub from: Option<String>,
    /// Images to add to --from; the same as naming them as IMAGE.
    #[arg(long, value_name = "IMAGE", num_args = 0..)]
    pub add: Vec<String>,
    /// Images that take the place of those in --from for the same platforms; where there is none, they are added.
    #[arg(long, value_name = "IMAGE", num_args = 0..)]
    pub replace: Vec<String>,
    /// Leave out the image for a platform or with a digest, and the attestations that speak of it: of --from where it is
    /// given, else of the indexes named.
    #[arg(long, value_name = "PLATFORM|DIGEST", num_args = 0..)]
    pub remove: Vec<String>,
    /// The platform of an image whose config says none, or a wrong one: REF is an IMAGE as it is written here, or a digest.
    #[arg(long, value_name = "REF=PLATFORM", num_args = 0..)]
    pub platform_of: Vec<String>,
    /// Annotations of the index.
    #[arg(long, value_name = "KEY=VALUE", num_args = 0..)]
    pub annotation: Vec<String>,
    /// The types to write. Without it, those of the images, which must not be mixed; with it, what is of the other types
    /// is converted, or the reason said why it can't be.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// If there is just one image, pass it on unchanged, instead of an index of one.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new())]
    pub allow_single: bool,
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
  Join what the jobs of a matrix built; their order makes no difference:
    imgstep index ghcr.io/org/app:v1-amd64 ghcr.io/org/app:v1-arm64 \\
      --to ghcr.io/org/app:v1 --tags latest

  From different registries and a folder, by digest, with an annotation:
    imgstep index build.example/app@sha256:… oci:build/arm64 \\
      -t ghcr.io/org/app:v1 \\
      --annotation org.opencontainers.image.version=1.0.0

  One platform was built again; another is no longer offered:
    imgstep index --from ghcr.io/org/app:v1 \\
      --replace ghcr.io/org/app:v1-arm64-fixed --remove linux/386 \\
      -t ghcr.io/org/app:v1.0.1

  An image whose config does not say what it runs on:
    imgstep index reg.example/app:amd64 reg.example/app:riscv \\
      -t reg.example/app:v1 \\
      --platform-of reg.example/app:riscv=linux/riscv64

Refused with exit status 3: two images for one platform, an image without a platform, and
OCI and Docker types mixed without --format.";

/// The types that an index is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Those of the Open Container Initiative.
    Oci,
    /// Docker's, schema 2.
    Docker,
}

impl From<Format> for format::Format {
    fn from(word: Format) -> Self {
        match word {
            Format::Oci => Self::Oci,
            Format::Docker => Self::Docker,
        }
    }
}

/// The results of a step that reads no one image, such as an index that is put together out of many.
pub(super) const KEYS: [ResultKey; 7] = [
    ResultKey::Digest,
    ResultKey::Url,
    ResultKey::Ref,
    ResultKey::Images,
    ResultKey::Tags,
    ResultKey::Json,
    ResultKey::Dotenv,
];

impl IndexArgs {
    /// The results that can be asked for.
    pub fn result_keys(&self) -> &'static [ResultKey] {
        if self.from.as_deref().is_some_and(|from| !from.trim().is_empty()) { &RESULT_KEYS } else { &KEYS }
    }

    /// The request that these words mean.
    ///
    /// # Errors
    /// A word that is no reference, tag, platform or digest; no image; no destination (`ErrorKind::Usage`).
    pub fn request(&self) -> Result<Request, Error> {
        let mut images: Vec<Reference> = references("IMAGE", &self.images)?;
        let add: Vec<Reference> = references("--add", &self.add)?;
        let replace: Vec<Reference> = references("--replace", &self.replace)?;
        let from: Vec<Reference> = references("--from", &self.from.iter().cloned().collect::<Vec<_>>())?;
        let from = from.into_iter().next();
        if from.is_none() && !(add.is_empty() && replace.is_empty()) {
            return Err(Error::usage("--add and --replace change the index that --from names; name one"));
        }
        images.extend(add);
        if from.is_none() && images.is_empty() {
            return Err(Error::usage("no image: write `imgstep index IMAGE... --to DESTINATION`"));
        }
        let (destinations, tags) = destinations(&self.to, &self.tags)?;
        if destinations.is_empty() {
            return Err(Error::usage("no destination: write `imgstep index IMAGE... --to DESTINATION`"));
        }
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
            destinations,
            tags,
            if_exists: self.writing.if_exists.into(),
            dry_run: self.writing.dry_run,
        })
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

fn platform_of(word: &str) -> Result<(Named, Platform), Error> {
    let fail = |reason: String| Error::usage(format!("--platform-of: {reason}"));
    // A folder's name may hold a `=`; a platform never does.
    let Some((name, platform)) = word.rsplit_once('=') else {
        return Err(fail(format!("`{}` has no `=`; write REF=os/architecture[/variant]", printable(word, 200))));
    };
    let platform = platform.trim().parse::<Platform>().map_err(|error| fail(error.to_string()))?;
    let named = match name.parse::<Digest>() {
        Ok(digest) => Named::Digest(digest),
        Err(_) => Named::Image(name.trim().parse::<Reference>().map_err(|error| fail(error.to_string()))?),
    };
    Ok((named, platform))
}
