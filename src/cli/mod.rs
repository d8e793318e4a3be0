//! The command line: words and environment become a plain request. It knows nothing of HTTP.

pub mod append;
pub mod args;
pub mod bundle;
pub mod changes;
pub mod ci_annotations;
pub mod common;
pub mod duration;
mod failure;
pub mod github_action;
pub mod index;
pub mod mutate;
pub mod operands;
pub mod parse;
pub mod platform_value;
pub mod promote;
pub mod promote_list;
pub mod references;
pub mod registry;
pub mod run;
pub mod small_steps;
pub mod strict;
pub mod suggestions;

use clap::{Parser, Subcommand};

/// Container image steps for CI, as pure registry operations: no daemon, no root, no disk.
#[derive(Debug, Parser)]
#[command(name = "imgstep", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// The step.
    #[command(subcommand)]
    pub step: Step,
}

const AFTER_HELP: &str = "\
Each step prints `registry/repository@sha256:…` on stdout and everything else on stderr.
Every option can also be given as an environment variable: --if-exists as IMGSTEP_IF_EXISTS, lists one value per line.

Exit status: 0 done, 1 failed, 2 the command line is wrong, 3 a guard said no and nothing was written,
4 credentials were refused, 5 the source does not exist, 6 the registry or network failed for a passing reason.";

/// The steps.
#[derive(Debug, Subcommand)]
pub enum Step {
    /// Copy an image, whole and byte for byte, to one or more destinations.
    #[command(visible_aliases = ["copy", "cp"])]
    Promote(promote::PromoteArgs),
    /// Assemble one multi-platform index out of images in registries.
    Index(index::IndexArgs),
    /// Change the config and the annotations of an image, on every platform.
    Mutate(Box<mutate::MutateArgs>),
    /// Put files on top of a base image as reproducible layers, and set its config, for every platform at once.
    Append(Box<append::AppendArgs>),
    /// Write Tekton resources (Task, StepAction, Pipeline) as a Tekton bundle.
    Bundle(bundle::BundleArgs),
    /// Let more tags name an image in its own repository.
    Tag(small_steps::TagArgs),
    /// Print the digest that a reference names.
    Digest(small_steps::DigestArgs),
    /// Show what an image is made of: platforms, sizes, layers, annotations, referrers.
    Inspect(small_steps::InspectArgs),
    /// A registry, for trials and tests.
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
}
