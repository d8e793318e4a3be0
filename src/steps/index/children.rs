//! The children of the new index: what each input contributes, for which platform, and what is left out or replaced.

use super::{Input, NamedInput, Removal, Request, Role};
use crate::error::{Error, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::index::{self, IndexChild};
use crate::image::media_type::{self, Kind};
use crate::image::platform::{Match, Platform};
use crate::image::reference::Reference;
use crate::steps::{platforms, sources};
use crate::transfer::store::Store;

/// The children that an input contributes: those of an index, or itself.
pub(super) async fn children_of(request: &Request, store: &Store, input: &Input) -> Result<Vec<IndexChild>> {
    let Input { reference, source, root, .. } = input;
    let mut children = Vec::new();
    if media_type::kind(&root.media_type) == Kind::Index {
        for (descriptor, raw) in platforms::flatten_index(store, root).await? {
            let child = IndexChild::from_raw(raw, reference.to_string(), *source)?;
            children.push(with_own_fields(request, store, &descriptor, child).await?);
        }
    } else {
        let platform = sources::own_platform(store, root).await?;
        children.push(IndexChild::of(root, platform.as_ref(), reference.to_string(), *source)?);
    }
    let name = (children.len() == 1 && children[0].descriptor.digest == root.digest).then_some(reference);
    let corrected = |child: IndexChild| match stated_by_user(request, name, &child.descriptor.digest) {
        Some(stated) => {
            let platform = completed(stated, child.descriptor.platform.as_ref());
            child.with_platform(&platform)
        }
        None => Ok(child),
    };
    children.into_iter().map(corrected).collect()
}

/// A child with its type and platform, taken from its own manifest and config if its index lacks them.
async fn with_own_fields(
    request: &Request,
    store: &Store,
    descriptor: &Descriptor,
    mut child: IndexChild,
) -> Result<IndexChild> {
    let needs_platform = descriptor.platform.is_none()
        && !descriptor.is_attestation()
        && stated_by_user(request, None, &descriptor.digest).is_none();
    let needs_type = descriptor.media_type.is_empty();
    if (needs_platform || needs_type)
        && media_type::kind(&descriptor.media_type) != Kind::Blob
        && let Some(manifest) = store.child(descriptor).await?
    {
        if needs_type {
            child = child.with_media_type(&manifest.media_type)?;
        }
        if needs_platform && let Some(platform) = sources::own_platform(store, &manifest).await? {
            child = child.with_platform(&platform)?;
        }
    }
    Ok(child)
}

/// The platform of a child as `--platform-of` states it.
fn stated_by_user<'r>(request: &'r Request, reference: Option<&Reference>, digest: &Digest) -> Option<&'r Platform> {
    let is_named = |named: &NamedInput| match named {
        NamedInput::Digest(named) => named == digest,
        NamedInput::Image(named) => Some(named) == reference || named.digest() == Some(digest),
    };
    request.platform_of.iter().rev().find(|(named, _)| is_named(named)).map(|(_, platform)| platform)
}

/// A platform as the user stated it. The version and the features of the operating system can't be stated; they stay if
/// it is the same one.
fn completed(stated: &Platform, own: Option<&Platform>) -> Platform {
    let mut platform = stated.clone();
    if let Some(own) = own.filter(|own| own.os == stated.os) {
        platform.os_version = platform.os_version.or_else(|| own.os_version.clone());
        platform.os_features.clone_from(&own.os_features);
    }
    platform
}

/// Checks that `--platform-of` names no child that isn't there.
pub(super) fn check_names(request: &Request, inputs: &[Input], gathered: &[Vec<IndexChild>]) -> Result<()> {
    let digests = || gathered.iter().flatten().map(|child| &child.descriptor.digest);
    for (named, _) in &request.platform_of {
        let (digest, text) = match named {
            NamedInput::Digest(digest) => (Some(digest), digest.to_string()),
            NamedInput::Image(reference) => {
                if let Some(input) = inputs.iter().find(|input| input.reference == *reference) {
                    if media_type::kind(&input.root.media_type) == Kind::Index {
                        let error = Error::usage(format!("--platform-of: {reference} is an index"));
                        return Err(error.with_hint("name one of its images by digest"));
                    }
                    continue;
                }
                (reference.digest(), reference.to_string())
            }
        };
        if !digest.is_some_and(|digest| digests().any(|other| other == digest)) {
            return Err(Error::usage(format!("--platform-of: {text} is not one of the images")));
        }
    }
    Ok(())
}

/// All children in order, without those that are removed or replaced.
pub(super) fn edited(
    request: &Request,
    inputs: &[Input],
    gathered: Vec<Vec<IndexChild>>,
    warnings: &mut Vec<String>,
) -> Vec<IndexChild> {
    let (mut old, mut added, mut replacing) = (Vec::new(), Vec::new(), Vec::new());
    for (input, children) in inputs.iter().zip(gathered) {
        match input.role {
            Role::From => old.extend(children),
            Role::Add => added.extend(children),
            Role::Replace => replacing.extend(children),
        }
    }
    // Without an index to start from, children can only be left out of the images.
    let removed_from = if request.from.is_some() { &mut old } else { &mut added };
    for removal in &request.remove {
        let is_removed = |child: &&IndexChild| match removal {
            Removal::Digest(digest) => child.descriptor.digest == *digest,
            Removal::Platform(removed) => {
                child.platform().is_some_and(|platform| platform.satisfies(removed) == Some(Match::Exact))
            }
        };
        let gone: Vec<Digest> =
            removed_from.iter().filter(is_removed).map(|child| child.descriptor.digest.clone()).collect();
        if gone.is_empty() {
            // Not an error: a second run finds nothing left to do.
            let what = match removal {
                Removal::Digest(digest) => digest.to_string(),
                Removal::Platform(platform) => platform.to_string(),
            };
            warnings.push(format!("--remove: the index has no {what}"));
        }
        *removed_from = index::without(std::mem::take(removed_from), &gone);
    }
    let is_replaced = |child: &&IndexChild| {
        replacing.iter().any(|new: &IndexChild| {
            let same = child.platform().zip(new.platform()).is_some_and(|(old, new)| old.is_same(new));
            same && child.descriptor.digest != new.descriptor.digest
        })
    };
    let gone: Vec<Digest> = old.iter().filter(is_replaced).map(|child| child.descriptor.digest.clone()).collect();
    old = index::without(old, &gone);
    old.extend(added);
    old.extend(replacing);
    index::ordered(old)
}
