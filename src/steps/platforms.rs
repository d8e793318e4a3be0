//! Chooses platforms of an image: one platform gives that image, several give an index of just these.

use super::sources;
use crate::error::{Error, GuardKind, Result};
use crate::image::config::Changes;
use crate::image::descriptor::Descriptor;
use crate::image::manifest::{Content, Manifest};
use crate::image::media_type::{self, Kind};
use crate::image::overrides::{PlatformChanges, PlatformOverride};
use crate::image::platform::{Match, Platform};
use crate::transfer::manifest_limits::{ManifestTotals, check_nesting};
use crate::transfer::store::Store;

/// What was chosen from an image.
pub(crate) struct Selection {
    /// The manifest.
    pub manifest: Manifest,
    /// What a user should know about it.
    pub warning: Option<String>,
}

/// The part of `root` for the `wants`; all of it if there are none.
///
/// # Errors
/// A platform doesn't exist (`ErrorKind::Guard`, with a list of those that do), or fits several children.
pub(crate) async fn choose(store: &Store, root: Manifest, wants: &[Platform]) -> Result<Selection> {
    if wants.is_empty() {
        return Ok(Selection { manifest: root, warning: None });
    }
    match root.content()? {
        Content::Index { manifests } => choose_from_index(store, root, &manifests, wants).await,
        Content::Image { config, .. } => {
            let own = sources::platform_of(store, &config).await?;
            for want in wants {
                if own.as_ref().and_then(|own| own.satisfies(want)).is_none() {
                    return Err(missing(store, want, own.iter()));
                }
            }
            Ok(Selection { manifest: root, warning: None })
        }
        _ => Err(Error::guard(
            GuardKind::NotAnImage,
            format!(
                "{} ({}) of {} has no platforms",
                root.digest,
                crate::text::printable(&root.media_type, 120),
                store.name()
            ),
        )
        .with_hint("leave out --platform to copy it whole")),
    }
}

async fn choose_from_index(
    store: &Store,
    root: Manifest,
    children: &[Descriptor],
    wants: &[Platform],
) -> Result<Selection> {
    let raw = flatten_index(store, &root).await?;
    let is_flat = raw.len() == children.len();
    let children: Vec<Descriptor> = raw.iter().map(|(child, _)| child.clone()).collect();
    let mut keep = vec![false; children.len()];
    for want in wants {
        let matches = best_matches(&children, want);
        if matches.is_empty() {
            return Err(missing(store, want, images(&children).filter_map(|child| child.platform.as_ref())));
        }
        for position in matches {
            keep[position] = true;
        }
    }
    if wants.len() == 1 {
        return only_child(store, &root, &children, &keep, &wants[0]).await;
    }
    keep_attestations(&children, &mut keep);
    if is_flat && keep.iter().all(|kept| *kept) {
        return Ok(Selection { manifest: root, warning: None });
    }
    let chosen = raw.into_iter().zip(&keep).filter(|(_, kept)| **kept).map(|((_, raw), _)| raw).collect();
    let manifest = root.with_children(chosen)?;
    let warning = format!(
        "a new index holds just the chosen platforms: the digest changes from {} to {}, and signatures of the old digest don't cover it",
        root.digest, manifest.digest
    );
    Ok(Selection { manifest, warning: Some(warning) })
}

/// All children of an index, parsed and raw, with the children of an index in it in its place.
///
/// # Errors
/// An index can't be read, or indexes are nested too deep.
pub(crate) async fn flatten_index(store: &Store, index: &Manifest) -> Result<Vec<(Descriptor, serde_json::Value)>> {
    let mut found = Vec::new();
    gather(store, &ManifestTotals::default(), index, 0, &mut found).await?;
    Ok(found)
}

/// The images among these children of an index that fit the `wants`; all images if there are none.
///
/// # Errors
/// A platform doesn't exist (`ErrorKind::Guard`, with a list of those that do).
pub(crate) fn matching(store: &Store, children: &[Descriptor], wants: &[Platform]) -> Result<Vec<Descriptor>> {
    if wants.is_empty() {
        return Ok(images(children).cloned().collect());
    }
    let mut found = Vec::new();
    for want in wants {
        let matches = best_matches(children, want);
        if matches.is_empty() {
            return Err(missing(store, want, images(children).filter_map(|child| child.platform.as_ref())));
        }
        found.extend(matches.into_iter().map(|position| children[position].clone()));
    }
    Ok(found)
}

/// The changes of each image, by its platform. `whose` images these are is only for the error.
///
/// # Errors
/// Changes for a platform that no image has (`ErrorKind::Guard`): probably a typo.
pub(crate) fn changes_of_each(
    changes: &PlatformChanges,
    images: &[Option<&Platform>],
    whose: &str,
) -> Result<Vec<Changes>> {
    let mut changes_for = vec![Vec::new(); images.len()];
    for (position, PlatformOverride { platform, option, .. }) in changes.only.iter().enumerate() {
        let matches = best_of(images.iter().copied(), platform);
        if matches.is_empty() {
            let there = listed(images.iter().copied().flatten());
            let text = format!("{option}: {whose} no image for {platform}");
            return Err(Error::guard(GuardKind::NoSuchPlatform, text).with_hint(available(&there)));
        }
        for matched in matches {
            changes_for[matched].push(position);
        }
    }
    Ok(changes_for.iter().map(|positions| changes.merged(positions)).collect())
}

type BoxedGather<'w> = std::pin::Pin<Box<dyn Future<Output = Result<()>> + 'w>>;

fn gather<'w>(
    store: &'w Store,
    totals: &'w ManifestTotals,
    index: &'w Manifest,
    depth: usize,
    found: &'w mut Vec<(Descriptor, serde_json::Value)>,
) -> BoxedGather<'w> {
    Box::pin(async move {
        check_nesting(index, depth)?;
        let content = index.content()?;
        totals.count(index, &content)?;
        let Content::Index { manifests } = content else { return Ok(()) };
        for (child, raw) in manifests.into_iter().zip(index.raw_children()?) {
            let is_index = media_type::kind(&child.media_type) == Kind::Index;
            if is_index {
                totals.keep(&child)?;
            }
            let nested = if is_index { store.child(&child).await? } else { None };
            match nested {
                Some(nested) => gather(store, totals, &nested, depth + 1, found).await?,
                None => found.push((child, raw)),
            }
        }
        Ok(())
    })
}

/// Keeps the attestations of the chosen images.
fn keep_attestations(children: &[Descriptor], keep: &mut [bool]) {
    let chosen: Vec<String> =
        children.iter().zip(&*keep).filter(|(_, kept)| **kept).map(|(child, _)| child.digest.to_string()).collect();
    for (child, kept) in children.iter().zip(keep) {
        if child.attestation_of().is_some_and(|subject| chosen.iter().any(|digest| digest == subject)) {
            *kept = true;
        }
    }
}

/// The children that are images, not attestations.
fn images(children: &[Descriptor]) -> impl Iterator<Item = &Descriptor> {
    children.iter().filter(|child| !child.is_attestation())
}

/// The positions of the children that fit `want` best.
pub(super) fn best_matches(children: &[Descriptor], want: &Platform) -> Vec<usize> {
    best_of(children.iter().map(|child| child.platform.as_ref().filter(|_| !child.is_attestation())), want)
}

/// The positions of the platforms that fit `want` best.
fn best_of<'a>(platforms: impl Iterator<Item = Option<&'a Platform>>, want: &Platform) -> Vec<usize> {
    let matches: Vec<(usize, Match)> =
        platforms.enumerate().filter_map(|(position, platform)| Some((position, platform?.satisfies(want)?))).collect();
    let best = matches.iter().map(|(_, matched)| *matched).max();
    matches.into_iter().filter(|(_, matched)| Some(*matched) == best).map(|(position, _)| position).collect()
}

async fn only_child(
    store: &Store,
    root: &Manifest,
    children: &[Descriptor],
    keep: &[bool],
    want: &Platform,
) -> Result<Selection> {
    let mut chosen: Vec<&Descriptor> =
        children.iter().zip(keep).filter(|(_, kept)| **kept).map(|(child, _)| child).collect();
    chosen.dedup_by(|one, other| one.digest == other.digest);
    let [child] = chosen.as_slice() else {
        let names: Vec<String> =
            chosen.iter().filter_map(|child| child.platform.as_ref()).map(Platform::to_string).collect();
        return Err(Error::guard(
            GuardKind::AmbiguousPlatform,
            format!("{} has several images for {want}: {}", store.name(), names.join(", ")),
        )
        .with_hint("name one of them in full"));
    };
    let manifest = store.child(child).await?.ok_or_else(|| {
        let reason = format!("the manifest {} for {want} of its index {} is missing", child.digest, root.digest);
        Error::malformed(store.name(), reason)
    })?;
    Ok(Selection { manifest, warning: None })
}

pub(super) fn missing<'a>(store: &Store, want: &Platform, there: impl Iterator<Item = &'a Platform>) -> Error {
    let text = format!("{} has no image for {want}", store.name());
    Error::guard(GuardKind::NoSuchPlatform, text).with_hint(available(&listed(there)))
}

fn available(platforms: &str) -> String {
    format!("available platforms: {platforms}")
}

fn listed<'a>(platforms: impl Iterator<Item = &'a Platform>) -> String {
    let platforms: Vec<String> = platforms.map(Platform::to_string).collect();
    if platforms.is_empty() { "none".to_owned() } else { platforms.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    fn child(platform: &str) -> Descriptor {
        let mut child = Descriptor::new("", Digest::of(platform.as_bytes()), 1);
        child.platform = Some(platform.parse().unwrap());
        child
    }

    #[test]
    fn the_usual_variant_is_meant_and_another_will_do() {
        let children = [child("linux/arm/v6"), child("linux/arm/v7"), child("linux/amd64"), child("linux/s390x/z13")];
        let best = |want: &str| best_matches(&children, &want.parse().unwrap());
        assert_eq!(best("linux/arm"), [1]);
        assert_eq!(best("linux/arm/v6"), [0]);
        assert_eq!(best("linux/s390x"), [3]);
        assert!(best("linux/arm/v5").is_empty());
        assert!(best("windows/amd64").is_empty());
    }
}
