//! `digest`: prints the digest that a reference points to, after one request.

use super::context::Context;
use super::{platforms, sources};
use crate::error::Result;
use crate::image::descriptor::Descriptor;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::registry::manifests::Presence;
use crate::report::outcome::{DestinationReport, DestinationState, Outcome, SourceReport, Totals};
use crate::transfer::store::Store;

/// Resolves the digest; with `platform`, that of the image for this platform.
///
/// # Errors
/// There is no such image, or no such platform.
pub(crate) async fn run(context: &Context, image: &Reference, platform: Option<&Platform>) -> Result<Outcome> {
    let store = context.source(image).await?;
    let found = match platform {
        None => resolve(image, &store).await?,
        Some(platform) => {
            let root = sources::read(image, &store).await?;
            platforms::choose(&store, root, std::slice::from_ref(platform)).await?.manifest.descriptor()
        }
    };
    let name = image.name();
    let reference = match image.tag() {
        Some(tag) => format!("{name}:{tag}"),
        None => format!("{name}@{}", found.digest),
    };
    Ok(Outcome {
        schema_version: 1,
        step: "digest",
        dry_run: false,
        source: Some(SourceReport {
            reference: image.to_string(),
            name: name.clone(),
            digest: found.digest.clone(),
            media_type: found.media_type.clone(),
        }),
        base: None,
        digest: found.digest.clone(),
        media_type: found.media_type,
        size: found.size,
        platforms: Vec::new(),
        images: Vec::new(),
        resources: Vec::new(),
        destinations: vec![DestinationReport {
            reference,
            pinned: format!("{name}@{}", found.digest),
            name,
            tags: image.tag().map(str::to_owned).into_iter().collect(),
            digest: found.digest,
            state: DestinationState::Unchanged,
            previous: Vec::new(),
            manifests: Vec::new(),
            blobs: Vec::new(),
        }],
        totals: Totals { requests: context.client.requests(), seconds: context.seconds(), ..Totals::default() },
        warnings: Vec::new(),
    })
}

/// The descriptor that a reference points to. A digest is looked up too, since the step promises that it exists.
async fn resolve(image: &Reference, store: &Store) -> Result<Descriptor> {
    let key = image.digest().map(ToString::to_string).or(image.tag().map(str::to_owned));
    if let Some(key) = key
        && let Presence::Present(descriptor) = store.head(&key).await?
        && !descriptor.media_type.is_empty()
    {
        return Ok(*descriptor);
    }
    sources::read(image, store).await.map(|manifest| manifest.descriptor())
}
