//! `append`: puts files on top of a base as reproducible layers and sets its config, for every platform at once.
//!
//! The base is read and the destinations are asked at once. Layers are made; a large one is sent while it is made, to
//! destinations that most likely lack it. When all is made the guards are asked, and only then anything gets a name. Base
//! layers are mounted or copied, to where they are certain to be needed before all else is known. Children are written
//! before their index, tags last.

mod base;
mod base_layers;
mod build;
mod entrypoint;
mod layers;
mod remote_layers;

use std::sync::Arc;

use futures_util::future::try_join_all;

use self::base::Base;
use self::base_layers::BaseLayers;
use self::build::Built;
use self::layers::{AppendContext, Layer};
use super::context::Context;
use super::goals::{self, Goal, IfExists, Terms};
use super::telling::{self, Work};
use crate::error::{Error, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::format::Format;
use crate::image::overrides::PlatformChanges;
use crate::image::platform::Platform;
use crate::image::reference::{DEFAULT_TAG, Reference};
use crate::layer::compress::Compression;
use crate::layer::credential_paths::CredentialPaths;
use crate::layer::spec::LayerSpec;
use crate::registry::ConnectionKind;
use crate::registry::manifests::Presence;
use crate::report::outcome::{Action, Outcome, PlatformImage};
use crate::transfer::copy::Copy;
use crate::transfer::destination::Destination;
use crate::transfer::options::{CopyOptions, LargeBlobSlots};
use crate::transfer::store::Store;
use crate::transfer::transfer_log::TransferLog;

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
    /// Where logins come from: none of it goes into a layer.
    pub logins: CredentialPaths,
    /// How layers are compressed.
    pub compression: Compression,
    /// The time of every file, in seconds since 1970.
    pub mtime: u64,
    /// The time at which images were made that are given none, in RFC 3339.
    pub created: String,
    /// What changes in the configs and manifests. The annotations for every platform stand on the index too.
    pub changes: PlatformChanges,
    /// The vocabulary of the result; the base's if none is said.
    pub format: Option<Format>,
    /// What to do with a tag that names something else.
    pub if_exists: IfExists,
    /// Whether programs for other architectures are let through.
    pub allow_foreign_binaries: bool,
    /// Whether the program that an image starts with must be in it; where nothing is said, on scratch alone.
    pub check_entrypoint: Option<bool>,
    /// Whether to say what would be done, and do nothing.
    pub dry_run: bool,
}

/// Carries it out.
///
/// # Errors
/// As [`Error`] says; then no tag was moved, except where some of several tags were written before one failed, which
/// the error names.
pub async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let terms = Terms { if_exists: request.if_exists, dry_run: request.dry_run };
    let first = request.destinations.first().ok_or_else(|| Error::usage("no destination"))?;
    // Blobs may be mounted from the base's repository; an empty base has none.
    let source = request.base.as_ref().unwrap_or(first);
    let mut goals = goals::goals(&request.destinations, &request.tags);
    let stores = goals::open(context, &goals, source, request.dry_run).await?;
    let first_layer = layers::begin_first(request);
    let (found, mut base) = tokio::try_join!(goals::ask(&goals, &stores, None), Base::open(context, request))?;
    for (goal, found) in goals.iter_mut().zip(found) {
        goal.found = found;
    }
    base.warnings.extend(onto_itself(request, &goals));
    let ledgers: Vec<Arc<TransferLog>> = goals.iter().map(|_| Arc::default()).collect();
    let destinations = goals::destinations(&goals, stores, source, &ledgers);
    expect_transfers(&base, &destinations, request.dry_run).await?;
    let route = AppendContext { context, request, goals: &goals, destinations: &destinations };
    let made = layers::make(&route, &base, first_layer).await?;
    if !request.allow_foreign_binaries {
        layers::check_programs(request, &base, &made)?;
    }
    base.warnings.extend(layers::through_links(request, &base, &made));
    entrypoint::check_given(request, &base, &made)?;
    let inherited = BaseLayers::new(&route, &base)?;
    let early = base_layers::certain(&route);
    let ((), Ready { built, pending, warnings }) =
        tokio::try_join!(inherited.bring(&early), complete(&route, &base, made, &inherited, &early))?;
    base.warnings.extend(warnings);
    let wanting = wanting(&pending);
    write_children(&route, &built, &wanting).await?;
    if !request.dry_run {
        goals::write_tags(&destinations, &pending, &built.root).await?;
    }
    let platform = |(platform, digest): &(Platform, Digest)| PlatformImage {
        platform: platform.to_string(),
        digest: digest.clone(),
        size: None,
    };
    let work = Work {
        step: "append",
        source: None,
        result: &built.root,
        platforms: built.platforms.iter().map(platform).collect(),
        goals: &goals,
        destinations: &destinations,
        pending: &pending,
        warnings: base.warnings,
    };
    Ok(Outcome { base: base.described, ..telling::outcome(context, terms, work)? })
}

/// A word where the result takes the name of its base: the same command then puts the layers on once more.
fn onto_itself(request: &Request, goals: &[Goal]) -> Option<String> {
    let base = request.base.as_ref().filter(|base| base.digest().is_none() && !request.layers.is_empty())?;
    let tag = base.tag().unwrap_or(DEFAULT_TAG);
    let is_same = |goal: &Goal| {
        goal.reference.name() == base.name() && goal.tags.iter().any(|own| own.as_deref().unwrap_or(DEFAULT_TAG) == tag)
    };
    goals.iter().any(is_same).then(|| {
        format!(
            "{base} is the base and the destination: run again, this puts the layers on top of themselves; write to another tag, or name the base by its digest"
        )
    })
}

/// Opens connections for the blobs of the base, while the layers are made.
async fn expect_transfers(base: &Base, destinations: &[Destination], dry_run: bool) -> Result<()> {
    let Some(source) = base.store.as_ref().filter(|_| !dry_run) else { return Ok(()) };
    let blobs = base.layers()?.len();
    for destination in destinations.iter().filter(|destination| destination.is_new) {
        let inherits = if destination.is_source { 0 } else { blobs };
        let mounts = destination.store.repository().is_some_and(|repository| repository.mount_from().is_some());
        let load = if mounts { ConnectionKind::Shared } else { ConnectionKind::Dedicated };
        destination.store.expect_requests(inherits + 2 * base.images.len(), load).await;
        if inherits > 0 && !mounts {
            source.expect_requests(blobs, ConnectionKind::Dedicated).await;
        }
    }
    Ok(())
}

/// A result whose content is at the destinations that want it.
struct Ready<'a> {
    built: Built,
    /// The tags to be written, for each destination.
    pending: Vec<Vec<Option<&'a str>>>,
    warnings: Vec<String>,
}

/// The positions of the destinations that have something to be written.
fn wanting(pending: &[Vec<Option<&str>>]) -> Vec<usize> {
    (0..pending.len()).filter(|&position| !pending[position].is_empty()).collect()
}

/// Builds the images, asks the guards, and brings all blobs to the destinations that want the result, but for the base's
/// layers where they were brought `early`.
async fn complete<'a>(
    route: &AppendContext<'a>,
    base: &Base,
    mut made: Vec<Layer>,
    inherited: &BaseLayers<'_>,
    early: &[usize],
) -> Result<Ready<'a>> {
    let AppendContext { context, request, goals, destinations } = *route;
    let terms = Terms { if_exists: request.if_exists, dry_run: request.dry_run };
    let built = build::build(request, base, &base.configs().await?, &made)?;
    let warnings = entrypoint::check(request, base, &built, &made).await?;
    goals::check(terms, goals, &built.root)?;
    let pending: Vec<Vec<Option<&str>>> = goals.iter().map(|goal| goal.pending(terms, &built.root)).collect();
    let wanting = wanting(&pending);
    let placed = layers::commit(route, &mut made, &built, &wanting).await?;
    let made = Store::Generated(layers::into_store(made, &built));
    // A layer that is made while it is sent takes all cores already: no more than two large ones at once.
    let options = CopyOptions { bulk: LargeBlobSlots::at_once(2), ..context.copy_options(request.dry_run) };
    let own = Copy::new(&made, destinations, options, &context.progress).with_placed(&placed);
    let late: Vec<usize> = wanting.iter().copied().filter(|position| !early.contains(position)).collect();
    tokio::try_join!(inherited.bring(&late), own.blobs(built.own(), &wanting))?;
    Ok(Ready { built, pending, warnings })
}

/// Writes the children of an index, by digest, to the destinations at `wanting`.
async fn write_children(route: &AppendContext<'_>, built: &Built, wanting: &[usize]) -> Result<()> {
    let AppendContext { request, destinations, .. } = *route;
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

/// A descriptor of bytes that are here.
fn descriptor_of(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
}
