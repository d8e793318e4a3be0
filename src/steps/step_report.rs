//! The report of a step that wrote something.

use super::context::Context;
use super::sources;
use crate::error::Result;
use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::registry::manifests::Presence;
use crate::report::outcome::{
    Action, BundledResource, DestinationReport, DestinationState, Outcome, PlatformImage, Previous, SourceReport,
    Totals,
};
use crate::transfer::destination::Tag;
use crate::transfer::destinations::{Destinations, IfExists, Target, WritePolicy, Written};

/// The report of a step, as it is put together.
pub(crate) struct StepReport<'a> {
    context: &'a Context,
    written: &'a Destinations<Written>,
    step: &'static str,
    source: Option<SourceReport>,
    base: Option<SourceReport>,
    platforms: Vec<PlatformImage>,
    resources: Vec<BundledResource>,
    warnings: Vec<String>,
}

impl Destinations<Written> {
    /// The report of the step `step`.
    pub(crate) fn report<'a>(&'a self, context: &'a Context, step: &'static str) -> StepReport<'a> {
        StepReport {
            context,
            written: self,
            step,
            source: None,
            base: None,
            platforms: Vec::new(),
            resources: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl StepReport<'_> {
    /// What was read, if that was one image.
    #[must_use]
    pub(crate) fn source(self, source: Option<SourceReport>) -> Self {
        Self { source, ..self }
    }

    /// The base that the result was built on.
    #[must_use]
    pub(crate) fn base(self, base: Option<SourceReport>) -> Self {
        Self { base, ..self }
    }

    /// The platforms of the result.
    #[must_use]
    pub(crate) fn platforms(self, platforms: Vec<PlatformImage>) -> Self {
        Self { platforms, ..self }
    }

    /// What a bundle holds.
    #[must_use]
    pub(crate) fn resources(self, resources: Vec<BundledResource>) -> Self {
        Self { resources, ..self }
    }

    /// What a user should know.
    #[must_use]
    pub(crate) fn warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// The report.
    ///
    /// # Errors
    /// The result is malformed.
    pub(crate) fn outcome(self) -> Result<Outcome> {
        let Self { context, written, .. } = self;
        let (policy, result) = (written.policy(), written.result());
        let targets = written.targets();
        let destinations: Vec<DestinationReport> =
            targets.iter().map(|target| destination_report(policy, target, result)).collect();
        let size_of = |image: &Digest| targets.iter().find_map(|target| target.destination.log.size_of(image));
        let platforms = self.platforms.into_iter().map(|image| PlatformImage { size: size_of(&image.digest), ..image });
        Ok(Outcome {
            schema_version: 1,
            step: self.step,
            dry_run: policy.dry_run,
            source: self.source,
            base: self.base,
            digest: destinations.first().map_or(&result.digest, |first| &first.digest).clone(),
            media_type: result.media_type.clone(),
            size: result.size(),
            platforms: platforms.collect(),
            images: sources::children(result)?.into_iter().map(|child| child.digest).collect(),
            resources: self.resources,
            totals: totals(context, policy, &destinations),
            destinations,
            warnings: self.warnings,
        })
    }
}

/// The report's entry for one destination.
fn destination_report(policy: WritePolicy, target: &Target, result: &Manifest) -> DestinationReport {
    let Target { destination, pending } = target;
    let other = match destination.tags.first().map(|tag| &tag.current) {
        Some(Presence::Present(other)) if pending.is_empty() && !result.is(&other.digest) => Some(other.digest.clone()),
        _ => None,
    };
    let action = if pending.is_empty() { Action::Present } else { Action::Sent };
    if other.is_none() {
        destination.log.manifest(result, 0, action);
    }
    let (manifests, blobs) = (destination.log.manifests(), destination.log.blobs());
    let sent_any = manifests.iter().any(|manifest| manifest.action == Action::Sent)
        || blobs.iter().any(|blob| matches!(blob.action, Action::Sent | Action::Mounted));
    let state = match (&other, pending.is_empty() && !sent_any) {
        (Some(_), _) => DestinationState::Skipped,
        (None, true) => DestinationState::Unchanged,
        (None, false) if policy.dry_run => DestinationState::Planned,
        (None, false) => DestinationState::Written,
    };
    let digest = other.unwrap_or_else(|| result.digest.clone());
    let points_to_it = |tag: &&Tag| match &tag.current {
        Presence::Present(current) => current.digest == digest || policy.if_exists != IfExists::Skip,
        Presence::Absent | Presence::Unknown => state != DestinationState::Skipped,
    };
    let tags: Vec<&Tag> = destination.tags.iter().filter(points_to_it).collect();
    let pinned = format!("{}@{digest}", destination.name());
    DestinationReport {
        // Not by a tag that was skipped, since that points to another image.
        reference: tags.first().map_or_else(|| pinned.clone(), |tag| destination.named(&tag.target, &digest)),
        name: destination.name(),
        tags: tags.into_iter().filter_map(|tag| tag.target.tag()).map(str::to_owned).collect(),
        pinned,
        digest,
        state,
        previous: previous(target, result),
        manifests,
        blobs,
    }
}

/// What the tags pointed to that had to be written, where that was another image.
fn previous(Target { destination, pending }: &Target, result: &Manifest) -> Vec<Previous> {
    let moved = destination.tags.iter().filter(|tag| pending.contains(&tag.target));
    moved
        .filter_map(|tag| match &tag.current {
            Presence::Present(other) if !result.is(&other.digest) => {
                Some(Previous { tag: tag.target.tag()?.to_owned(), digest: other.digest.clone() })
            }
            _ => None,
        })
        .collect()
}

/// The requests that the content of a plan would take: three to send a blob, one to find or mount it.
fn planned_requests(destinations: &[DestinationReport]) -> u64 {
    let blobs = destinations.iter().flat_map(|destination| &destination.blobs);
    let manifests = destinations.iter().flat_map(|destination| &destination.manifests);
    let for_blob = |action| match action {
        Action::Sent => 3,
        Action::Mounted | Action::Present => 1,
        Action::Foreign => 0,
    };
    blobs.map(|blob| for_blob(blob.action)).sum::<u64>()
        + manifests.map(|manifest| 2 + u64::from(manifest.action == Action::Sent)).sum::<u64>()
}

/// The sums over all destinations.
fn totals(context: &Context, policy: WritePolicy, destinations: &[DestinationReport]) -> Totals {
    let blobs = || destinations.iter().flat_map(|destination| &destination.blobs);
    // A manifest can state any size.
    let bytes = |action: Action| {
        blobs().filter(|blob| blob.action == action).map(|blob| blob.size).fold(0, u64::saturating_add)
    };
    let manifests = destinations.iter().flat_map(|destination| &destination.manifests);
    let manifest_bytes: u64 =
        manifests.filter(|manifest| manifest.action == Action::Sent).map(|manifest| manifest.size).sum();
    Totals {
        requests: if policy.dry_run { planned_requests(destinations) } else { context.client.requests() },
        sent_bytes: bytes(Action::Sent).saturating_add(manifest_bytes),
        mounted_bytes: bytes(Action::Mounted),
        present_bytes: bytes(Action::Present),
        seconds: context.seconds(),
    }
}
