//! The base's layers on their way: where the result is certain to be written, they are copied as soon as the base's
//! manifests are known, while its configs are still being read.

use std::sync::Arc;
use std::time::Duration;

use super::AppendContext;
use super::base::Base;
use crate::error::Result;
use crate::image::descriptor::Descriptor;
use crate::report::outcome::Action;
use crate::transfer::blob_copy::BlobCopy;
use crate::transfer::blob_source::BlobSource;
use crate::transfer::destination::Destination;

/// The layers of the base, and how they get to the destinations.
pub(super) struct BaseLayers<'a> {
    layers: Vec<Descriptor>,
    /// `None` for an empty base.
    copy: Option<BlobCopy<'a>>,
}

impl<'a> BaseLayers<'a> {
    /// The layers of `base`.
    ///
    /// # Errors
    /// A manifest is malformed.
    pub(super) fn new(append: &AppendContext<'a>, base: &'a Base) -> Result<Self> {
        let AppendContext { context, request, .. } = *append;
        let options = context.copy_options(request.write.dry_run);
        let copy = |store| BlobCopy::new(BlobSource::Store(store), options, &context.progress);
        Ok(Self { layers: base.layers()?, copy: base.store.as_ref().map(copy) })
    }

    /// Opens connections for them, and for the configs and manifests of `images` images, while the new layers are built.
    pub(super) async fn expect(&self, images: usize, destinations: &[Arc<Destination>]) {
        let Some(copy) = &self.copy else { return };
        let (at_home, away) = by_home(destinations);
        copy.expect(self.layers.len(), 2 * images, &away).await;
        copy.expect(0, 2 * images, &at_home).await;
    }

    /// Copies them to these destinations.
    ///
    /// # Errors
    /// One can't be read or written.
    pub(super) async fn copy_to(&self, destinations: &[Arc<Destination>]) -> Result<()> {
        let Some(copy) = &self.copy else { return Ok(()) };
        let (at_home, away) = by_home(destinations);
        for layer in &self.layers {
            let action = if layer.is_foreign() { Action::Foreign } else { Action::Present };
            for destination in &at_home {
                destination.log.blob(layer, action, Duration::ZERO);
            }
        }
        copy.blobs(self.layers.clone(), &away).await
    }
}

/// The destinations that are the base's own repository, which has its layers already, and the others.
fn by_home(destinations: &[Arc<Destination>]) -> (Vec<Arc<Destination>>, Vec<Arc<Destination>>) {
    destinations.iter().cloned().partition(|destination| destination.is_source())
}

/// The destinations that most likely lack the base's layers and are certain to get the result. If there turns out to be no
/// result, then all that is left there are blobs without a manifest.
pub(super) fn certain(append: &AppendContext<'_>) -> Vec<Arc<Destination>> {
    // Whether there is a result may depend on what is in those layers.
    if append.request.write.dry_run || append.request.looks_for_entrypoint() {
        return Vec::new();
    }
    let mut certain = append.targets.certain();
    certain.retain(|destination| {
        destination.is_new() && !destination.is_source() && destination.store().repository().is_some()
    });
    certain
}
