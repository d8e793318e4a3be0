//! Command-line arguments of `bundle`.

use std::path::PathBuf;

use clap::Args;

use super::args::{annotation, list};
use super::ci_annotations;
use super::common::{CommonArgs, ResultArgs, WriteArgs};
use super::step::{StepArgs, StepOutput, StepSpec};
use crate::error::{Error, Result};
use crate::report::subject::StepVerb;
use crate::report::values::Inputs;
use crate::steps::bundle::{self, Request};
use crate::steps::context::Context;

/// Arguments of `bundle`.
#[derive(Debug, Clone, Args)]
#[command(before_long_help = EXAMPLES)]
pub struct BundleArgs {
    /// Files with Tekton resources (Task, StepAction, Pipeline …)
    ///
    /// In any order: YAML or JSON files with one or more documents, folders (their .yaml and .yml files, without
    /// subfolders), or `-` for standard input.
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
    /// Destinations, tags and guards.
    #[command(flatten)]
    pub writing: WriteArgs,
    /// Annotations of the bundle
    #[arg(long, value_name = "KEY=VALUE", num_args = 0..)]
    pub annotation: Vec<String>,
    /// Annotate with source, revision and version from the CI system's environment
    ///
    /// --annotation takes precedence.
    #[arg(long, value_name = "BOOL", hide_short_help = true)]
    pub annotate_from_ci: bool,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Results.
    #[command(flatten)]
    pub results: ResultArgs,
}

const EXAMPLES: &str = "\
Examples:
  Bundle two Tasks and the Pipeline that uses them:
    imgstep bundle build.yaml test.yaml pipeline.yaml \\
      --to ghcr.io/org/pipelines:v1

  Bundle every resource in some folders, with a second tag and an annotation:
    imgstep bundle tasks/build tasks/test \\
      -t ghcr.io/org/tasks:v1.2.0 --tags v1 \\
      --annotation org.opencontainers.image.source=https://github.com/org/tasks

  Bundle the output of another program, into a folder:
    kustomize build tasks | imgstep bundle - -t oci:build/tasks:v1

  Refer to it from a TaskRun with Tekton's bundle resolver:
    taskRef: {resolver: bundles, params: [
      {name: bundle, value: ghcr.io/org/tasks@sha256:…},
      {name: kind, value: task}, {name: name, value: build}]}";

impl StepArgs for BundleArgs {
    const SPEC: StepSpec = StepSpec {
        verb: StepVerb { name: "bundle", done: "bundled", same: "bundled" },
        inputs: Inputs::NONE,
        needs: &[&["files"], &["to", "tags"]],
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
        None
    }

    fn request(&self) -> Result<Self::Request> {
        let files: Vec<PathBuf> = list(&self.files).into_iter().map(PathBuf::from).collect();
        if files.is_empty() {
            return Err(Error::usage("no file").with_hint("write `imgstep bundle FILE... --to DESTINATION`"));
        }
        let (destinations, tags) = self.writing.required_destinations("`imgstep bundle FILE... --to DESTINATION`")?;
        let variable = |name: &str| std::env::var(name).ok().filter(|_| self.annotate_from_ci);
        let told = ci_annotations::from_environment(&variable);
        let given = list(&self.annotation);
        let given = given.iter().map(|word| annotation(word)).collect::<Result<Vec<_>, Error>>()?;
        Ok(Request {
            files,
            // What the user says lies above.
            annotations: told.into_iter().chain(given).collect(),
            write: self.writing.request(destinations, tags),
        })
    }

    async fn run(context: &Context, request: &Self::Request) -> Result<StepOutput> {
        bundle::run(context, request).await.map(StepOutput::from)
    }
}
