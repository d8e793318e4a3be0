//! `mutate`: changes the config and the annotations of an image, on every platform of an index or on those chosen.
//!
//! The image is read and the destinations are asked at once. Configs and manifests are edited in place, so that unknown
//! fields stay, and the digest too if nothing changes. Layers are mounted or copied; then the tags are written.

mod edit;

use self::edit::{Edited, edit};
use super::context::Context;
use super::destinations::WriteRequest;
use super::sources;
use crate::error::Result;
use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::media_type::{self, Kind};
use crate::image::overrides::PlatformChanges;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::report::outcome::{Outcome, PlatformImage};
use crate::transfer::copy::Copy;
use crate::transfer::destinations::Destinations;
use crate::transfer::store::Store;

/// What to change, where to write it, and under which conditions.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The image to change.
    pub image: Reference,
    /// The platforms to change; none means all. The others stay as they are.
    pub platforms: Vec<Platform>,
    /// The changes.
    pub changes: PlatformChanges,
    /// Where the annotations for every platform are set.
    pub annotate: Annotate,
    /// Where to write it.
    pub write: WriteRequest,
}

/// Where annotations are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Annotate {
    /// On the index.
    Index,
    /// On the manifests of the images that are changed.
    Manifests,
    /// On both; on the manifest of a single image.
    Both,
}

/// Carries the changes out.
///
/// # Errors
/// As [`crate::error::Error`] says; then no tag was moved, except where some of several tags were written before one
/// failed, which the error names.
pub(crate) async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let store = context.base(&request.image).await?;
    let targets = Destinations::open(context, &request.write, &request.image).await?;
    let (targets, root) = tokio::try_join!(targets.resolve(None), sources::read(&request.image, &store))?;
    let edited = edit(request, &store, &root).await?;
    let targets = targets.approve(&edited.manifest)?;
    let is_unchanged = edited.manifest.digest == root.digest;
    let pending = if is_unchanged { targets.pending().without_source() } else { targets.pending() };
    let platforms = platforms_of(&store, &root, &edited, !pending.is_empty()).await?;
    let copy = Copy::new(&store, context.copy_options(request.write.dry_run), &context.progress)
        .with_known_manifests(edited.known)
        .with_generated(&edited.generated);
    copy.content_of(&edited.manifest, &pending).await?;
    let warnings = edited.warnings.into_iter().chain(copy.warnings()).collect();
    let written = targets.write_tags().await?;
    let source = sources::described(&request.image, &root);
    written.report(context, "mutate").source(Some(source)).platforms(platforms).warnings(warnings).outcome()
}

/// The platforms of the result. The config of a single image that wasn't read yet is only read if the image is copied: to
/// find out that there is nothing to do must not cost more.
async fn platforms_of(store: &Store, root: &Manifest, edited: &Edited, is_copied: bool) -> Result<Vec<PlatformImage>> {
    let result = &edited.manifest;
    if media_type::kind(&root.media_type) == Kind::Index {
        let known = |index: &Digest| {
            let found = edited.known.iter().find(|manifest| manifest.digest == *index);
            found.and_then(|index| sources::children(index).ok())
        };
        return sources::platforms_below(store, result, known).await;
    }
    let platform = match &edited.platform {
        None if is_copied => sources::own_platform(store, root).await?,
        known => known.clone(),
    };
    Ok(platform.iter().map(|platform| sources::platform_image(platform, &result.digest)).collect())
}
