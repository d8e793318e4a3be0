//! The command line: arguments and environment become a plain request. It knows nothing of HTTP.

pub mod append;
pub mod args;
pub mod bundle;
pub mod changes;
pub mod ci_annotations;
pub mod common;
pub mod completion;
pub mod digest;
pub mod duration;
pub(crate) mod failure;
pub mod github_action;
pub mod help;
pub mod index;
pub mod inspect;
pub mod man;
pub mod mutate;
pub mod operands;
pub mod parse;
pub mod platform_value;
pub mod promote;
pub mod promote_list;
pub mod references;
pub mod registry;
pub mod step;
pub mod strict;
pub mod suggestions;
pub mod tag;

use clap::{Parser, Subcommand};

use self::step::{StepArgs, StepOptions, StepOutput, StepSpec};
use crate::error::{Error, Result};
use crate::report::results::ResultFile;
use crate::steps::context::Context;

/// Container image steps for CI as pure registry operations: no daemon, no root, no disk
///
/// Each step prints `registry/repository@sha256:…` on stdout and everything else on stderr.
///
/// Every option can be set in the environment: --if-exists as IMGSTEP_IF_EXISTS, lists with one value per line. The
/// command line takes precedence. Options with an empty value are ignored.
#[derive(Debug, Parser)]
#[command(name = "imgstep", version, max_term_width = 100, mut_subcommands(help::finish))]
#[command(help_template = help::TEMPLATE, before_long_help = EXAMPLES, after_help = help::EXIT_STATUS)]
pub struct Cli {
    /// The step.
    #[command(subcommand)]
    pub step: Step,
}

const EXAMPLES: &str = "\
Examples:
  imgstep promote ghcr.io/org/app@sha256:… ghcr.io/org/app:v1.2.3 --tags v1
  imgstep append alpine:3.20 --layer dist=/srv --to ghcr.io/org/site:v1
  imgstep index ghcr.io/org/app:v1-amd64 ghcr.io/org/app:v1-arm64 \\
    --to ghcr.io/org/app:v1
  imgstep inspect ghcr.io/org/app:v1";

/// Registers the steps: each is one line here, and implements `StepArgs`.
macro_rules! steps {
    ($($(#[$attribute:meta])* $name:ident($args:ty),)+) => {
        /// The steps, and the commands that aren't steps.
        #[derive(Debug, Subcommand)]
        pub enum Step {
            $($(#[$attribute])* $name($args),)+
            /// Run a local registry for experiments and tests
            #[command(subcommand)]
            Registry(registry::RegistryCommand),
            /// Print a completion script for a shell
            Completion(completion::CompletionArgs),
            /// Print the manual page of imgstep or of a step
            Man(man::ManArgs),
        }

        /// The request of a step, once its arguments are checked.
        pub(crate) enum StepRequest {
            $($name(<$args as StepArgs>::Request),)+
        }

        impl Step {
            /// Every step.
            pub const SPECS: &[StepSpec] = &[$(<$args as StepArgs>::SPEC),+];

            /// The options of a step; none for a command that isn't one.
            pub(crate) fn options(&self) -> Option<StepOptions<'_>> {
                match self {
                    $(Self::$name(args) => Some(StepOptions::of(args)),)+
                    Self::Registry(_) | Self::Completion(_) | Self::Man(_) => None,
                }
            }

            /// The files of `--result`.
            pub(crate) fn result_files(&self) -> Result<Vec<ResultFile>> {
                match self {
                    $(Self::$name(args) => StepArgs::result_files(args),)+
                    Self::Registry(_) | Self::Completion(_) | Self::Man(_) => Ok(Vec::new()),
                }
            }

            /// Checks the arguments, and runs nothing.
            ///
            /// # Errors
            /// An invalid argument, or one that is missing (`ErrorKind::Usage`).
            pub fn check(&self) -> Result<()> {
                self.options().map_or(Ok(()), |_| self.request().map(drop))
            }

            /// The request that the arguments mean.
            pub(crate) fn request(&self) -> Result<StepRequest> {
                match self {
                    $(Self::$name(args) => StepArgs::request(args).map(StepRequest::$name),)+
                    Self::Registry(_) | Self::Completion(_) | Self::Man(_) => {
                        Err(Error::bug("this command doesn't talk to registries"))
                    }
                }
            }
        }

        impl StepRequest {
            /// Runs the step.
            pub(crate) async fn run(&self, context: &Context) -> Result<StepOutput> {
                match self {
                    $(Self::$name(request) => <$args as StepArgs>::run(context, request).await,)+
                }
            }
        }
    };
}

steps! {
    /// Copy an image byte for byte to one or more destinations
    ///
    /// All platforms and attestations are copied, with the same digest. Layers are mounted across repositories where
    /// the registry supports it, streamed otherwise, and skipped if already present. Tags are written last, after
    /// everything they point to.
    #[command(visible_aliases = ["copy", "cp"])]
    Promote(promote::PromoteArgs),
    /// Join images from registries into one multi-platform index
    ///
    /// The platforms come from the images' configs. Refused with exit status 3: two images for one platform, an image
    /// without a platform, and a mix of OCI and Docker formats without --format.
    Index(index::IndexArgs),
    /// Change the config and annotations of an image, on every platform
    ///
    /// If nothing changes, the digest stays the same. Attestations of a changed image are removed.
    Mutate(mutate::MutateArgs),
    /// Add files to a base image as reproducible layers, and set its config
    ///
    /// Works on every platform of the base at once. Files get owner 0:0, mode 0644 or 0755 and the time of
    /// SOURCE_DATE_EPOCH (or 1970), so that the same input gives the same digest everywhere.
    Append(append::AppendArgs),
    /// Write Tekton resources (Task, StepAction, Pipeline) as a Tekton bundle
    ///
    /// The same files give the same digest, in any order and on any machine. Refused with exit status 2, before
    /// anything is written: invalid YAML, documents that aren't resources, two resources of the same kind and name, and
    /// more than 20 resources, the most that Tekton reads from a bundle.
    Bundle(bundle::BundleArgs),
    /// Add tags to an image
    ///
    /// The tags are written to the image's own repository; nothing is copied.
    Tag(tag::TagArgs),
    /// Print the digest of an image
    Digest(digest::DigestArgs),
    /// Show an image's platforms, sizes, layers, annotations and referrers
    Inspect(inspect::InspectArgs),
}
