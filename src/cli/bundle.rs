//! The words of `bundle`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::args::{annotation, destinations, list};
use super::ci_annotations;
use super::common::{CommonArgs, ResultArgs, WriteArgs};
use crate::error::Error;
use crate::steps::bundle::Request;

/// The words of `bundle`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub struct BundleArgs {
    /// The resources (Task, StepAction, Pipeline …), in any order: files of YAML or JSON with one document or several,
    /// folders (the .yaml and .yml files in them, not those below), or `-` for standard input.
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
    /// Where to write the bundle: `registry/repository[:tag]` or `oci:DIR[:tag]`.
    #[arg(long, short = 't', value_name = "DESTINATION", num_args = 0..)]
    pub to: Vec<String>,
    /// Further tags in the repository of each destination; a full reference is a destination of its own.
    #[arg(long, value_name = "TAG", num_args = 0..)]
    pub tags: Vec<String>,
    /// Annotations of the bundle.
    #[arg(long, value_name = "KEY=VALUE", num_args = 0..)]
    pub annotation: Vec<String>,
    /// Annotate with source, revision and version as the CI system's environment tells them; --annotation comes first.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new())]
    pub annotate_from_ci: bool,
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
  Two tasks and the pipeline that uses them:
    imgstep bundle build.yaml test.yaml pipeline.yaml \\
      --to ghcr.io/org/pipelines:v1

  Every resource in some folders, under a moving tag too, with its origin:
    imgstep bundle tasks/build tasks/test \\
      -t ghcr.io/org/tasks:v1.2.0 --tags v1 \\
      --annotation org.opencontainers.image.source=https://github.com/org/tasks

  What another program writes, to a folder:
    kustomize build tasks | imgstep bundle - -t oci:build/tasks:v1

A TaskRun refers to it by Tekton's bundle resolver:
    taskRef: {resolver: bundles, params: [
      {name: bundle, value: ghcr.io/org/tasks@sha256:…},
      {name: kind, value: task}, {name: name, value: build}]}

The same files give the same digest, in any order, on any machine, at any time.
Refused with exit status 2, before anything is written: what is no YAML or no resource, two
resources of one kind and name, and more than 20, which is all that Tekton reads from a bundle.";

impl BundleArgs {
    /// The request that these words and, where they ask for it, the CI system's variables mean.
    ///
    /// # Errors
    /// A word that is no reference, tag or pair; no file; no destination (`ErrorKind::Usage`).
    pub fn request(&self) -> Result<Request, Error> {
        let files: Vec<PathBuf> = list(&self.files).into_iter().map(PathBuf::from).collect();
        if files.is_empty() {
            return Err(Error::usage("no file: write `imgstep bundle FILE... --to DESTINATION`"));
        }
        let (destinations, tags) = destinations(&self.to, &self.tags)?;
        if destinations.is_empty() {
            return Err(Error::usage("no destination: write `imgstep bundle FILE... --to DESTINATION`"));
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|_| self.annotate_from_ci);
        let told = ci_annotations::from_environment(&variable);
        let given = list(&self.annotation);
        let given = given.iter().map(|word| annotation(word)).collect::<Result<Vec<_>, Error>>()?;
        Ok(Request {
            files,
            // What the user says lies above.
            annotations: told.into_iter().chain(given).collect(),
            destinations,
            tags,
            if_exists: self.writing.if_exists.into(),
            dry_run: self.writing.dry_run,
        })
    }
}
