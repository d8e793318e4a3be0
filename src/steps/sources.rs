//! Reads the manifest that a reference points to, and the few facts about it that steps need.

use super::missing;
use crate::error::{Error, ErrorKind, GuardKind, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, Manifest};
use crate::image::media_type::{self, Kind};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::registry::manifests::{ManifestQuery, Presence};
use crate::report::outcome::{PlatformImage, SourceReport};
use crate::text::printable;
use crate::transfer::store::Store;
use crate::transfer::verified::read_whole;

/// Maximum number of indexes in an index that are read to list the platforms.
const INDEXES_LIMIT: usize = 64;

/// Maximum size of an image's config, in bytes.
const CONFIG_LIMIT: u64 = 8 * 1024 * 1024;

/// What `reference` is looked up by: its digest, its tag, or nothing (the only image of a layout).
fn lookup_key(reference: &Reference) -> Option<&str> {
    reference.digest().map(Digest::as_str).or(reference.tag())
}

async fn missing(reference: &Reference, store: &Store) -> Error {
    let answer = match store {
        Store::Registry(repository) => missing::in_registry(reference, repository).await,
        Store::Layout(_) => match reference {
            Reference::Layout(layout) if !layout.directory.is_dir() => {
                format!("there is no folder {}", printable(&layout.directory.to_string_lossy(), 300))
            }
            _ => "there is no such image in that layout".to_owned(),
        },
    };
    Error::from(ErrorKind::SourceMissing { reference: reference.to_string(), answer })
}

/// As [`missing()`]; for a layout that lists the image but lacks its manifest, the error says so.
async fn missing_manifest(reference: &Reference, store: &Store) -> Error {
    let listed = match store {
        Store::Layout(layout) => layout.resolve(reference.tag()).await.ok().flatten(),
        Store::Registry(_) => None,
    };
    match listed.filter(|_| reference.digest().is_none()) {
        Some(listed) => Error::from(ErrorKind::SourceMissing {
            reference: reference.to_string(),
            answer: format!("its index.json lists {}, but the layout has no such manifest", listed.digest),
        }),
        None => missing(reference, store).await,
    }
}

/// A warning about an image whose layout lists it by SHA-512: it is written by its SHA-256, which every registry knows.
///
/// # Errors
/// The layout can't be read.
pub(crate) async fn other_name(reference: &Reference, store: &Store, digest: &Digest) -> Result<Option<String>> {
    let Store::Layout(layout) = store else { return Ok(None) };
    if reference.digest().is_some() {
        return Ok(None);
    }
    let named = layout.resolve(reference.tag()).await?.map(|entry| entry.digest).filter(|named| named != digest);
    Ok(named.filter(|named| named.algorithm() != digest.algorithm()).map(|named| {
        let name = reference.name();
        format!("{reference} is {named} in its layout; it is written as {digest}, which is the same bytes. {name}@{named} keeps that name where the registry can")
    }))
}

/// The manifest that `reference` points to.
///
/// # Errors
/// There is none (`ErrorKind::SourceMissing`), or it can't be read.
pub(crate) async fn read(reference: &Reference, store: &Store) -> Result<Manifest> {
    read_expecting(reference, store, None).await
}

/// As [`read`]; if it matches the `expected` digest, a manifest of an unknown type is accepted.
///
/// # Errors
/// As [`read`].
pub(crate) async fn read_expecting(
    reference: &Reference,
    store: &Store,
    expected: Option<&Digest>,
) -> Result<Manifest> {
    let query = ManifestQuery { expected, child: None };
    let Some(mut manifest) = store.manifest_as(lookup_key(reference), query).await? else {
        return Err(missing_manifest(reference, store).await);
    };
    if let Some(digest) = reference.digest() {
        // It keeps the digest by which the user knows it, whatever the algorithm.
        manifest.digest = digest.clone();
    }
    Ok(manifest)
}

/// The digest that `reference` points to, without reading the manifest if the registry answers that.
///
/// # Errors
/// There is none, or the registry can't be asked.
pub(crate) async fn resolve(reference: &Reference, store: &Store) -> Result<Digest> {
    let Some(key) = lookup_key(reference) else { return read(reference, store).await.map(|manifest| manifest.digest) };
    match store.head(key).await? {
        Presence::Present(descriptor) => Ok(descriptor.digest),
        Presence::Absent => Err(missing(reference, store).await),
        // A refused HEAD has no reason in it; a refused GET has.
        Presence::Unknown => read(reference, store).await.map(|manifest| manifest.digest),
    }
}

/// Checks that the tag of a reference with tag and digest points to that digest.
///
/// # Errors
/// It doesn't (`ErrorKind::Guard`).
pub(crate) async fn check_tag(reference: &Reference, store: &Store) -> Result<()> {
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
pub(crate) fn described(reference: &Reference, manifest: &Manifest) -> SourceReport {
    SourceReport {
        reference: reference.to_string(),
        name: reference.name(),
        digest: manifest.digest.clone(),
        media_type: manifest.media_type.clone(),
    }
}

/// The bytes of a config, all of them checked.
///
/// # Errors
/// It is larger than 8 MiB, can't be read, or doesn't match its digest.
pub(crate) async fn read_config(store: &Store, config: &Descriptor) -> Result<Vec<u8>> {
    if config.size > CONFIG_LIMIT {
        let reason = format!("a config of {} bytes is larger than the limit of {CONFIG_LIMIT}", config.size);
        return Err(Error::malformed(format!("blob {} of {}", config.digest, store.name()), reason));
    }
    // Whatever its descriptor says, a config isn't a foreign layer: it is read from its repository and nowhere else.
    let config = &Descriptor { urls: Vec::new(), ..config.clone() };
    read_whole(store, config).await
}

/// The config of an image; `None` for anything that isn't an image.
///
/// # Errors
/// The manifest is malformed.
pub(crate) fn image_config(manifest: &Manifest) -> Result<Option<Descriptor>> {
    Ok(match manifest.content()? {
        Content::Image { config, .. } if media_type::is_image_config(&config.media_type) => Some(*config),
        _ => None,
    })
}

/// The platform of an image, by its config; `None` for anything that isn't an image, or doesn't state its platform.
///
/// # Errors
/// The config can't be read.
pub(crate) async fn own_platform(store: &Store, manifest: &Manifest) -> Result<Option<Platform>> {
    match image_config(manifest)? {
        Some(config) => platform_of(store, &config).await,
        None => Ok(None),
    }
}

/// The platform in a config; `None` if it has none (as for an artifact).
///
/// # Errors
/// The config can't be read.
pub(crate) async fn platform_of(store: &Store, config: &Descriptor) -> Result<Option<Platform>> {
    read_config(store, config).await.map(|bytes| platform_in(&bytes))
}

/// The platform in the bytes of a config.
pub(crate) fn platform_in(config: &[u8]) -> Option<Platform> {
    let platform: Option<Platform> = serde_json::from_slice(config).ok();
    platform.filter(|platform| !platform.os.is_empty() && !platform.architecture.is_empty())
}

/// The report's entry for the image of a platform. Its size is added when it is known.
pub(crate) fn platform_image(platform: &Platform, digest: &Digest) -> PlatformImage {
    PlatformImage { platform: platform.to_string(), digest: digest.clone(), size: None }
}

/// The report's entries for the platforms of an index, in its order.
pub(crate) fn platforms_of_index(manifests: &[Descriptor]) -> Vec<PlatformImage> {
    let images = manifests.iter().filter(|child| !child.is_attestation());
    images.filter_map(|child| Some(platform_image(child.platform.as_ref()?, &child.digest))).collect()
}

/// The report's entries for the platforms of an index and of the indexes in it, which are read if their children aren't
/// `known`.
///
/// # Errors
/// One of them can't be read, or is malformed.
pub(crate) async fn platforms_below(
    store: &Store,
    index: &Manifest,
    known: impl Fn(&Digest) -> Option<Vec<Descriptor>>,
) -> Result<Vec<PlatformImage>> {
    let mut found = Vec::new();
    // What is still to be read, the next one last.
    let mut waiting = children(index)?;
    waiting.reverse();
    let mut nested_count = 0;
    while let Some(child) = waiting.pop() {
        let is_index = media_type::kind(&child.media_type) == Kind::Index && nested_count < INDEXES_LIMIT;
        let mut nested = known(&child.digest).filter(|_| is_index);
        if is_index && nested.is_none() {
            nested = store.child(&child).await?.map(|index| children(&index)).transpose()?;
        }
        match nested {
            Some(nested) => {
                nested_count += 1;
                waiting.extend(nested.into_iter().rev());
            }
            None => found.extend(platforms_of_index(std::slice::from_ref(&child))),
        }
    }
    Ok(found)
}

/// The children of an index; none for anything else.
///
/// # Errors
/// The manifest is malformed.
pub(crate) fn children(manifest: &Manifest) -> Result<Vec<Descriptor>> {
    Ok(match manifest.content()? {
        Content::Index { manifests } => manifests,
        _ => Vec::new(),
    })
}
