//! Sends the layers of an append: large ones while they are built, small ones when all is known.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::build::BuiltImages;
use super::layers::Layer;
use super::{AppendContext, remote_layers};
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::layer::recipe::Recipe;
use crate::report::outcome::Action;
use crate::report::progress::Item;
use crate::transfer::destination::Destination;
use crate::transfer::destinations::Pending;
use crate::transfer::generated::{GeneratedBlob, GeneratedBlobs};
use crate::transfer::ingest::{UncommittedBlob, ingest};

/// Sends a layer that doesn't fit into the buffer, while it is built, to the destinations that most likely lack it. This is
/// before the guards: the bytes get their digest, and can be seen, only in [`commit`].
pub(super) async fn send_while_built(
    append: &AppendContext<'_>,
    recipe: &Arc<Recipe>,
    platform: &Platform,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<(Vec<UncommittedBlob>, Option<Item>)> {
    let Some(first) = pieces.recv().await else { return Ok((Vec::new(), None)) };
    let destinations = missing_at(append, recipe, platform).await?;
    if destinations.is_empty() {
        return Ok((Vec::new(), None));
    }
    let item = append.context.progress.start_growing("new layer");
    let mut uncommitted = Vec::new();
    for result in ingest(&destinations, first, pieces, &item).await {
        match result {
            Ok(blob) => uncommitted.push(blob),
            Err(error) => send_again(append, recipe, error)?,
        }
    }
    Ok((uncommitted, Some(item)))
}

/// The destinations that a large layer is sent to before its digest is known.
async fn missing_at(
    append: &AppendContext<'_>,
    recipe: &Arc<Recipe>,
    platform: &Platform,
) -> Result<Vec<Arc<Destination>>> {
    if append.request.write.dry_run {
        return Ok(Vec::new());
    }
    if !recipe.is_repeatable() {
        return Ok(append.targets.all().to_vec());
    }
    if !recipe.is_costly() {
        return Ok(Vec::new());
    }
    let mut candidates = append.targets.certain();
    candidates.retain(|destination| takes_one_request(destination));
    let known = candidates.iter().map(|destination| remote_layers::known_diff_ids(destination, platform));
    let known = join_all(known).await;
    if known.iter().all(HashSet::is_empty) {
        return Ok(candidates);
    }
    let reading = tokio::task::spawn_blocking({
        let recipe = Arc::clone(recipe);
        move || recipe.diff_id()
    });
    let diff_id = reading.await.context("a layer can't be made")??;
    let missing = candidates.into_iter().zip(known).filter(|(_, known)| !known.contains(diff_id.as_str()));
    Ok(missing.map(|(destination, _)| destination).collect())
}

/// Whether a blob of any size can be sent in one request.
fn takes_one_request(destination: &Destination) -> bool {
    let repository = destination.store().repository();
    repository.is_none_or(|repository| repository.host().chunk_size().is_none())
}

/// Called when a layer didn't reach a destination while it was built: it is built and sent again later, if possible.
fn send_again(append: &AppendContext<'_>, recipe: &Recipe, error: Error) -> Result<()> {
    let console = &append.context.console;
    if recipe.is_repeatable() {
        console.note(&format!("{error}; the layer is made once more, and sent when its size is known"));
        return Ok(());
    }
    // A 401 and the like keep their own exit status.
    console.note("a tar that comes from a pipe can be sent only once; given as a file, it is sent again");
    Err(error)
}

/// Commits the layers that were sent while they were built, at the pending destinations. Returns the digests that exist
/// now, and where.
///
/// # Errors
/// One can't be committed, and can't be built again.
pub(super) async fn commit(
    append: &AppendContext<'_>,
    layers: &mut [Layer],
    images: &BuiltImages,
    pending: &Pending,
) -> Result<Vec<(Digest, Arc<Destination>)>> {
    let mut present = Vec::new();
    for layer in layers {
        let digest = &layer.built.digest;
        let mut is_committed = false;
        for blob in std::mem::take(&mut layer.uncommitted) {
            match blob.commit(digest, pending).await {
                Ok(None) => {}
                Ok(Some(destination)) => {
                    is_committed = true;
                    if let Some(descriptor) = images.layers.iter().find(|layer| layer.digest == *digest) {
                        destination.log.blob(descriptor, Action::Sent, append.context.started.elapsed());
                    }
                    present.push((digest.clone(), destination));
                }
                Err(error) => send_again(append, &layer.recipe, error)?,
            }
        }
        if let Some(item) = layer.item.take().filter(|_| is_committed) {
            item.finish(Action::Sent);
        }
    }
    Ok(present)
}

/// All blobs of the images that don't come from the base.
pub(super) fn generated_blobs(layers: Vec<Layer>, images: &BuiltImages) -> GeneratedBlobs {
    let mut blobs = GeneratedBlobs::default();
    for layer in layers {
        let blob = match layer.built.kept {
            Some(pieces) => GeneratedBlob::Buffered(pieces),
            None => GeneratedBlob::Rebuilt(layer.recipe),
        };
        blobs.add(layer.built.digest, blob);
    }
    for (descriptor, bytes) in &images.configs {
        blobs.add_bytes(descriptor.digest.clone(), bytes.clone());
    }
    blobs
}
