//! The words of `append`.

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::args::{self, list, parse_list};
use super::changes::{ChangeArgs, since_1970};
use super::ci_annotations;
use super::common::{CommonArgs, ResultArgs, WriteArgs, paths};
use super::promote::comma_separated;
use super::references::reference;
use crate::credentials::{Environment, Sources};
use crate::error::{Error, Result};
use crate::image::format;
use crate::image::overrides::PlatformChanges;
use crate::layer::credential_paths::CredentialPaths;
use crate::layer::spec::destination;
use crate::report::results::{self, ResultFile, ResultKey};
use crate::steps::append::Request;
use crate::text::printable;

/// The words of `append`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub struct AppendArgs {
    /// The base: `registry/repository[:tag][@digest]`, `oci:DIR[:tag]`, or `scratch` for none. An index stays an index.
    #[arg(value_name = "BASE")]
    pub base: String,
    /// Where to write the result: `registry/repository[:tag]` or `oci:DIR[:tag]`.
    #[arg(long, short = 't', value_name = "DESTINATION", num_args = 0..)]
    pub to: Vec<String>,
    /// Further tags in the repository of each destination.
    #[arg(long, value_name = "TAG", num_args = 0..)]
    pub tags: Vec<String>,
    /// The layers, lowest first: `PATH[=DEST][,platform=os/arch[/variant]][,mode=0755|keep][,owner=UID:GID]`. PATH is a
    /// folder (its contents go to DEST, or /), a file (it goes to DEST, or / and its name), or, without DEST, a tar
    /// (.tar, .tar.gz, .tgz, .tar.zst, .tzst, or `-` for one from standard input). Without platform= a layer goes on every platform. A comma
    /// within PATH or DEST is written `\,`.
    /// A link in PATH must not lead out of the working directory, and elsewhere not out of the folder it lies in. Of a folder
    /// go in: contents, modes and links; not capabilities, ACLs and other extended attributes, nor, without mode=keep,
    /// set-uid bits: of these a warning tells, and a tar keeps them.
    #[arg(long, value_name = "LAYER", num_args = 0.., help_heading = "Layers")]
    pub layer: Vec<String>,
    /// Paths of the base that shall disappear.
    #[arg(long, value_name = "PATH", num_args = 0.., help_heading = "Layers")]
    pub delete: Vec<String>,
    /// Files of folders that stay out: patterns as in .gitignore. A folder's .imgstepignore holds more; where there is none,
    /// its .dockerignore does, as docker build reads it.
    #[arg(long, value_name = "PATTERN", num_args = 0.., help_heading = "Layers")]
    pub exclude: Vec<String>,
    /// How layers are compressed: gzip, gzip:1 (fast) to gzip:9 (small), zstd, zstd:1 to zstd:19, none. Tars that are
    /// compressed already stay as they are. From zstd:7 on, more than 64 MB of memory are needed: up to 40 for each core.
    #[arg(long, value_name = "HOW", default_value = "gzip", help_heading = "Layers")]
    pub compression: String,
    /// Let programs for another architecture than that of the image pass.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = "Layers")]
    pub allow_foreign_binaries: bool,
    /// Refuse an image whose program (the entrypoint's first word, or the cmd's) is neither in a layer given nor in the
    /// base, or can't be started: it is not executable, or what it is started by (a dynamic program's ld.so, a script's
    /// #!) is not there. All layers of the base are read to find out. On scratch that costs nothing and is done unless
    /// `=false` is said; so is, on any base, that a program in a layer given is executable.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true, value_parser = BoolishValueParser::new(), help_heading = "Layers")]
    pub check_entrypoint: Option<bool>,
    /// Only these platforms of the base: one yields that image, several an index of just these. Without it, the
    /// platforms that layers name, or else all. Of scratch: the platforms that are made.
    #[arg(long, value_name = "PLATFORM", num_args = 0..)]
    pub platform: Vec<String>,
    /// Config and annotations.
    #[command(flatten)]
    pub changes: ChangeArgs,
    /// Annotate with source, revision and version as the CI system's environment tells them; --annotation comes first.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", value_name = "BOOL", hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new())]
    pub annotate_from_ci: bool,
    /// The vocabulary of the result; the base's if not given, OCI's on scratch.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
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
  A static program for two platforms, on nothing:
    imgstep append scratch --to ghcr.io/org/app:v1 --entrypoint '[\"/app\"]' \\
      --layer out/app-amd64=/app,platform=linux/amd64 \\
      out/app-arm64=/app,platform=linux/arm64

  Dependencies below sources, on every platform of a base; only what changed
  is sent again:
    imgstep append node:24-slim --to ghcr.io/org/site:v1 \\
      --workdir /srv/site --cmd '[\"node\",\"server.js\"]' \\
      --layer node_modules=/srv/site/node_modules src=/srv/site

  Some of the config for one platform only:
    imgstep append alpine:3.20 --to ghcr.io/org/app:v1 \\
      --layer conf=/etc/app \\
      --env GOGC=100 '[linux/arm64]GOGC=50' --entrypoint '[\"/app\"]' \\
      --entrypoint '[linux/arm/v7][\"/app\",\"--small\"]'

  Without any registry, into a folder:
    imgstep append oci:base --to oci:build/image:v1 \\
      --layer dist=/usr/share/nginx/html

All files get owner 0:0, mode 0644 or 0755, and the time of SOURCE_DATE_EPOCH (or 1970), so that
the same input gives the same digest anywhere.";

/// A vocabulary of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// OCI's.
    Oci,
    /// Docker's.
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

impl AppendArgs {
    /// The request that these words, `SOURCE_DATE_EPOCH` and the CI system's variables mean.
    ///
    /// # Errors
    /// A word that makes no sense, no destination, or nothing to append (`ErrorKind::Usage`).
    pub fn request(&self) -> Result<Request> {
        let base = if self.is_on_scratch() { None } else { Some(reference("BASE", &self.base)?) };
        let (destinations, tags) = args::destinations(&self.to, &self.tags)?;
        if destinations.is_empty() {
            return Err(Error::usage("no destination: write --to DESTINATION"));
        }
        let layers = parse_list("--layer", &self.layer)?;
        let delete = list(&self.delete).iter().map(|path| deletion(path)).collect::<Result<Vec<_>>>()?;
        if layers.is_empty() && delete.is_empty() {
            return Err(Error::usage("nothing to append: write --layer PATH[=DEST], or --delete PATH"));
        }
        if base.is_none() && !delete.is_empty() {
            return Err(Error::usage("--delete: scratch holds nothing that could be deleted"));
        }
        let (mtime, epoch) = source_date_epoch()?;
        Ok(Request {
            base,
            destinations,
            tags,
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
            if_exists: self.writing.if_exists.into(),
            allow_foreign_binaries: self.allow_foreign_binaries,
            check_entrypoint: self.check_entrypoint,
            dry_run: self.writing.dry_run,
        })
    }

    /// Whether there is no base.
    pub fn is_on_scratch(&self) -> bool {
        self.base.trim() == "scratch"
    }

    /// The results that are wanted. Scratch is no image that could be told of: a Task that always asks for the base gets
    /// no file.
    ///
    /// # Errors
    /// A word that is no result of this step (`ErrorKind::Usage`).
    pub fn result_files(&self) -> Result<Vec<ResultFile>> {
        let mut files = results::parse(&list(&self.results.result), &RESULT_KEYS)?;
        files.retain(|file| file.key != ResultKey::Base || !self.is_on_scratch());
        Ok(files)
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

/// The results of `append`: it has a base, and reads no other source.
const RESULT_KEYS: [ResultKey; 8] = [
    ResultKey::Digest,
    ResultKey::Url,
    ResultKey::Ref,
    ResultKey::Images,
    ResultKey::Tags,
    ResultKey::Base,
    ResultKey::Json,
    ResultKey::Dotenv,
];

/// The time of `SOURCE_DATE_EPOCH` (reproducible-builds.org) in seconds and in RFC 3339; 1970 where it is not set.
fn source_date_epoch() -> Result<(u64, String)> {
    let text = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_default();
    let text = if text.trim().is_empty() { "0" } else { text.trim() };
    let seconds = text.parse::<u64>().ok().and_then(|seconds| Some((seconds, since_1970(seconds)?)));
    seconds.ok_or_else(|| {
        Error::usage(format!("SOURCE_DATE_EPOCH: `{}` is not a number of seconds since 1970", printable(text, 60)))
    })
}

fn deletion(text: &str) -> Result<String> {
    let wrong = |reason: String| Error::usage(format!("--delete: {reason}"));
    let path = destination(text).map_err(wrong)?.path;
    if path.is_empty() {
        return Err(wrong("the root can't be deleted; take scratch as the base".to_owned()));
    }
    Ok(path)
}
