//! `promote`: copies an image, whole and byte for byte, to one or more destinations.
//!
//! The source is read and the destinations are asked at once. Where a destination's tags name the result already,
//! nothing is sent. Otherwise all content goes to all destinations first, by digest; then the tags are written.

use std::sync::Arc;

use super::context::Context;
pub use super::goals::IfExists;
use super::goals::{self, Goal, Terms};
use super::telling::{self, Work};
use super::{platforms, source};
use crate::error::{Error, ErrorKind, GuardKind, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, Manifest};
use crate::image::media_type;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::registry::ConnectionKind;
use crate::registry::manifests::Presence;
use crate::report::outcome::{Outcome, PlatformImage};
use crate::transfer::copy::Copy;
use crate::transfer::destination::Destination;
use crate::transfer::options::CopyOptions;
use crate::transfer::store::Store;
use crate::transfer::transfer_log::TransferLog;

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
    /// What the words themselves give cause to say.
    pub remarks: Vec<String>,
}

/// Carries a promotion out.
///
/// # Errors
/// As [`Error`] says; then no tag was moved, except where some of several tags were written before one failed, which
/// the error names.
pub async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let store = context.source(&request.source).await?;
    let terms = Terms { if_exists: request.if_exists, dry_run: request.dry_run };
    let mut goals = goals::goals(&request.destinations, &request.tags);
    let stores = goals::open(context, &goals, &request.source, request.dry_run).await?;
    source::expect_first_wave(stores.iter().filter(|_| !request.dry_run).chain([&store]), ConnectionKind::Dedicated)
        .await;
    let root = read_and_ask(request, &store, &stores, &mut goals).await?;
    let described = source::described(&request.source, &root);
    check_source(request, &store, &root).await?;
    let chosen = platforms::choose(&store, root, &request.platforms).await?;
    let result = chosen.manifest;
    goals::check(terms, &goals, &result)?;
    let ledgers: Vec<Arc<TransferLog>> = goals.iter().map(|_| Arc::default()).collect();
    let destinations = goals::destinations(&goals, stores, &request.source, &ledgers);
    let mut pending: Vec<Vec<Option<&str>>> = goals.iter().map(|goal| goal.pending(terms, &result)).collect();
    if request.repair {
        for ((goal, destination), pending) in goals.iter().zip(&destinations).zip(&mut pending) {
            // A layout's index may name a manifest whose file is broken or gone: its tags are written again.
            if pending.is_empty() && goal.names(&result) && !destination.store.holds_manifest(&result.digest).await? {
                *pending = goal.tags.iter().map(Option::as_deref).collect();
            }
        }
    }
    let wanting: Vec<usize> = (0..goals.len())
        .filter(|&position| {
            let writes = !pending[position].is_empty() && !destinations[position].is_source;
            // What a tag that is left alone names is not ours to repair.
            let repairs = request.repair && (!pending[position].is_empty() || goals[position].names(&result));
            writes || repairs
        })
        .collect();

    let options = CopyOptions {
        include_foreign: request.include_foreign,
        repair: request.repair,
        ..context.copy_options(request.dry_run)
    };
    let mut copy = Copy::new(&store, &destinations, options, &context.progress);
    let config = config_of(&result)?.filter(|_| !wanting.is_empty());
    if let Some(config) = &config {
        copy = copy.keeping(config);
    }
    copy.content_of(&result, &wanting).await?;
    let mut warnings: Vec<String> = request.remarks.iter().cloned().chain(chosen.warning).collect();
    warnings.extend(copy.warnings());
    warnings.extend(source::other_name(&request.source, &store, &described.digest).await?);
    let platforms = platforms_of(&store, &result, &destinations, config.as_ref(), copy.kept()).await?;
    if !request.dry_run {
        goals::write_tags(&destinations, &pending, &result).await?;
    }

    let work = Work {
        step: "promote",
        source: Some(described),
        result: &result,
        platforms,
        goals: &goals,
        destinations: &destinations,
        pending: &pending,
        warnings,
    };
    telling::outcome(context, terms, work)
}

/// Reads the source's manifest, and asks each destination what its tags name: at once, so that it takes one round trip.
async fn read_and_ask(request: &Request, store: &Store, stores: &[Store], goals: &mut [Goal]) -> Result<Manifest> {
    let counts_pulls = matches!(&request.source, Reference::Registry(reference) if reference.counts_pulls());
    let questions = goals::ask(goals, stores, request.expect_digest.as_ref());
    let (found, root) = if counts_pulls {
        // Each manifest that is read from there counts against a limit; to ask for its digest is free.
        let (found, digest) = tokio::try_join!(questions, source::resolve(&request.source, store))?;
        let there = |found: &Presence| matches!(found, Presence::Present(descriptor) if descriptor.digest == digest);
        let done = found.iter().all(|found| found.iter().all(there)) && !request.repair;
        let from = if done { stores.first().unwrap_or(store) } else { store };
        let manifest = from.manifest(Some(digest.as_str())).await?;
        (
            found,
            manifest.ok_or_else(|| {
                Error::from(ErrorKind::SourceMissing {
                    reference: request.source.to_string(),
                    answer: format!("its tag pointed to {digest} a moment ago, which does not exist"),
                })
            })?,
        )
    } else {
        // Both are waited for: that there is no source is worth more than what a destination has to say.
        let (found, root) =
            tokio::join!(questions, source::read_expecting(&request.source, store, request.expect_digest.as_ref()));
        let root = root?;
        (found?, root)
    };
    for (goal, found) in goals.iter_mut().zip(found) {
        goal.found = found;
    }
    Ok(root)
}

async fn check_source(request: &Request, store: &Store, root: &Manifest) -> Result<()> {
    if let Some(expected) = &request.expect_digest
        && !root.is(expected)
    {
        let text = format!("{} is {}, not {expected}; nothing was written", request.source, root.digest);
        let hint = "to copy what was approved, put that digest into SOURCE: NAME@DIGEST";
        return Err(Error::guard(GuardKind::DigestMismatch, text).with_hint(hint));
    }
    if request.check_tag {
        source::check_tag(&request.source, store).await?;
    }
    Ok(())
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
    destinations: &[Destination],
    config: Option<&Descriptor>,
    kept: Option<Vec<u8>>,
) -> Result<Vec<PlatformImage>> {
    let Some(config) = config else {
        let copied = |index: &Digest| destinations.iter().find_map(|place| place.ledger.children_of(index));
        return source::platforms_below(store, result, copied).await;
    };
    let platform = match kept {
        Some(bytes) => source::platform_in(&bytes),
        None => source::platform_of(store, config).await?,
    };
    let entry = |platform: Platform| PlatformImage {
        platform: platform.to_string(),
        digest: result.digest.clone(),
        size: None,
    };
    Ok(platform.map(entry).into_iter().collect())
}
