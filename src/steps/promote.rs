//! `promote`: copies an image, whole and byte for byte, to one or more destinations.
//!
//! The source is read and the destinations are asked at once. Where a destination's tags name the result already,
//! nothing is sent. Otherwise all content goes to all destinations first, by digest; then the tags are written.

use futures_util::future::join_all;

use super::context::{Context, mount_source};
use super::{platforms, source};
use crate::error::{Error, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, Manifest};
use crate::image::media_type;
use crate::image::platform::Platform;
use crate::image::reference::{DEFAULT_TAG, Reference};
use crate::registry::manifests::Presence;
use crate::registry::repository::Access;
use crate::report::outcome::{self, Action, Outcome, PlatformImage, State, Totals};
use crate::transfer::copy::{Copy, CopyOptions};
use crate::transfer::destination::Destination;
use crate::transfer::ledger::Ledger;
use crate::transfer::store::Store;

/// What to promote, where to, and under which conditions.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a condition of its own, named on the command line")]
pub struct Request {
    /// What is read.
    pub source: Reference,
    /// What is written.
    pub destinations: Vec<Reference>,
    /// Further tags in the repository of each destination.
    pub tags: Vec<String>,
    /// The platforms that are wanted; none means all.
    pub platforms: Vec<Platform>,
    /// What to do with a tag that names something else.
    pub if_exists: IfExists,
    /// The digest that the source must have.
    pub expect_digest: Option<Digest>,
    /// Whether the tag of a source with tag and digest must name that digest.
    pub check_tag: bool,
    /// Whether to look through all content under a tag that is there already.
    pub repair: bool,
    /// Whether foreign layers are moved too.
    pub include_foreign: bool,
    /// Whether to say what would be done, and do nothing.
    pub dry_run: bool,
}

/// What to do with a destination's tag that names something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Let it name the result.
    Overwrite,
    /// Leave it alone, and go on with the others.
    Skip,
    /// Write nothing at all.
    Fail,
}

/// A destination and its tags.
struct Goal {
    reference: Reference,
    /// The references that name a digest, which must be the result's.
    pinned: Vec<Reference>,
    /// `None`: by digest alone.
    tags: Vec<Option<String>>,
    /// What each tag names now.
    found: Vec<Presence>,
}

/// Carries a promotion out.
///
/// # Errors
/// As [`Error`] says; then no tag was moved, except where some of several tags were written before one failed, which
/// the error names.
pub async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let store = context.source(&request.source).await?;
    let mut goals = goals(request);
    let stores = open(context, request, &goals).await?;
    let root = read_and_ask(request, &store, &stores, &mut goals).await?;
    let described = source::described(&request.source, &root);
    check_source(request, &store, &root).await?;
    let chosen = platforms::choose(&store, root, &request.platforms).await?;
    let result = chosen.manifest;
    check_destinations(request, &goals, &result)?;
    let destinations: Vec<Destination> = stores
        .into_iter()
        .zip(&goals)
        .map(|(store, goal)| Destination {
            store,
            is_new: goal.found.iter().all(|found| *found == Presence::Absent),
            is_source: goal.reference.name() == request.source.name(),
            ledger: Ledger::default(),
        })
        .collect();
    let mut pending: Vec<Vec<Option<&str>>> = goals.iter().map(|goal| goal.pending(request, &result)).collect();
    if request.repair {
        for ((goal, destination), pending) in goals.iter().zip(&destinations).zip(&mut pending) {
            // A layout's index may name a manifest whose file is broken or gone: its tags are written again.
            if pending.is_empty() && goal.names(&result) && !destination.store.holds_manifest(&result.digest).await? {
                *pending = goal.tags.iter().map(Option::as_deref).collect();
            }
        }
    }
    let wanting: Vec<usize> = (0..goals.len())
        .filter(|&position| request.repair || (!pending[position].is_empty() && !destinations[position].is_source))
        .collect();

    let options = CopyOptions {
        include_foreign: request.include_foreign,
        repair: request.repair,
        dry_run: request.dry_run,
        retries: context.client.options().retries,
        jobs: context.client.options().jobs,
    };
    let mut copy = Copy::new(&store, &destinations, options, &context.progress);
    let config = config_of(&result)?.filter(|_| !wanting.is_empty());
    if let Some(config) = &config {
        copy = copy.keeping(config);
    }
    copy.content_of(&result, &wanting).await?;
    let platforms = platforms_of(&store, &result, config.as_ref(), copy.kept()).await?;
    if !request.dry_run {
        write_tags(&destinations, &pending, &result).await?;
    }
    context.progress.finish();

    let mut outcome = Outcome {
        schema_version: 1,
        step: "promote",
        dry_run: request.dry_run,
        source: Some(described),
        base: None,
        digest: result.digest.clone(),
        media_type: result.media_type.clone(),
        size: result.size(),
        platforms,
        images: source::children(&result)?.into_iter().map(|child| child.digest).collect(),
        destinations: Vec::new(),
        totals: Totals::default(),
        warnings: chosen.warning.into_iter().collect(),
    };
    for ((goal, destination), pending) in goals.iter().zip(&destinations).zip(&pending) {
        outcome.destinations.push(told(request, goal, destination, pending, &result));
    }
    if let Some(first) = outcome.destinations.first() {
        outcome.digest = first.digest.clone();
    }
    outcome.totals = totals(context, request, &outcome);
    Ok(outcome)
}

/// The destinations, each repository once, with all the tags that it is to get.
fn goals(request: &Request) -> Vec<Goal> {
    let mut goals: Vec<Goal> = Vec::new();
    let mut add = |reference: &Reference| {
        let tag = reference.tag().map(str::to_owned).or_else(|| match reference {
            Reference::Layout(layout) if layout.digest.is_none() => Some(DEFAULT_TAG.to_owned()),
            _ => None,
        });
        let pinned: Vec<Reference> = reference.digest().map(|_| reference.clone()).into_iter().collect();
        match goals.iter_mut().find(|goal| goal.reference.name() == reference.name()) {
            Some(goal) => {
                goal.pinned.extend(pinned);
                if !goal.tags.contains(&tag) {
                    goal.tags.push(tag);
                }
            }
            None => goals.push(Goal { reference: reference.clone(), pinned, tags: vec![tag], found: Vec::new() }),
        }
    };
    request.destinations.iter().for_each(&mut add);
    for goal in &mut goals {
        for tag in &request.tags {
            let tag = Some(tag.clone());
            if !goal.tags.contains(&tag) {
                goal.tags.push(tag);
            }
        }
    }
    goals
}

async fn open(context: &Context, request: &Request, goals: &[Goal]) -> Result<Vec<Store>> {
    let access = if request.dry_run { Access::Pull } else { Access::PullPush };
    let mut stores = Vec::new();
    for goal in goals {
        let mount_from = mount_source(&request.source, &goal.reference);
        stores.push(context.destination(&goal.reference, access, mount_from).await?);
    }
    Ok(stores)
}

/// Reads the source's manifest, and asks each destination what its tags name: at once, so that it takes one round trip.
async fn read_and_ask(request: &Request, store: &Store, stores: &[Store], goals: &mut [Goal]) -> Result<Manifest> {
    let counts_pulls = matches!(&request.source, Reference::Registry(reference) if reference.counts_pulls());
    let questions = goals.iter().zip(stores).map(|(goal, store)| ask(goal, store, request));
    let (found, root) = if counts_pulls {
        // Each manifest that is read from there counts against a limit; to ask for its digest is free.
        let (found, digest) = tokio::try_join!(try_all(questions), source::resolve(&request.source, store))?;
        let there = |found: &Presence| matches!(found, Presence::Present(descriptor) if descriptor.digest == digest);
        let done = found.iter().all(|found| found.iter().all(there)) && !request.repair;
        let from = if done { stores.first().unwrap_or(store) } else { store };
        let manifest = from.manifest(Some(digest.as_str())).await?;
        (
            found,
            manifest.ok_or_else(|| Error::SourceMissing {
                reference: request.source.to_string(),
                answer: format!("{digest}, which its tag named a moment ago, is not there"),
            })?,
        )
    } else {
        tokio::try_join!(try_all(questions), source::read(&request.source, store))?
    };
    for (goal, found) in goals.iter_mut().zip(found) {
        goal.found = found;
    }
    Ok(root)
}

async fn try_all<T>(questions: impl Iterator<Item = impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    join_all(questions).await.into_iter().collect()
}

async fn ask(goal: &Goal, store: &Store, request: &Request) -> Result<Vec<Presence>> {
    let digest = goal.pinned.iter().find_map(Reference::digest).or(request.expect_digest.as_ref());
    try_all(goal.tags.iter().map(|tag| async move {
        match tag.as_deref().or(digest.map(Digest::as_str)) {
            Some(reference) => store.head(reference).await,
            None => Ok(Presence::Absent),
        }
    }))
    .await
}

async fn check_source(request: &Request, store: &Store, root: &Manifest) -> Result<()> {
    if let Some(expected) = &request.expect_digest
        && !root.is(expected)
    {
        return Err(Error::Guard(format!("{} is {}, not {expected} as was expected", request.source, root.digest)));
    }
    if request.check_tag {
        source::check_tag(&request.source, store).await?;
    }
    Ok(())
}

/// The guards of the destinations, all of them before anything is written anywhere.
fn check_destinations(request: &Request, goals: &[Goal], result: &Manifest) -> Result<()> {
    for goal in goals {
        if let Some(pinned) = goal.pinned.iter().find(|pinned| pinned.digest().is_some_and(|digest| !result.is(digest)))
        {
            return Err(Error::Guard(format!("what would be written to {pinned} is {}", result.digest)));
        }
        for (tag, found) in goal.tags.iter().zip(&goal.found) {
            let name = || goal.named(tag.as_deref(), &result.digest);
            match found {
                Presence::Present(other) if request.if_exists == IfExists::Fail && !result.is(&other.digest) => {
                    return Err(Error::Guard(format!(
                        "{} exists and names {}, not {}",
                        name(),
                        other.digest,
                        result.digest
                    )));
                }
                Presence::Unknown if request.if_exists != IfExists::Overwrite => {
                    return Err(Error::Guard(format!("the registry would not say whether {} exists (403)", name())));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

impl Goal {
    /// The reference by which one of its tags is known.
    fn named(&self, tag: Option<&str>, digest: &Digest) -> String {
        match tag {
            Some(tag) => format!("{}:{tag}", self.reference.name()),
            None => format!("{}@{digest}", self.reference.name()),
        }
    }

    /// Whether all tags name the result already.
    fn names(&self, result: &Manifest) -> bool {
        self.found.iter().all(|found| matches!(found, Presence::Present(found) if result.is(&found.digest)))
    }

    /// The tags that must be written.
    fn pending(&self, request: &Request, result: &Manifest) -> Vec<Option<&str>> {
        let needed = |found: &Presence| match found {
            Presence::Present(other) => !result.is(&other.digest) && request.if_exists != IfExists::Skip,
            Presence::Absent | Presence::Unknown => true,
        };
        self.tags.iter().zip(&self.found).filter(|(_, found)| needed(found)).map(|(tag, _)| tag.as_deref()).collect()
    }
}

/// The config of a single image that runs.
fn config_of(result: &Manifest) -> Result<Option<Descriptor>> {
    Ok(match result.content()? {
        Content::Image { config, .. } if media_type::is_image_config(&config.media_type) => Some(*config),
        _ => None,
    })
}

/// The platforms of the result. That of a single image stands in its config, which is read only when the image is moved
/// anyway (the answer that nothing is to be done must cost no more), and for which no request is made if it passed by.
async fn platforms_of(
    store: &Store,
    result: &Manifest,
    config: Option<&Descriptor>,
    kept: Option<Vec<u8>>,
) -> Result<Vec<PlatformImage>> {
    let Some(config) = config else {
        return Ok(source::platforms_of_index(&source::children(result)?));
    };
    let platform = match kept {
        Some(bytes) => source::platform_in(&bytes),
        None => source::platform_of(store, config).await?,
    };
    let entry = |platform: Platform| PlatformImage { platform: platform.to_string(), digest: result.digest.clone() };
    Ok(platform.map(entry).into_iter().collect())
}

/// Writes all tags: content is everywhere by now, so that each is one request which either holds or doesn't.
async fn write_tags(destinations: &[Destination], pending: &[Vec<Option<&str>>], result: &Manifest) -> Result<()> {
    let writes = destinations.iter().zip(pending).flat_map(|(destination, tags)| {
        tags.iter().map(move |tag| async move {
            let name =
                tag.map_or_else(|| result.digest.to_string(), |tag| format!("{}:{tag}", destination.store.name()));
            (name, destination.store.tag_manifest(*tag, result).await)
        })
    });
    let (mut written, mut failed) = (Vec::new(), Vec::new());
    for (name, result) in join_all(writes).await {
        match result {
            Ok(()) => written.push(name),
            Err(error) => failed.push(error),
        }
    }
    match failed.into_iter().next() {
        None => Ok(()),
        Some(error) if written.is_empty() => Err(error),
        Some(error) => Err(Error::Partly { written: written.join(", "), source: Box::new(error) }),
    }
}

fn told(
    request: &Request,
    goal: &Goal,
    destination: &Destination,
    pending: &[Option<&str>],
    result: &Manifest,
) -> outcome::Destination {
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
        (Some(_), _) => State::Skipped,
        (None, true) => State::Unchanged,
        (None, false) if request.dry_run => State::Planned,
        (None, false) => State::Written,
    };
    let digest = other.unwrap_or_else(|| result.digest.clone());
    let names_it = |found: &Presence| match found {
        Presence::Present(found) => found.digest == digest || request.if_exists != IfExists::Skip,
        Presence::Absent | Presence::Unknown => state != State::Skipped,
    };
    let naming: Vec<Option<&str>> =
        goal.tags.iter().zip(&goal.found).filter(|(_, found)| names_it(found)).map(|(tag, _)| tag.as_deref()).collect();
    outcome::Destination {
        // Not a tag that was left alone, since that names another image.
        reference: goal.named(naming.first().copied().flatten(), &digest),
        name: goal.reference.name(),
        tags: naming.into_iter().flatten().map(str::to_owned).collect(),
        pinned: format!("{}@{digest}", goal.reference.name()),
        digest,
        state,
        manifests,
        blobs,
    }
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

fn totals(context: &Context, request: &Request, outcome: &Outcome) -> Totals {
    let blobs = || outcome.destinations.iter().flat_map(|destination| &destination.blobs);
    // Sizes are what manifests say, and may be any number.
    let bytes = |action: Action| {
        blobs().filter(|blob| blob.action == action).map(|blob| blob.size).fold(0, u64::saturating_add)
    };
    let manifests = outcome.destinations.iter().flat_map(|destination| &destination.manifests);
    let manifest_bytes: u64 =
        manifests.filter(|manifest| manifest.action == Action::Sent).map(|manifest| manifest.size).sum();
    Totals {
        requests: if request.dry_run { planned_requests(outcome) } else { context.client.requests() },
        sent_bytes: bytes(Action::Sent).saturating_add(manifest_bytes),
        mounted_bytes: bytes(Action::Mounted),
        present_bytes: bytes(Action::Present),
        seconds: context.seconds(),
    }
}
