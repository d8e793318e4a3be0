//! `bundle`: writes Kubernetes resources as a Tekton bundle, an image whose layers are a resource each.
//!
//! All files are read and checked before a registry is asked anything. Then layers, config and manifest are built, as a
//! function of the resources alone; then the blobs are sent, tags last.
//!
//! Tekton, "Tekton Bundle Contract v0.1" (docs/tekton-bundle-contracts.md), and what its resolver reads.

pub(crate) mod build;
mod document;
pub(crate) mod resources;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::context::Context;
use super::destinations::WriteRequest;
use crate::error::Result;
use crate::report::outcome::Outcome;
use crate::transfer::blob_copy::BlobCopy;
use crate::transfer::blob_source::BlobSource;
use crate::transfer::destinations::Destinations;

/// What to bundle, where to, and under which conditions.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Files, folders of files, `-` for standard input.
    pub files: Vec<PathBuf>,
    /// Annotations of the bundle.
    pub annotations: BTreeMap<String, String>,
    /// Where to write it.
    pub write: WriteRequest,
}

/// Carries it out.
///
/// # Errors
/// As [`crate::error::Error`] says; then no tag was moved, except where some of several tags were written before one failed, which
/// the error names.
pub(crate) async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let first = request.write.first()?;
    let resources = resources::read(&request.files)?;
    let warnings = resources::warnings(&resources);
    let bundle = build::build(&resources, &request.annotations)?;
    let targets = Destinations::open(context, &request.write, first).await?.resolve(None).await?;
    let targets = targets.approve(&bundle.manifest)?;
    let options = context.copy_options(request.write.dry_run);
    let copy = BlobCopy::new(BlobSource::Generated(&bundle.blobs), options, &context.progress);
    copy.blobs(bundle.descriptors, &targets.pending()).await?;
    let written = targets.write_tags().await?;
    written.report(context, "bundle").resources(bundle.resources).warnings(warnings).outcome()
}
