//! Reading what a reference names: the manifest, and the little that is asked about it.

use futures_util::future::join_all;

use super::missing;
use crate::error::{Error, ErrorKind, GuardKind, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, Manifest};
use crate::image::media_type::{self, Kind};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::registry::ConnectionKind;
use crate::registry::manifests::{ManifestQuery, Presence};
use crate::registry::repository::Repository;
use crate::report::outcome::{PlatformImage, SourceReport};
use crate::text::printable;
use crate::transfer::store::Store;
use crate::transfer::verified::read_whole;

/// So many requests to each place follow the first answers, most often: an index has some eight children, an image some
/// eight blobs.
const FIRST_WAVE: usize = 8;

/// To tell the platforms of an image, no more indexes in its index are looked into.
const INDEXES_LIMIT: usize = 64;

/// An image config is no larger.
const CONFIG_LIMIT: u64 = 8 * 1024 * 1024;

/// What `reference` is asked for by: its digest, its tag, or nothing (a layout that means one by itself).
fn asked(reference: &Reference) -> Option<&str> {
    reference.digest().map(Digest::as_str).or(reference.tag())
}

async fn missing(reference: &Reference, store: &Store) -> Error {
    let answer = match store {
        Store::Registry(repository) => missing::in_registry(reference, repository).await,
        Store::Layout(..) | Store::Generated(_) => match reference {
            Reference::Layout(layout) if !layout.directory.is_dir() => {
                format!("there is no folder {}", printable(&layout.directory.to_string_lossy(), 300))
            }
            _ => "there is no such image in that layout".to_owned(),
        },
    };
    Error::from(ErrorKind::SourceMissing { reference: reference.to_string(), answer })
}

/// As [`missing()`]; of a layout that names the image, but lacks its manifest, it says that.
async fn missing_in(reference: &Reference, store: &Store) -> Error {
    let named = match store {
        Store::Layout(layout, _) => layout.resolve(reference.tag()).await.ok().flatten(),
        Store::Registry(_) | Store::Generated(_) => None,
    };
    match named.filter(|_| reference.digest().is_none()) {
        Some(named) => Error::from(ErrorKind::SourceMissing {
            reference: reference.to_string(),
            answer: format!("its index.json lists {}, but the layout has no such manifest", named.digest),
        }),
        None => missing(reference, store).await,
    }
}

/// What to say where a layout knows an image by SHA-512: it is written under its SHA-256, by which every registry knows
/// it. Who wants the other name too asks for it by that.
///
/// # Errors
/// The layout can't be read.
pub async fn other_name(reference: &Reference, store: &Store, digest: &Digest) -> Result<Option<String>> {
    let Store::Layout(layout, _) = store else { return Ok(None) };
    if reference.digest().is_some() {
        return Ok(None);
    }
    let named = layout.resolve(reference.tag()).await?.map(|entry| entry.digest).filter(|named| named != digest);
    Ok(named.filter(|named| named.algorithm() != digest.algorithm()).map(|named| {
        let name = reference.name();
        format!("{reference} is {named} in its layout; it is written as {digest}, which is the same bytes. {name}@{named} keeps that name where the registry can")
    }))
}

/// Opens connections to the places that will be asked most, while the first answers are on their way, for what is `load`
/// mostly; within one registry blobs are mounted, which is light. Those of a step that finds nothing to do are opened in
/// vain: a few, against a round trip (with TLS two) of every other step.
pub async fn expect_first_wave(stores: impl IntoIterator<Item = &Store>, load: ConnectionKind) {
    let mut hosts: Vec<(&Repository, usize)> = Vec::new();
    for repository in stores.into_iter().filter_map(Store::repository) {
        let authority = repository.host().authority();
        match hosts.iter_mut().find(|(known, _)| known.host().authority() == authority) {
            Some((_, count)) => *count += FIRST_WAVE,
            None => hosts.push((repository, FIRST_WAVE)),
        }
    }
    let opening = hosts.into_iter().map(|(repository, count)| {
        let load = if count > FIRST_WAVE { ConnectionKind::Shared } else { load };
        repository.expect_requests(count, load)
    });
    join_all(opening).await;
}

/// The manifest that `reference` names.
///
/// # Errors
/// There is none (`ErrorKind::SourceMissing`), or it can't be read.
pub async fn read(reference: &Reference, store: &Store) -> Result<Manifest> {
    read_expecting(reference, store, None).await
}

/// As [`read`]; the `expected` digest vouches for a manifest of an unknown type, if it is that.
///
/// # Errors
/// As [`read`].
pub async fn read_expecting(reference: &Reference, store: &Store, expected: Option<&Digest>) -> Result<Manifest> {
    let known = ManifestQuery { expected, child: None };
    let Some(mut manifest) = store.manifest_as(asked(reference), known).await? else {
        return Err(missing_in(reference, store).await);
    };
    if let Some(digest) = reference.digest() {
        // Called by the digest by which the user knows it, whatever its algorithm.
        manifest.digest = digest.clone();
    }
    Ok(manifest)
}

/// The digest that `reference` names, without reading the manifest where that can be had.
///
/// # Errors
/// There is none, or it can't be asked.
pub async fn resolve(reference: &Reference, store: &Store) -> Result<Digest> {
    let Some(asked) = asked(reference) else { return read(reference, store).await.map(|manifest| manifest.digest) };
    match store.head(asked).await? {
        Presence::Present(descriptor) => Ok(descriptor.digest),
        Presence::Absent => Err(missing(reference, store).await),
        // A refusal of HEAD says nothing; that of GET says why.
        Presence::Unknown => read(reference, store).await.map(|manifest| manifest.digest),
    }
}

/// Checks that the tag of a reference with tag and digest names that digest.
///
/// # Errors
/// It doesn't (`ErrorKind::Guard`).
pub async fn check_tag(reference: &Reference, store: &Store) -> Result<()> {
    let (Some(tag), Some(digest)) = (reference.tag(), reference.digest()) else { return Ok(()) };
    match store.head(tag).await? {
        Presence::Present(found) if found.digest == *digest => Ok(()),
        Presence::Present(found) => Err(Error::guard(
            GuardKind::TagMoved,
            format!("the tag of {reference} now points to {}, not to the digest in the reference", found.digest),
        )
        .with_hint("leave out the tag to copy the digest anyway")),
        Presence::Absent | Presence::Unknown => Err(Error::guard(
            GuardKind::TagMoved,
            format!("the tag of {reference} does not exist, so its digest can't be checked against it"),
        )),
    }
}

/// The report's entry for what was read.
pub fn described(reference: &Reference, manifest: &Manifest) -> SourceReport {
    SourceReport {
        reference: reference.to_string(),
        name: reference.name(),
        digest: manifest.digest.clone(),
        media_type: manifest.media_type.clone(),
    }
}

/// The bytes of a small blob, all of them checked.
///
/// # Errors
/// It is larger than 8 MiB, can't be read, or doesn't have its digest.
pub async fn read_config(store: &Store, config: &Descriptor) -> Result<Vec<u8>> {
    if config.size > CONFIG_LIMIT {
        let reason = format!("a config of {} bytes is larger than the limit of {CONFIG_LIMIT}", config.size);
        return Err(Error::malformed(format!("blob {} of {}", config.digest, store.name()), reason));
    }
    let _room = match store {
        Store::Registry(repository) => Some(repository.host().permits(1).await?),
        Store::Layout(..) | Store::Generated(_) => None,
    };
    // A config is no layer: whatever it calls itself, it is read where it belongs and nowhere else.
    let config = &Descriptor { urls: Vec::new(), ..config.clone() };
    read_whole(store, config).await
}

/// The platform that an image's config says; `None` where it says none (an artifact).
///
/// # Errors
/// The config can't be read.
pub async fn platform_of(store: &Store, config: &Descriptor) -> Result<Option<Platform>> {
    read_config(store, config).await.map(|bytes| platform_in(&bytes))
}

/// The platform that the bytes of a config say.
pub fn platform_in(config: &[u8]) -> Option<Platform> {
    let platform: Option<Platform> = serde_json::from_slice(config).ok();
    platform.filter(|platform| !platform.os.is_empty() && !platform.architecture.is_empty())
}

/// The platforms of an index, in its order, as the report tells them.
pub fn platforms_of_index(manifests: &[Descriptor]) -> Vec<PlatformImage> {
    let named = |child: &Descriptor| child.platform.clone().filter(|_| !child.is_attestation());
    manifests
        .iter()
        .filter_map(|child| named(child).map(|platform| (platform, child)))
        .map(|(platform, child)| PlatformImage {
            platform: platform.to_string(),
            digest: child.digest.clone(),
            size: None,
        })
        .collect()
}

/// The platforms of an index and of those in it, as the report tells them. An index in it is read where its children are
/// not `known`.
///
/// # Errors
/// One of them can't be read, or is not well formed.
pub async fn platforms_below(
    store: &Store,
    index: &Manifest,
    known: impl Fn(&Digest) -> Option<Vec<Descriptor>>,
) -> Result<Vec<PlatformImage>> {
    let mut found = Vec::new();
    // What is to be looked at, the next one last.
    let mut waiting = children(index)?;
    waiting.reverse();
    let mut looked_into = 0;
    while let Some(child) = waiting.pop() {
        let is_index = media_type::kind(&child.media_type) == Kind::Index && looked_into < INDEXES_LIMIT;
        let mut nested = known(&child.digest).filter(|_| is_index);
        if is_index && nested.is_none() {
            nested = store.child(&child).await?.map(|index| children(&index)).transpose()?;
        }
        match nested {
            Some(nested) => {
                looked_into += 1;
                waiting.extend(nested.into_iter().rev());
            }
            None => found.extend(platforms_of_index(std::slice::from_ref(&child))),
        }
    }
    Ok(found)
}

/// The children of an index; none of anything else.
///
/// # Errors
/// The manifest is not well formed.
pub fn children(manifest: &Manifest) -> Result<Vec<Descriptor>> {
    Ok(match manifest.content()? {
        Content::Index { manifests } => manifests,
        _ => Vec::new(),
    })
}
