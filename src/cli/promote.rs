//! Command-line arguments of `promote`.

use clap::Args;

use super::args::{list, parse_list};
use super::common::{CommonArgs, ResultArgs, WriteArgs};
use super::promote_list;
use super::references::{reference, references};
use super::step::{StepArgs, StepOutput, StepSpec};
use crate::error::{Error, Result};
use crate::image::reference::{DEFAULT_TAG, Reference};
use crate::report::results::{self, ResultFile};
use crate::report::stdout::OutputFormat;
use crate::report::subject::StepVerb;
use crate::report::values::{Inputs, ReportValue};
use crate::steps::context::Context;
use crate::steps::promote::{self, Request};
use crate::steps::promote_list::ListEntry;

/// Arguments of `promote`.
#[derive(Debug, Clone, Args)]
#[command(before_long_help = EXAMPLES, override_usage = USAGE)]
pub struct PromoteArgs {
    /// Image to copy: `registry/repository[:tag][@digest]` or `oci:DIR[:tag]`
    #[arg(value_name = "SOURCE")]
    pub source: Option<String>,
    /// Where to copy it: `registry/repository[:tag]` or `oci:DIR[:tag]`
    ///
    /// Without a tag it is written as `latest`, even if the source has another tag.
    #[arg(value_name = "DESTINATION")]
    pub destination: Vec<String>,
    /// Destinations, tags and guards.
    #[command(flatten)]
    pub writing: WriteArgs,
    /// Copy only these platforms (`os/architecture[/variant]`)
    ///
    /// One platform gives you that image, several give you a new index of only those.
    #[arg(long, value_name = "PLATFORM", num_args = 0..)]
    pub platform: Vec<String>,
    /// Promote many images: each line of FILE is `SOURCE DESTINATION...`
    ///
    /// `-` reads standard input. References are separated by spaces; blank lines and lines that start with `#` are
    /// ignored. All other options apply to every line.
    #[arg(long, value_name = "FILE")]
    pub list: Option<String>,
    /// Lines as in the file of --list, each as one argument
    #[arg(long, value_name = "LINE", num_args = 0.., hide_short_help = true)]
    pub line: Vec<String>,
    /// Exit with status 3 unless the source has this digest
    #[arg(long, value_name = "DIGEST")]
    pub expect_digest: Option<String>,
    /// If the source has a tag and a digest, check that the tag points to the digest
    #[arg(long, value_name = "BOOL", hide_short_help = true)]
    pub check_tag: bool,
    /// Check all content of tags that already exist, and send what is missing
    #[arg(long, value_name = "BOOL", hide_short_help = true)]
    pub repair: bool,
    /// Copy foreign (non-distributable) layers too
    #[arg(long, value_name = "BOOL", hide_short_help = true)]
    pub include_foreign: bool,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Results.
    #[command(flatten)]
    pub results: ResultArgs,
}

const USAGE: &str = "\
imgstep promote [OPTIONS] SOURCE DESTINATION...
       imgstep promote [OPTIONS] --list FILE";

const EXAMPLES: &str = "\
Examples:
  Release a tested image under three tags:
    imgstep promote ghcr.io/org/app@sha256:… ghcr.io/org/app:v1.2.3 \\
      --tags v1.2 v1

  Copy to two registries, reading the source once, and keep the digest:
    imgstep promote alpine:3.20 -t registry.example/base/alpine:3.20 \\
      -t mirror.example/alpine:3.20 --result digest=digest.txt

  Print what would be transferred:
    imgstep promote alpine:3.20 registry.example/base/alpine:3.20 --dry-run

  Push a folder (an OCI image layout):
    imgstep promote oci:build/image ghcr.io/org/app:v1

  Copy many images. A failing line doesn't stop the others, and stdout keeps
  the order of the list:
    imgstep promote --list images.txt
    sed 's,.*,staging.example/& prod.example/&,' names.txt |
      imgstep promote --list - --if-exists fail";

/// What `promote` is asked to do.
pub(crate) enum PromoteRequest {
    /// One image.
    One(Box<Request>),
    /// Many, each to its own destinations.
    List { lines: Vec<ListEntry>, dry_run: bool, format: OutputFormat },
}

impl StepArgs for PromoteArgs {
    const SPEC: StepSpec = StepSpec {
        verb: StepVerb { name: "promote", done: "promoted", same: "promoted" },
        inputs: Inputs::SOURCE,
        needs: &[&["source", "list"], &["to", "destination", "tags", "list"]],
    };

    type Request = PromoteRequest;

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
        self.source.as_deref()
    }

    fn destinations(&self) -> Vec<String> {
        [list(&self.destination), list(&self.writing.to)].concat()
    }

    fn result_files(&self) -> Result<Vec<ResultFile>, Error> {
        let files = self.result_files_with(Inputs::SOURCE)?;
        if self.list.is_none() && list(&self.line).is_empty() {
            return Ok(files);
        }
        let of_list = |value: &ReportValue| value.is_given(Inputs::SOURCE, true);
        // A Task always asks for all of its results: those of one image get no file.
        if self.list.is_none() && files.iter().all(|file| file.path.starts_with("/tekton")) {
            return Ok(files.into_iter().filter(|file| of_list(&file.value)).collect());
        }
        results::parse(&list(&self.results.result), of_list)
            .map_err(|error| error.with_hint("the other results are for one image, and can't be combined with --list"))
    }

    fn request(&self) -> Result<Self::Request> {
        match promote_list::lines(self)? {
            Some(lines) => {
                Ok(PromoteRequest::List { lines, dry_run: self.writing.dry_run, format: self.common.output.into() })
            }
            None => Self::request(self).map(|request| PromoteRequest::One(Box::new(request))),
        }
    }

    async fn run(context: &Context, request: &Self::Request) -> Result<StepOutput> {
        match request {
            PromoteRequest::One(request) => promote::run(context, request).await.map(StepOutput::from),
            PromoteRequest::List { lines, dry_run, format } => {
                let reporter = promote_list::promote(context, Self::SPEC.verb, lines, *dry_run, *format).await;
                Ok(StepOutput::List(Box::new(reporter)))
            }
        }
    }
}

impl PromoteArgs {
    /// The request that these words mean.
    ///
    /// # Errors
    /// A word that is no reference, tag, platform or digest; no destination (`ErrorKind::Usage`).
    pub fn request(&self) -> Result<Request, Error> {
        let Some(source) = &self.source else {
            return Err(
                Error::usage("no source").with_hint("write `imgstep promote SOURCE DESTINATION`, or --list FILE")
            );
        };
        let source = reference("SOURCE", source)?;
        let mut destinations: Vec<Reference> = references("DESTINATION", &self.destination)?;
        let (further, tags) = self.writing.destinations()?;
        destinations.extend(further);
        if destinations.is_empty() {
            let hint = "write `imgstep promote SOURCE DESTINATION`, or add --to DESTINATION";
            return Err(Error::usage("no destination").with_hint(hint));
        }
        let mut request = self.request_for(source, destinations, tags)?;
        request.remarks = self
            .destination
            .iter()
            .chain(&self.writing.to)
            .filter_map(|word| untagged(&request.source, word))
            .collect();
        Ok(request)
    }

    /// What the options ask for, of these references.
    pub(super) fn request_for(
        &self,
        source: Reference,
        destinations: Vec<Reference>,
        tags: Vec<String>,
    ) -> Result<Request, Error> {
        let expect_digest = self.expect_digest.iter().cloned().collect::<Vec<_>>();
        Ok(Request {
            source,
            write: self.writing.request(destinations, tags),
            platforms: parse_list("--platform", &comma_separated(&self.platform))?,
            expect_digest: parse_list("--expect-digest", &expect_digest)?.into_iter().next(),
            check_tag: self.check_tag,
            repair: self.repair,
            include_foreign: self.include_foreign,
            remarks: Vec::new(),
        })
    }
}

/// That a destination which was written without a tag is `latest`, where the source's tag is another: many expect that
/// one.
pub(super) fn untagged(source: &Reference, word: &str) -> Option<String> {
    let word = word.trim();
    let has_tag = word.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
    if word.is_empty() || word.starts_with("oci:") || has_tag {
        return None;
    }
    let tag = source.tag().filter(|tag| *tag != DEFAULT_TAG)?;
    let destination = word.parse::<Reference>().ok()?.name();
    Some(format!("{destination} has no tag, so `{DEFAULT_TAG}` is written; the source's tag is `{tag}`"))
}

/// Platforms are often written in one word, with commas.
pub fn comma_separated(values: &[String]) -> Vec<String> {
    values.iter().flat_map(|value| value.split(',')).map(str::to_owned).collect()
}
