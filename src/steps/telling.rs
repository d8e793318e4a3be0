//! What a step that writes tells of what it did: its report.

use super::context::Context;
use super::goals::{Goal, IfExists, Terms};
use super::source;
use crate::error::Result;
use crate::image::manifest::Manifest;
use crate::registry::manifests::Presence;
use crate::report::outcome::{self, Action, DestinationState, Outcome, PlatformImage, Previous, SourceReport, Totals};
use crate::transfer::destination::Destination;

/// What a step did, as far as all steps that write tell it.
pub struct Work<'a> {
    /// The step's name.
    pub step: &'static str,
    /// What was read, if that was one image.
    pub source: Option<SourceReport>,
    /// What was written.
    pub result: &'a Manifest,
    /// Its platforms.
    pub platforms: Vec<PlatformImage>,
    /// Where to.
    pub goals: &'a [Goal],
    /// The same places, with their ledgers.
    pub destinations: &'a [Destination],
    /// The tags that had to be written, for each of them.
    pub pending: &'a [Vec<Option<&'a str>>],
    /// What a user should know.
    pub warnings: Vec<String>,
}

/// The report of a step that wrote `work.result`.
///
/// # Errors
/// The result is not well formed.
pub fn outcome(context: &Context, terms: Terms, work: Work<'_>) -> Result<Outcome> {
    let Work { result, .. } = work;
    let mut outcome = Outcome {
        schema_version: 1,
        step: work.step,
        dry_run: terms.dry_run,
        source: work.source,
        base: None,
        digest: result.digest.clone(),
        media_type: result.media_type.clone(),
        size: result.size(),
        platforms: work.platforms,
        images: source::children(result)?.into_iter().map(|child| child.digest).collect(),
        resources: Vec::new(),
        destinations: Vec::new(),
        totals: Totals::default(),
        warnings: work.warnings,
    };
    let places = work.goals.iter().zip(work.destinations).zip(work.pending);
    outcome.destinations =
        places.map(|((goal, destination), pending)| told(terms, goal, destination, pending, result)).collect();
    for image in &mut outcome.platforms {
        image.size = work.destinations.iter().find_map(|destination| destination.ledger.size_of(&image.digest));
    }
    if let Some(first) = outcome.destinations.first() {
        outcome.digest = first.digest.clone();
    }
    outcome.totals = totals(context, terms, &outcome);
    Ok(outcome)
}

/// The report's entry for one destination; `pending` are the tags that had to be written.
fn told(
    terms: Terms,
    goal: &Goal,
    destination: &Destination,
    pending: &[Option<&str>],
    result: &Manifest,
) -> outcome::DestinationReport {
    let other = match goal.found.first() {
        Some(Presence::Present(other)) if pending.is_empty() && !result.is(&other.digest) => Some(other.digest.clone()),
        _ => None,
    };
    let action = if pending.is_empty() { Action::Present } else { Action::Sent };
    if other.is_none() {
        destination.ledger.manifest(result, 0, action);
    }
    let (manifests, blobs) = (destination.ledger.manifests(), destination.ledger.blobs());
    let sent_any = manifests.iter().any(|manifest| manifest.action == Action::Sent)
        || blobs.iter().any(|blob| matches!(blob.action, Action::Sent | Action::Mounted));
    let state = match (&other, pending.is_empty() && !sent_any) {
        (Some(_), _) => DestinationState::Skipped,
        (None, true) => DestinationState::Unchanged,
        (None, false) if terms.dry_run => DestinationState::Planned,
        (None, false) => DestinationState::Written,
    };
    let digest = other.unwrap_or_else(|| result.digest.clone());
    let names_it = |found: &Presence| match found {
        Presence::Present(found) => found.digest == digest || terms.if_exists != IfExists::Skip,
        Presence::Absent | Presence::Unknown => state != DestinationState::Skipped,
    };
    let naming: Vec<Option<&str>> =
        goal.tags.iter().zip(&goal.found).filter(|(_, found)| names_it(found)).map(|(tag, _)| tag.as_deref()).collect();
    outcome::DestinationReport {
        // Not a tag that was left alone, since that names another image.
        reference: goal.named(naming.first().copied().flatten(), &digest),
        name: goal.reference.name(),
        tags: naming.into_iter().flatten().map(str::to_owned).collect(),
        pinned: format!("{}@{digest}", goal.reference.name()),
        digest,
        state,
        previous: previous(goal, pending, result),
        manifests,
        blobs,
    }
}

/// What the tags that had to be written named when they were asked for the guards, where that was something else.
fn previous(goal: &Goal, pending: &[Option<&str>], result: &Manifest) -> Vec<Previous> {
    let tags = goal.tags.iter().zip(&goal.found).filter(|(tag, _)| pending.contains(&tag.as_deref()));
    tags.filter_map(|(tag, found)| match found {
        Presence::Present(other) if !result.is(&other.digest) => {
            Some(Previous { tag: tag.clone()?, digest: other.digest.clone() })
        }
        _ => None,
    })
    .collect()
}

/// The requests that a plan's content would take: to send a blob three, to find or link it one.
fn planned_requests(outcome: &Outcome) -> u64 {
    let blobs = outcome.destinations.iter().flat_map(|destination| &destination.blobs);
    let manifests = outcome.destinations.iter().flat_map(|destination| &destination.manifests);
    let of_blob = |action| match action {
        Action::Sent => 3,
        Action::Mounted | Action::Present => 1,
        Action::Foreign => 0,
    };
    blobs.map(|blob| of_blob(blob.action)).sum::<u64>()
        + manifests.map(|manifest| 2 + u64::from(manifest.action == Action::Sent)).sum::<u64>()
}

/// The sums over all destinations of `outcome`.
fn totals(context: &Context, terms: Terms, outcome: &Outcome) -> Totals {
    let blobs = || outcome.destinations.iter().flat_map(|destination| &destination.blobs);
    // Sizes are what manifests say, and may be any number.
    let bytes = |action: Action| {
        blobs().filter(|blob| blob.action == action).map(|blob| blob.size).fold(0, u64::saturating_add)
    };
    let manifests = outcome.destinations.iter().flat_map(|destination| &destination.manifests);
    let manifest_bytes: u64 =
        manifests.filter(|manifest| manifest.action == Action::Sent).map(|manifest| manifest.size).sum();
    Totals {
        requests: if terms.dry_run { planned_requests(outcome) } else { context.client.requests() },
        sent_bytes: bytes(Action::Sent).saturating_add(manifest_bytes),
        mounted_bytes: bytes(Action::Mounted),
        present_bytes: bytes(Action::Present),
        seconds: context.seconds(),
    }
}
