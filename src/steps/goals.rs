//! What a step writes to: destinations and their tags, the guards over them, and the writing of tags.

use std::sync::Arc;

use futures_util::future::join_all;

use super::context::{Context, mount_source};
use crate::error::{Error, ErrorKind, GuardKind, Result};
use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::reference::{DEFAULT_TAG, Reference};
use crate::registry::manifests::Presence;
use crate::registry::repository::Access;
use crate::transfer::destination::Destination;
use crate::transfer::store::Store;
use crate::transfer::transfer_log::TransferLog;

/// On which terms a step writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What to do with a tag that names something else.
    pub if_exists: IfExists,
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
pub struct Goal {
    /// The place, by the first reference to it.
    pub reference: Reference,
    /// The references that name a digest, which must be the result's.
    pub pinned: Vec<Reference>,
    /// `None`: by digest alone.
    pub tags: Vec<Option<String>>,
    /// What each tag names now.
    pub found: Vec<Presence>,
}

/// The destinations, each repository once, with all the tags that it is to get: its own, and the `further` ones.
pub fn goals(destinations: &[Reference], further: &[String]) -> Vec<Goal> {
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
    destinations.iter().for_each(&mut add);
    for goal in &mut goals {
        for tag in further {
            let tag = Some(tag.clone());
            if !goal.tags.contains(&tag) {
                goal.tags.push(tag);
            }
        }
    }
    goals
}

/// The places of `goals`, to be written from `source`.
///
/// # Errors
/// A login can't be had.
pub async fn open(context: &Context, goals: &[Goal], source: &Reference, dry_run: bool) -> Result<Vec<Store>> {
    let access = if dry_run { Access::Pull } else { Access::PullPush };
    let mut stores = Vec::new();
    for goal in goals {
        let mount_from = mount_source(source, &goal.reference);
        stores.push(context.destination(&goal.reference, access, mount_from).await?);
    }
    Ok(stores)
}

/// What the tags of each goal name now, all asked at once; one by digest alone is asked for its own digest, or else for
/// the `expected` one.
///
/// # Errors
/// One of them can't be asked.
pub async fn ask(goals: &[Goal], stores: &[Store], expected: Option<&Digest>) -> Result<Vec<Vec<Presence>>> {
    try_all(goals.iter().zip(stores).map(|(goal, store)| ask_one(goal, store, expected))).await
}

/// The goals as destinations of a transfer.
pub fn destinations(
    goals: &[Goal],
    stores: Vec<Store>,
    source: &Reference,
    ledgers: &[Arc<TransferLog>],
) -> Vec<Destination> {
    let ledgers = ledgers.iter().map(Arc::clone);
    let places = stores.into_iter().zip(goals).zip(ledgers);
    places
        .map(|((store, goal), ledger)| Destination {
            store,
            is_new: goal.found.iter().all(|found| *found == Presence::Absent),
            is_source: goal.reference.name() == source.name(),
            ledger,
        })
        .collect()
}

async fn try_all<T>(questions: impl Iterator<Item = impl Future<Output = Result<T>>>) -> Result<Vec<T>> {
    join_all(questions).await.into_iter().collect()
}

async fn ask_one(goal: &Goal, store: &Store, expected: Option<&Digest>) -> Result<Vec<Presence>> {
    let digest = goal.pinned.iter().find_map(Reference::digest).or(expected);
    try_all(goal.tags.iter().map(|tag| async move {
        match tag.as_deref().or(digest.map(Digest::as_str)) {
            Some(reference) => store.head(reference).await,
            None => Ok(Presence::Absent),
        }
    }))
    .await
}

/// The guards of the destinations, all of them before anything is written anywhere.
///
/// # Errors
/// One says no (`ErrorKind::Guard`).
pub fn check(terms: Terms, goals: &[Goal], result: &Manifest) -> Result<()> {
    for goal in goals {
        if let Some(pinned) = goal.pinned.iter().find(|pinned| pinned.digest().is_some_and(|digest| !result.is(digest)))
        {
            let text = format!("the result is {}, but {pinned} requires another digest", result.digest);
            return Err(Error::guard(GuardKind::DigestMismatch, text));
        }
        for (tag, found) in goal.tags.iter().zip(&goal.found) {
            let name = || goal.named(tag.as_deref(), &result.digest);
            match found {
                Presence::Present(other) if terms.if_exists == IfExists::Fail && !result.is(&other.digest) => {
                    let text = format!("{} already points to {}, not {}", name(), other.digest, result.digest);
                    let hint = "--if-exists overwrite moves the tag, --if-exists skip keeps it";
                    return Err(Error::guard(GuardKind::TagExists, text).with_hint(hint));
                }
                Presence::Unknown if terms.if_exists != IfExists::Overwrite => {
                    let text = format!("the registry doesn't reveal whether {} exists (403)", name());
                    let hint = "use a login that may read it; --if-exists overwrite writes it in any case";
                    return Err(Error::guard(GuardKind::TagUnknown, text).with_hint(hint));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

impl Goal {
    /// The reference by which one of its tags is known.
    pub fn named(&self, tag: Option<&str>, digest: &Digest) -> String {
        match tag {
            Some(tag) => format!("{}:{tag}", self.reference.name()),
            None => format!("{}@{digest}", self.reference.name()),
        }
    }

    /// Whether all tags name the result already.
    pub fn names(&self, result: &Manifest) -> bool {
        self.found.iter().all(|found| matches!(found, Presence::Present(found) if result.is(&found.digest)))
    }

    /// The tags that must be written.
    pub fn pending(&self, terms: Terms, result: &Manifest) -> Vec<Option<&str>> {
        let needed = |found: &Presence| match found {
            Presence::Present(other) => !result.is(&other.digest) && terms.if_exists != IfExists::Skip,
            Presence::Absent | Presence::Unknown => true,
        };
        self.tags.iter().zip(&self.found).filter(|(_, found)| needed(found)).map(|(tag, _)| tag.as_deref()).collect()
    }
}

/// Writes all tags: content is everywhere by now, so that each is one request which either holds or doesn't.
///
/// # Errors
/// One can't be written; those that were are named.
pub async fn write_tags(destinations: &[Destination], pending: &[Vec<Option<&str>>], result: &Manifest) -> Result<()> {
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
        Some(error) => Err(Error::from(ErrorKind::Partly { written: written.join(", "), source: Box::new(error) })),
    }
}
