//! Builds the layers of an append, each once, whichever images it goes on.
//!
//! A layer that is small when compressed is buffered until it is known whether it is needed. A large one can't be: if a
//! destination most likely lacks it, it is sent while it is built, and committed at the end; otherwise it is only built for
//! its digest.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::base::{Base, BaseImage};
use super::plan::{self, LayerKind, LayerPlan};
use super::{AppendContext, Request, send};
use crate::error::Result;
use crate::layer::recipe::{BuildOptions, BuiltLayer, Recipe};
use crate::report::progress::Item;
use crate::text::printable;
use crate::transfer::ingest::UncommittedBlob;

/// Maximum size in bytes of all layers that are buffered between building and sending. With the memory for compression
/// (`Compression::threads`) and all else, that is less than 64 MB.
const BUFFER_LIMIT: u64 = 24 * 1024 * 1024;

/// A layer that was built.
pub(super) struct Layer {
    /// What it is, and which images it goes on.
    pub kind: LayerKind,
    /// How it is built again.
    pub recipe: Arc<Recipe>,
    /// Its digests, its size, what is in it.
    pub built: BuiltLayer,
    /// What the history calls it.
    pub title: String,
    /// Its bytes at destinations, where they were sent while it was built.
    pub(super) uncommitted: Vec<UncommittedBlob>,
    /// Shows the progress of that.
    pub(super) item: Option<Item>,
}

/// The layers that go on an image, lowest first.
pub(super) fn of<'a>(layers: &'a [Layer], image: &BaseImage) -> Vec<&'a Layer> {
    let mut found: Vec<&Layer> = layers.iter().filter(|layer| layer.kind.fits(image)).collect();
    found.sort_by_key(|layer| layer.kind.number());
    found
}

/// A layer that is being built. The bytes that don't fit into the buffer wait until they are taken.
pub(super) struct PendingLayer {
    recipe: Arc<Recipe>,
    buffer_limit: u64,
    pieces: mpsc::Receiver<Bytes>,
    building: JoinHandle<Result<BuiltLayer>>,
}

impl PendingLayer {
    /// Files are read and compressed on threads that may block.
    fn new(recipe: Recipe, buffer_limit: u64, with_names: bool) -> Self {
        let recipe = Arc::new(recipe);
        let (sender, pieces) = mpsc::channel(1);
        let building = tokio::task::spawn_blocking({
            let recipe = Arc::clone(&recipe);
            move || {
                let mut overflow = |piece: Bytes| sender.blocking_send(piece).is_ok();
                recipe.make(&mut BuildOptions { keep: buffer_limit, with_names, overflow: &mut overflow })
            }
        });
        Self { recipe, buffer_limit, pieces, building }
    }
}

/// Begins to build the first layer before the base is known, since most bases need it: so it is built while the registries
/// are asked. `None` if that is less certain. What is wrong with the files is reported when their turn comes.
pub(super) fn begin_first(request: &Request) -> Option<PendingLayer> {
    plan::plan_first(request).map(|recipe| PendingLayer::new(recipe, BUFFER_LIMIT, request.looks_at_names()))
}

/// Builds every layer that some image needs; `first` may be the first one, if that was begun already.
///
/// # Errors
/// A file can't be read or can't be in a layer; a tar that can be read only once could not be sent.
pub(super) async fn build(
    append: &AppendContext<'_>,
    base: &Base,
    mut first: Option<PendingLayer>,
) -> Result<Vec<Layer>> {
    let with_names = append.request.looks_at_names();
    let mut layers = Vec::new();
    let mut buffer_limit = BUFFER_LIMIT;
    for plan in plan::plan(append.request, base)? {
        let begun = first.take_if(|begun| *begun.recipe == plan.recipe && begun.buffer_limit == buffer_limit);
        let pending = begun.unwrap_or_else(|| PendingLayer::new(plan.recipe.clone(), buffer_limit, with_names));
        let layer = build_one(append, plan, pending).await?;
        if layer.built.kept.is_some() {
            buffer_limit -= layer.built.size;
        }
        layers.push(layer);
    }
    Ok(layers)
}

async fn build_one(append: &AppendContext<'_>, plan: LayerPlan, pending: PendingLayer) -> Result<Layer> {
    let LayerPlan { kind, title, platform, .. } = plan;
    let PendingLayer { recipe, pieces, building, .. } = pending;
    let sent = send::send_while_built(append, &recipe, &platform, pieces).await;
    let built = building.await.context("a layer can't be made")?;
    // Errors of the files come first: without files there was nothing to send.
    let built = built?;
    let (uncommitted, item) = sent?;
    let spec = kind.spec(append.request);
    let name = spec.map(|spec| printable(&spec.path.to_string_lossy(), 300)).unwrap_or_default();
    built.findings.cautions.warnings(&name).iter().for_each(|warning| append.context.console.warn(warning));
    Ok(Layer { kind, recipe, built, title, uncommitted, item })
}
