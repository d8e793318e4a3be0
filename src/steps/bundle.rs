//! `bundle`: writes Kubernetes resources as a Tekton bundle, an image whose layers are a resource each.
//!
//! All files are read and checked before a registry is asked anything. Then layers, config and manifest are made, which
//! is nothing but a function of the resources; then the blobs are sent, tags last.
//!
//! Tekton, "Tekton Bundle Contract v0.1" (docs/tekton-bundle-contracts.md), and what its resolver reads.

pub(crate) mod build;
mod document;
pub(crate) mod resources;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::context::Context;
use super::goals::{self, IfExists, Terms};
use super::telling::{self, Work};
use crate::error::{Error, Result};
use crate::image::reference::Reference;
use crate::report::outcome::Outcome;
use crate::transfer::copy::Copy;
use crate::transfer::store::Store;
use crate::transfer::transfer_log::TransferLog;

/// What to bundle, where to, and under which conditions.
#[derive(Debug, Clone)]
pub struct Request {
    /// Files, folders of files, `-` for standard input.
    pub files: Vec<PathBuf>,
    /// Annotations of the bundle.
    pub annotations: BTreeMap<String, String>,
    /// What is written.
    pub destinations: Vec<Reference>,
    /// Further tags in the repository of each destination.
    pub tags: Vec<String>,
    /// What to do with a tag that names something else.
    pub if_exists: IfExists,
    /// Whether to say what would be done, and do nothing.
    pub dry_run: bool,
}

/// Carries it out.
///
/// # Errors
/// As [`Error`] says; then no tag was moved, except where some of several tags were written before one failed, which
/// the error names.
pub async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let terms = Terms { if_exists: request.if_exists, dry_run: request.dry_run };
    let first = request.destinations.first().ok_or_else(|| Error::usage("no destination"))?;
    let resources = resources::read(&request.files)?;
    let warnings = resources::warnings(&resources);
    let bundle = build::build(&resources, &request.annotations)?;
    let result = &bundle.manifest;
    let mut goals = goals::goals(&request.destinations, &request.tags);
    let stores = goals::open(context, &goals, first, request.dry_run).await?;
    let found = goals::ask(&goals, &stores, None).await?;
    for (goal, found) in goals.iter_mut().zip(found) {
        goal.found = found;
    }
    goals::check(terms, &goals, result)?;
    let ledgers: Vec<Arc<TransferLog>> = goals.iter().map(|_| Arc::default()).collect();
    let destinations = goals::destinations(&goals, stores, first, &ledgers);
    let pending: Vec<Vec<Option<&str>>> = goals.iter().map(|goal| goal.pending(terms, result)).collect();
    let wanting: Vec<usize> = (0..goals.len()).filter(|&position| !pending[position].is_empty()).collect();
    let made = Store::Generated(bundle.blobs);
    let options = context.copy_options(request.dry_run);
    Copy::new(&made, &destinations, options, &context.progress).blobs(bundle.descriptors, &wanting).await?;
    if !request.dry_run {
        goals::write_tags(&destinations, &pending, result).await?;
    }
    context.progress.finish();
    let work = Work {
        step: "bundle",
        source: None,
        result,
        platforms: Vec::new(),
        goals: &goals,
        destinations: &destinations,
        pending: &pending,
        warnings,
    };
    Ok(Outcome { resources: bundle.resources, ..telling::outcome(context, terms, work)? })
}
