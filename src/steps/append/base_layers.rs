//! The base's layers on their way: where it is certain that the result will be written, they set out as soon as the
//! base's manifests are there, while its configs are still being read.

use std::time::Duration;

use super::base::Base;
use super::layers::AppendContext;
use crate::error::Result;
use crate::image::descriptor::Descriptor;
use crate::report::outcome::Action;
use crate::transfer::copy::Copy;
use crate::transfer::destination::Destination;

/// The layers of the base, and how they get to the destinations.
pub struct BaseLayers<'a> {
    layers: Vec<Descriptor>,
    /// `None` of an empty base.
    copy: Option<Copy<'a>>,
    destinations: &'a [Destination],
}

impl<'a> BaseLayers<'a> {
    /// Those of `base`.
    ///
    /// # Errors
    /// A manifest that is not well formed.
    pub fn new(route: &AppendContext<'a>, base: &'a Base) -> Result<Self> {
        let AppendContext { context, request, destinations, .. } = *route;
        let options = context.copy_options(request.dry_run);
        let copy = base.store.as_ref().map(|store| Copy::new(store, destinations, options, &context.progress));
        Ok(Self { layers: base.layers()?, copy, destinations })
    }

    /// Brings them to the destinations at these positions.
    ///
    /// # Errors
    /// One can't be read or written.
    pub async fn bring(&self, positions: &[usize]) -> Result<()> {
        let Some(copy) = &self.copy else { return Ok(()) };
        let (at_home, away): (Vec<usize>, Vec<usize>) =
            positions.iter().partition(|position| self.destinations[**position].is_source);
        for layer in &self.layers {
            let action = if layer.is_foreign() { Action::Foreign } else { Action::Present };
            for position in &at_home {
                self.destinations[*position].ledger.blob(layer, action, Duration::ZERO);
            }
        }
        copy.blobs(self.layers.clone(), &away).await
    }
}

/// The destinations, by position, that most likely lack the base's layers and certainly get the result: unless it turns out
/// that there is none, and then blobs without a name are all that is left of it.
pub fn certain(route: &AppendContext<'_>) -> Vec<usize> {
    // Whether there is a result may depend on what is in those layers.
    if route.request.dry_run || route.request.looks_for_entrypoint() {
        return Vec::new();
    }
    let lacks = |position: &usize| {
        let destination = &route.destinations[*position];
        destination.is_new && !destination.is_source && destination.store.repository().is_some()
    };
    (0..route.destinations.len()).filter(lacks).filter(|&position| route.is_written(position)).collect()
}
