//! The edits of `mutate`: configs and manifests, from the images up to the root.

use std::pin::Pin;

use futures_util::future::try_join_all;

use super::{Annotate, Request};
use crate::error::{Error, GuardKind, Result};
use crate::image::config::{Changes, Config};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::format::Format;
use crate::image::manifest::{Content, Manifest, describe};
use crate::image::media_type::{self, Kind};
use crate::image::overrides::PlatformChanges;
use crate::image::platform::Platform;
use crate::steps::{platforms, sources};
use crate::text::printable;
use crate::transfer::generated::GeneratedBlobs;
use crate::transfer::manifest_limits::{ManifestTotals, check_nesting};
use crate::transfer::store::Store;

/// A manifest with all edits in it and below it.
pub(super) struct Edited {
    /// The manifest.
    pub(super) manifest: Manifest,
    /// Manifests that were read or written on the way.
    pub(super) known: Vec<Manifest>,
    /// The new configs.
    pub(super) generated: GeneratedBlobs,
    /// The platform of a single image whose config was read.
    pub(super) platform: Option<Platform>,
    /// The number of images that were read, changed or not.
    images: usize,
    /// What a user should know.
    pub(super) warnings: Vec<String>,
}

impl Edited {
    /// A manifest without edits.
    fn of(manifest: Manifest) -> Self {
        let generated = GeneratedBlobs::default();
        Self { manifest, known: Vec::new(), generated, platform: None, images: 0, warnings: Vec::new() }
    }
}

/// What all edits of an image share.
struct Editor<'a> {
    request: &'a Request,
    store: &'a Store,
    changes: ImageChanges,
    totals: ManifestTotals,
}

/// The changes of the images.
enum ImageChanges {
    /// The same for all.
    All(Box<Changes>),
    /// Only for these children of indexes, each its own.
    Each(Vec<(Descriptor, Changes)>),
}

impl ImageChanges {
    /// The changes of a child of an index, if there are any.
    fn of(&self, child: &Descriptor) -> Option<&Changes> {
        let found = match self {
            Self::All(changes) => Some(&**changes),
            // By its whole descriptor: an image can be in an index for several platforms.
            Self::Each(each) => each.iter().find(|(known, _)| known == child).map(|(_, changes)| changes),
        };
        found.filter(|changes| has_changes(changes))
    }

    /// Whether any image is changed.
    fn any(&self) -> bool {
        match self {
            Self::All(changes) => has_changes(changes),
            Self::Each(each) => each.iter().any(|(_, changes)| has_changes(changes)),
        }
    }
}

fn has_changes(changes: &Changes) -> bool {
    changes.any_in_config() || !changes.annotations.is_empty()
}

/// The image or index with all changes.
pub(super) async fn edit(request: &Request, store: &Store, root: &Manifest) -> Result<Edited> {
    let mut requested = request.changes.clone();
    if request.annotate == Annotate::Index {
        requested.all.annotations.clear();
    }
    let kind = media_type::kind(&root.media_type);
    let changes = match kind {
        Kind::Index => changes_of_index(request, store, root, &requested).await?,
        _ => ImageChanges::All(Box::new(changes_of_image(request, store, root, requested).await?)),
    };
    if !changes.any() && request.changes.all.annotations.is_empty() {
        return Ok(Edited::of(root.clone()));
    }
    let editor = Editor { request, store, changes, totals: ManifestTotals::default() };
    match (kind, &editor.changes) {
        (Kind::Index, _) => {
            let edited = editor.index(root.clone(), 0).await?;
            if edited.images == 0 && editor.changes.any() {
                let text = format!("the index {} contains no image that could be changed", request.image);
                return Err(
                    Error::guard(GuardKind::NothingLeft, text).with_hint("imgstep inspect shows what it contains")
                );
            }
            Ok(edited)
        }
        (Kind::Image, _) if request.annotate == Annotate::Index && !request.changes.all.annotations.is_empty() => {
            let text = format!("{} is a single image, there is no index to annotate", request.image);
            Err(Error::guard(GuardKind::NotAnIndex, text))
        }
        (Kind::Image, ImageChanges::All(changes)) => editor.image(root.clone(), changes, true).await,
        _ => Err(Error::guard(
            GuardKind::NotAnImage,
            format!(
                "{} is of type `{}`, which has no config or annotations to change",
                request.image,
                printable(&root.media_type, 120)
            ),
        )),
    }
}

/// The changes of the images of an index. The images are only looked up if it matters.
async fn changes_of_index(
    request: &Request,
    store: &Store,
    root: &Manifest,
    requested: &PlatformChanges,
) -> Result<ImageChanges> {
    if request.platforms.is_empty() && requested.only.is_empty() {
        return Ok(ImageChanges::All(Box::new(requested.all.clone())));
    }
    let children = platforms::flatten_index(store, root).await?.into_iter().map(|(child, _)| child);
    let images = platforms::matching(store, &children.collect::<Vec<_>>(), &request.platforms)?;
    let named: Vec<Option<&Platform>> = images.iter().map(|image| image.platform.as_ref()).collect();
    let whose =
        if request.platforms.is_empty() { format!("{} has", store.name()) } else { "--platform leaves".to_owned() };
    let changes = platforms::changes_of_each(requested, &named, &whose)?;
    Ok(ImageChanges::Each(images.into_iter().zip(changes).collect()))
}

/// The changes of a single image.
async fn changes_of_image(
    request: &Request,
    store: &Store,
    root: &Manifest,
    requested: PlatformChanges,
) -> Result<Changes> {
    if !request.platforms.is_empty() {
        // Fails if the image is for another platform.
        platforms::choose(store, root.clone(), &request.platforms).await?;
    }
    if requested.only.is_empty() {
        return Ok(requested.all);
    }
    let own = sources::own_platform(store, root).await?;
    let changes = platforms::changes_of_each(&requested, &[own.as_ref()], &format!("{} has", store.name()))?;
    Ok(changes.into_iter().next().unwrap_or_default())
}

type BoxedEdit<'e> = Pin<Box<dyn Future<Output = Result<Edited>> + 'e>>;

impl Editor<'_> {
    /// Edits an index and its children.
    fn index(&self, index: Manifest, depth: usize) -> BoxedEdit<'_> {
        Box::pin(async move {
            check_nesting(&index, depth)?;
            let content = index.content()?;
            self.totals.count(&index, &content)?;
            let Content::Index { manifests: children } = content else { return Ok(Edited::of(index)) };
            let edited = try_join_all(children.iter().map(|child| self.child(child, depth))).await?;
            let mut result = Edited::of(index);
            let mut changed: Vec<Option<Descriptor>> = Vec::new();
            for (child, edited) in children.iter().zip(edited) {
                let is_other = |edited: &&Edited| edited.manifest.digest != child.digest;
                changed.push(edited.as_ref().filter(is_other).map(|edited| edited.manifest.descriptor()));
                let Some(edited) = edited else { continue };
                result.known.push(edited.manifest);
                result.known.extend(edited.known);
                result.generated.extend(edited.generated);
                result.warnings.extend(edited.warnings);
                result.images += edited.images;
            }
            if changed.iter().any(Option::is_some) {
                let children = updated_children(&result.manifest, &children, &changed, &mut result.warnings)?;
                result.manifest = result.manifest.with_children(children)?;
            }
            if depth == 0 && self.request.annotate != Annotate::Manifests {
                result.manifest = annotated(&result.manifest, &self.request.changes.all)?;
            }
            Ok(result)
        })
    }

    /// Edits a child of an index; `None` if it stays as it is.
    async fn child(&self, child: &Descriptor, depth: usize) -> Result<Option<Edited>> {
        let kind = media_type::kind(&child.media_type);
        // A child without a type in its index has the type of its bytes.
        let is_untyped = child.media_type.is_empty();
        let changes = self.changes.of(child).filter(|_| !child.is_attestation());
        let may_be_image = changes.is_some() && (kind == Kind::Image || is_untyped);
        let may_be_index = self.changes.any() && (kind == Kind::Index || is_untyped);
        if !may_be_image && !may_be_index {
            return Ok(None);
        }
        self.totals.keep(child)?;
        let manifest = self.store.child(child).await?;
        let manifest = manifest.ok_or_else(|| Error::sparse_index(self.store.name(), &child.digest))?;
        match (media_type::kind(&manifest.media_type), changes) {
            (Kind::Image, Some(changes)) => self.image(manifest, changes, false).await.map(Some),
            (Kind::Index, _) => self.index(manifest, depth + 1).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Edits an image. An artifact, which has no config of its own, only gets the annotations.
    async fn image(&self, manifest: Manifest, changes: &Changes, is_root: bool) -> Result<Edited> {
        let mut result = Edited::of(manifest);
        match sources::image_config(&result.manifest)? {
            Some(config) if changes.any_in_config() => {
                result.images = 1;
                let bytes = sources::read_config(self.store, &config).await?;
                let mut edited = Config::parse(&bytes)?;
                result.platform = edited.platform();
                edited.apply(changes)?;
                let edited = edited.to_bytes()?;
                if edited != bytes {
                    let digest = Digest::of(&edited);
                    let descriptor = Descriptor::new(config.media_type, digest.clone(), edited.len() as u64);
                    result.manifest = result.manifest.with_layers(&descriptor, &[])?;
                    result.generated.add_bytes(digest, edited.into());
                }
            }
            None if is_root && changes.any_in_config() => {
                let image = &self.request.image;
                return Err(Error::guard(
                    GuardKind::NotAnImage,
                    format!("{image} is an artifact, it has no image config to change"),
                ));
            }
            _ => {}
        }
        if !changes.annotations.is_empty() {
            result.images = 1;
        }
        result.manifest = annotated(&result.manifest, changes)?;
        Ok(result)
    }
}

/// The manifest with the requested annotations.
fn annotated(manifest: &Manifest, changes: &Changes) -> Result<Manifest> {
    if changes.sets_annotations() && Format::of(&manifest.media_type) == Some(Format::Docker) {
        let text = format!("{} has Docker's format, which has no annotations", manifest.digest);
        let hint = "use --label, or convert the image with `imgstep index --format oci` first";
        return Err(Error::guard(GuardKind::UnsupportedByFormat, text).with_hint(hint));
    }
    manifest.with_annotations(&changes.annotations)
}

/// The children of an index, with the changed ones in place of the old. Attestations of those are left out: they cover
/// an image that isn't in the index any more.
fn updated_children(
    index: &Manifest,
    children: &[Descriptor],
    changed: &[Option<Descriptor>],
    warnings: &mut Vec<String>,
) -> Result<Vec<serde_json::Value>> {
    let is_listed = |subject: &str, is_changed: bool| {
        let mut pairs = children.iter().zip(changed);
        pairs.any(|(child, new)| child.digest.as_str() == subject && new.is_some() == is_changed)
    };
    let mut updated = Vec::new();
    for ((child, new), mut raw) in children.iter().zip(changed).zip(index.raw_children()?) {
        let is_gone = |subject: &&str| is_listed(subject, true) && !is_listed(subject, false);
        if let Some(subject) = child.attestation_of().filter(is_gone) {
            let subject = printable(subject, 140);
            warnings
                .push(format!("the attestation {} speaks of {subject}, which changed: it was left out", child.digest));
            continue;
        }
        if let (Some(new), Some(fields)) = (new, raw.as_object_mut()) {
            describe(fields, new);
        }
        updated.push(raw);
    }
    Ok(updated)
}
