//! `append`: puts files on top of a base as reproducible layers and sets its config, for every platform at once.
//!
//! The base is read and the destinations are asked at once. Each layer is made once to learn its digest; where a
//! destination lacks it, it is sent from memory if it is small, or made again while it is sent. Base layers are mounted
//! or copied. Children are written before their index, tags last.

mod base;
mod build;
mod layers;

use futures_util::future::try_join_all;

use self::base::Base;
use self::build::Built;
use super::context::Context;
use super::promote::{self, Goal, IfExists};
use crate::error::{Error, Result};
use crate::image::config::Changes;
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::format::Format;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::layer::compress::Compression;
use crate::layer::spec::LayerSpec;
use crate::registry::manifests::Presence;
use crate::report::outcome::{Action, Outcome, PlatformImage, Totals};
use crate::transfer::copy::{Copy, CopyOptions};
use crate::transfer::destination::Destination;
use crate::transfer::ledger::Ledger;
use crate::transfer::made::Made;
use crate::transfer::store::Store;

/// What to put on what, where to, and under which conditions.
#[derive(Debug, Clone)]
pub struct Request {
    /// The base; `None` is an empty one.
    pub base: Option<Reference>,
    /// What is written.
    pub destinations: Vec<Reference>,
    /// Further tags in the repository of each destination.
    pub tags: Vec<String>,
    /// The platforms that are wanted; none means those that layers name, or else all.
    pub platforms: Vec<Platform>,
    /// The layers, lowest first.
    pub layers: Vec<LayerSpec>,
    /// Paths of the base that shall disappear.
    pub delete: Vec<String>,
    /// Patterns of files that stay out of every layer.
    pub exclude: Vec<String>,
    /// How layers are compressed.
    pub compression: Compression,
    /// The time of every file, in seconds since 1970.
    pub mtime: u64,
    /// The time that history says, in RFC 3339.
    pub created: String,
    /// What changes in the config.
    pub changes: Changes,
    /// Annotations of index and images.
    pub annotations: Vec<(String, String)>,
    /// The vocabulary of the result; the base's if none is said.
    pub format: Option<Format>,
    /// What to do with a tag that names something else.
    pub if_exists: IfExists,
    /// Whether programs for other architectures are let through.
    pub allow_foreign_binaries: bool,
    /// Whether to say what would be done, and do nothing.
    pub dry_run: bool,
}

/// Carries it out.
///
/// # Errors
/// As [`Error`] says; then no tag was moved, except where some of several tags were written before one failed, which
/// the error names.
pub async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let delivery = delivery(request)?;
    let mut goals = promote::goals(&delivery);
    let stores = promote::open(context, &delivery, &goals).await?;
    let asking = promote::try_all(goals.iter().zip(&stores).map(|(goal, store)| promote::ask(goal, store, &delivery)));
    let (found, base) = tokio::try_join!(asking, Base::open(context, request))?;
    for (goal, found) in goals.iter_mut().zip(found) {
        goal.found = found;
    }
    let made = layers::make(request, &base).await?;
    if !request.allow_foreign_binaries {
        layers::check_programs(request, &base, &made)?;
    }
    let built = build::build(request, &base, &made)?;
    promote::check_destinations(&delivery, &goals, &built.root)?;
    let destinations: Vec<Destination> = stores
        .into_iter()
        .zip(&goals)
        .map(|(store, goal)| Destination {
            store,
            is_new: goal.found.iter().all(|found| *found == Presence::Absent),
            is_source: request.base.as_ref().is_some_and(|base| base.name() == goal.reference.name()),
            ledger: Ledger::default(),
        })
        .collect();
    let pending: Vec<Vec<Option<&str>>> = goals.iter().map(|goal| goal.pending(&delivery, &built.root)).collect();
    let wanting: Vec<usize> = (0..goals.len()).filter(|&position| !pending[position].is_empty()).collect();
    deliver(context, request, &base, &built, layers::into_store(made, &built), &destinations, &wanting).await?;
    if !request.dry_run {
        promote::write_tags(&destinations, &pending, &built.root).await?;
    }
    context.progress.finish();
    Ok(outcome(context, &delivery, base, &built, (&goals, &destinations, &pending)))
}

/// The part of the request that is about destinations.
fn delivery(request: &Request) -> Result<promote::Request> {
    let first = request.destinations.first().ok_or_else(|| Error::Usage("no destination".to_owned()))?;
    Ok(promote::Request {
        // Blobs may be mounted from the base's repository; an empty base has none.
        source: request.base.clone().unwrap_or_else(|| first.clone()),
        destinations: request.destinations.clone(),
        tags: request.tags.clone(),
        platforms: Vec::new(),
        if_exists: request.if_exists,
        expect_digest: None,
        check_tag: false,
        repair: false,
        include_foreign: false,
        dry_run: request.dry_run,
    })
}

/// Brings all content, and the children of an index, to those of the destinations that want them.
async fn deliver(
    context: &Context,
    request: &Request,
    base: &Base,
    built: &Built,
    made: Made,
    destinations: &[Destination],
    wanting: &[usize],
) -> Result<()> {
    if wanting.is_empty() {
        return Ok(());
    }
    let options = CopyOptions {
        include_foreign: false,
        repair: false,
        dry_run: request.dry_run,
        retries: context.client.options().retries,
        jobs: context.client.options().jobs,
    };
    // A layer that is made while it is sent takes all cores already: no more than two large ones at once.
    let made = Store::Made(made);
    let own = Copy::new(&made, destinations, CopyOptions { jobs: 2, ..options }, &context.progress);
    let inherited = async {
        let Some(store) = &base.store else { return Ok(()) };
        let (at_home, away): (Vec<usize>, Vec<usize>) =
            wanting.iter().partition(|position| destinations[**position].is_source);
        for layer in &built.inherited {
            let action = if layer.is_foreign() { Action::Foreign } else { Action::Present };
            for position in &at_home {
                destinations[*position].ledger.blob(layer, action, std::time::Duration::ZERO);
            }
        }
        let copy = Copy::new(store, destinations, options, &context.progress);
        copy.blobs(built.inherited.clone(), &away).await
    };
    tokio::try_join!(inherited, own.blobs(built.own(), wanting))?;
    let children = wanting.iter().flat_map(|&position| built.children.iter().map(move |child| (position, child)));
    try_join_all(children.map(|(position, child)| async move {
        let destination = &destinations[position];
        let there =
            !destination.is_new && matches!(destination.store.head(child.digest.as_str()).await?, Presence::Present(_));
        if !there && !request.dry_run {
            destination.store.put_manifest(child).await?;
        }
        destination.ledger.manifest(child, 1, if there { Action::Present } else { Action::Sent });
        Ok::<_, Error>(())
    }))
    .await
    .map(drop)
}

type Delivered<'a> = (&'a [Goal], &'a [Destination], &'a [Vec<Option<&'a str>>]);

fn outcome(
    context: &Context,
    delivery: &promote::Request,
    base: Base,
    built: &Built,
    (goals, destinations, pending): Delivered<'_>,
) -> Outcome {
    let mut outcome = Outcome {
        schema_version: 1,
        step: "append",
        dry_run: delivery.dry_run,
        source: None,
        base: base.described,
        digest: built.root.digest.clone(),
        media_type: built.root.media_type.clone(),
        size: built.root.size(),
        platforms: built
            .platforms
            .iter()
            .map(|(platform, digest)| PlatformImage { platform: platform.to_string(), digest: digest.clone() })
            .collect(),
        images: built.children.iter().map(|child| child.digest.clone()).collect(),
        destinations: Vec::new(),
        totals: Totals::default(),
        warnings: base.warnings,
    };
    for ((goal, destination), pending) in goals.iter().zip(destinations).zip(pending) {
        outcome.destinations.push(promote::told(delivery, goal, destination, pending, &built.root));
    }
    if let Some(first) = outcome.destinations.first() {
        outcome.digest = first.digest.clone();
    }
    outcome.totals = promote::totals(context, delivery, &outcome);
    outcome
}

/// A descriptor of bytes that are here.
fn descriptor_of(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
}
