//! Command-line arguments of `append`.

use clap::Args;

use super::args::{list, parse_list};
use super::changes::ChangeArgs;
use super::ci_annotations;
use super::common::{CommonArgs, FormatArg, ResultArgs, WriteArgs, paths};
use super::promote::comma_separated;
use super::references::reference;
use super::step::{StepArgs, StepOutput, StepSpec};
use crate::credentials::{Environment, Sources};
use crate::error::{Error, Result};
use crate::image::overrides::PlatformChanges;
use crate::layer::credential_paths::CredentialPaths;
use crate::layer::spec::destination;
use crate::report::results::ResultFile;
use crate::report::subject::StepVerb;
use crate::report::values::Inputs;
use crate::report::values::Of;
use crate::steps::append::{self, Request};
use crate::steps::context::Context;
use crate::text::printable;
use crate::time::rfc3339;

/// Arguments of `append`.
#[derive(Debug, Clone, Args)]
#[command(before_long_help = EXAMPLES)]
pub struct AppendArgs {
    /// Base image: `registry/repository[:tag][@digest]`, `oci:DIR[:tag]` or `scratch`
    ///
    /// The result of an index is an index.
    #[arg(value_name = "BASE")]
    pub base: String,
    /// Destinations, tags and guards.
    #[command(flatten)]
    pub writing: WriteArgs,
    /// Layers to add, lowest first: `PATH[=DEST]`
    ///
    /// PATH is a folder (its contents go to DEST, or `/`), a file (it becomes DEST, or `/` and its name) or, without
    /// DEST, a tar (.tar, .tar.gz, .tgz, .tar.zst, .tzst, or `-` for standard input).
    ///
    /// Options follow with commas: `PATH=DEST,platform=os/arch[/variant],mode=0755|keep,owner=UID:GID`. Without
    /// `platform`, a layer is added on every platform. A comma in PATH or DEST is written `\,`.
    ///
    /// A link in PATH must not lead out of the working directory or, for a folder elsewhere, out of that folder. Of a
    /// folder, contents, modes and links are added. Capabilities, ACLs, other extended attributes and, without
    /// `mode=keep`, set-uid bits are left out with a warning; a tar keeps them.
    #[arg(long, value_name = "LAYER", num_args = 0.., help_heading = "Layer options")]
    pub layer: Vec<String>,
    /// Paths to remove from the base
    #[arg(long, value_name = "PATH", num_args = 0.., help_heading = "Layer options")]
    pub delete: Vec<String>,
    /// Files to exclude from folders, as .gitignore patterns
    ///
    /// A folder's .imgstepignore is read too or, if there is none, its .dockerignore, with the rules of docker build.
    #[arg(long, value_name = "PATTERN", num_args = 0.., help_heading = "Layer options")]
    pub exclude: Vec<String>,
    /// Compression of layers: gzip, gzip:1 to gzip:9, zstd, zstd:1 to zstd:19, or none
    ///
    /// Low levels are fast, high levels small. Tars that are already compressed are kept as they are. `zstd:7` and
    /// higher need more than 64 MB of memory: up to 40 MB per core.
    #[arg(long, value_name = "TYPE[:LEVEL]", default_value = "gzip", help_heading = "Layer options")]
    pub compression: String,
    /// Accept binaries for another architecture than the image's
    #[arg(long, value_name = "BOOL", help_heading = "Layer options", hide_short_help = true)]
    pub allow_foreign_binaries: bool,
    /// Refuse an image whose program is missing or can't be started
    ///
    /// The program is the first word of the entrypoint, or of the cmd. It must be in a layer or in the base and
    /// executable, and so must what starts it: a binary's dynamic loader, a script's `#!` interpreter. All layers of
    /// the base are read to find out.
    ///
    /// Unless `false` is given, images on scratch are always checked, and a program in a new layer is always checked to
    /// be executable.
    #[arg(long, value_name = "BOOL", help_heading = "Layer options", hide_short_help = true)]
    pub check_entrypoint: Option<bool>,
    /// Platforms of the base to use (`os/architecture[/variant]`)
    ///
    /// One platform gives you that image, several give you an index of only those. The default is the platforms that
    /// layers name, otherwise all. On scratch, the platforms to create.
    #[arg(long, value_name = "PLATFORM", num_args = 0..)]
    pub platform: Vec<String>,
    /// Config and annotations.
    #[command(flatten)]
    pub changes: ChangeArgs,
    /// Annotate with source, revision and version from the CI system's environment
    ///
    /// --annotation takes precedence.
    #[arg(long, value_name = "BOOL", hide_short_help = true)]
    pub annotate_from_ci: bool,
    /// Manifest format of the result [default: the base's; oci on scratch]
    #[arg(long, value_name = "FORMAT", hide_short_help = true)]
    pub format: Option<FormatArg>,
    /// Options of all steps.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Results.
    #[command(flatten)]
    pub results: ResultArgs,
}

const EXAMPLES: &str = "\
Examples:
  Put a static binary for two platforms on an empty image:
    imgstep append scratch --to ghcr.io/org/app:v1 --entrypoint '[\"/app\"]' \\
      --layer out/app-amd64=/app,platform=linux/amd64 \\
      out/app-arm64=/app,platform=linux/arm64

  Add dependencies and sources to every platform of a base; only changed
  layers are sent again:
    imgstep append node:24-slim --to ghcr.io/org/site:v1 \\
      --workdir /srv/site --cmd '[\"node\",\"server.js\"]' \\
      --layer node_modules=/srv/site/node_modules src=/srv/site

  Set parts of the config for one platform only:
    imgstep append alpine:3.20 --to ghcr.io/org/app:v1 \\
      --layer conf=/etc/app \\
      --env GOGC=100 '[linux/arm64]GOGC=50' --entrypoint '[\"/app\"]' \\
      --entrypoint '[linux/arm/v7][\"/app\",\"--small\"]'

  Write to a folder (an OCI image layout), without a registry:
    imgstep append oci:base --to oci:build/image:v1 \\
      --layer dist=/usr/share/nginx/html";

impl StepArgs for AppendArgs {
    const SPEC: StepSpec = StepSpec {
        verb: StepVerb { name: "append", done: "built", same: "built" },
        inputs: Inputs::BASE,
        needs: &[&["layer", "delete"], &["to", "tags"]],
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
        Some(&self.base)
    }

    /// Scratch is no image that can be reported: a Task that always asks for the base gets no file.
    fn result_files(&self) -> Result<Vec<ResultFile>> {
        let mut files = self.result_files_with(Inputs::BASE)?;
        files.retain(|file| file.value.of != Of::Base || !self.is_on_scratch());
        Ok(files)
    }

    fn request(&self) -> Result<Self::Request> {
        let base = if self.is_on_scratch() { None } else { Some(reference("BASE", &self.base)?) };
        let (destinations, tags) = self.writing.required_destinations("--to DESTINATION")?;
        let layers = parse_list("--layer", &self.layer)?;
        let delete = list(&self.delete).iter().map(|path| deletion(path)).collect::<Result<Vec<_>>>()?;
        if layers.is_empty() && delete.is_empty() {
            return Err(Error::usage("nothing to append").with_hint("add --layer PATH[=DEST], or --delete PATH"));
        }
        if base.is_none() && !delete.is_empty() {
            return Err(Error::usage("--delete: scratch has nothing to delete"));
        }
        let (mtime, epoch) = source_date_epoch()?;
        Ok(Request {
            base,
            write: self.writing.request(destinations, tags),
            platforms: parse_list("--platform", &comma_separated(&self.platform))?,
            layers,
            delete,
            exclude: list(&self.exclude),
            logins: self.logins(),
            compression: self.compression.parse().map_err(|error| Error::usage(format!("--compression: {error}")))?,
            mtime,
            created: epoch,
            changes: self.changes()?,
            format: self.format.map(Into::into),
            allow_foreign_binaries: self.allow_foreign_binaries,
            check_entrypoint: self.check_entrypoint,
        })
    }

    async fn run(context: &Context, request: &Self::Request) -> Result<StepOutput> {
        append::run(context, request).await.map(StepOutput::from)
    }
}

impl AppendArgs {
    /// Whether there is no base.
    pub fn is_on_scratch(&self) -> bool {
        self.base.trim() == "scratch"
    }

    fn logins(&self) -> CredentialPaths {
        let auth_dirs = [paths(&self.common.auth_dir), paths(&self.common.source_auth_dir)].concat();
        let sources = Sources { auth_dirs, environment: Environment::from_process() };
        CredentialPaths { folders: sources.folders(), files: sources.files() }
    }

    fn changes(&self) -> Result<PlatformChanges> {
        let mut changes = self.changes.changes()?;
        if self.annotate_from_ci {
            let told = ci_annotations::from_environment(&|name| std::env::var(name).ok());
            let told = told.into_iter().map(|(name, value)| (name, Some(value)));
            // What the user says lies above.
            changes.all.annotations = told.chain(changes.all.annotations).collect();
        }
        Ok(changes)
    }
}

/// The time of `SOURCE_DATE_EPOCH` (reproducible-builds.org) in seconds and in RFC 3339; 1970 where it is not set.
fn source_date_epoch() -> Result<(u64, String)> {
    let text = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_default();
    let text = if text.trim().is_empty() { "0" } else { text.trim() };
    let seconds = text.parse::<u64>().ok().and_then(|seconds| Some((seconds, rfc3339(seconds)?)));
    seconds.ok_or_else(|| {
        Error::usage(format!("SOURCE_DATE_EPOCH: `{}` is not a number of seconds since 1970", printable(text, 60)))
    })
}

fn deletion(text: &str) -> Result<String> {
    let wrong = |reason: String| Error::usage(format!("--delete: {reason}"));
    let path = destination(text).map_err(wrong)?.path;
    if path.is_empty() {
        return Err(wrong("the root can't be deleted".to_owned()).with_hint("use `scratch` as the base"));
    }
    Ok(path)
}
