//! `mutate`: changes the config and the annotations of an image, on every platform of an index or on those chosen.
//!
//! The image is read and the destinations are asked at once. Configs and manifests are edited in place, so that no field
//! of somebody else's is lost, and with nothing to change the digest stays. Layers are mounted or copied; then the tags
//! are written.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::context::Context;
use super::goals::{self, IfExists, Terms};
use super::telling::{self, Work};
use super::{platforms, source};
use crate::error::{Error, GuardKind, Result};
use crate::image::config::{Changes, Config};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::format::Format;
use crate::image::manifest::{Content, Manifest, describe};
use crate::image::media_type::{self, Kind};
use crate::image::overrides::PlatformChanges;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::registry::ConnectionKind;
use crate::report::outcome::{Outcome, PlatformImage};
use crate::text::printable;
use crate::transfer::copy::Copy;
use crate::transfer::manifest_limits::{ManifestTotals, check_nesting};
use crate::transfer::store::Store;
use crate::transfer::transfer_log::TransferLog;

/// What to change, where to write it, and under which conditions.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is read.
    pub image: Reference,
    /// The platforms that are changed; none means all. The others stay as they are.
    pub platforms: Vec<Platform>,
    /// The changes.
    pub changes: PlatformChanges,
    /// Where annotations stand that are for every platform.
    pub annotate: Annotate,
    /// What is written.
    pub destinations: Vec<Reference>,
    /// Further tags in the repository of each destination.
    pub tags: Vec<String>,
    /// What to do with a tag that names something else.
    pub if_exists: IfExists,
    /// Whether to say what would be done, and do nothing.
    pub dry_run: bool,
}

/// Where annotations stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotate {
    /// On the index.
    Index,
    /// On the manifests of the images that are changed.
    Manifests,
    /// On both; of a single image, on its manifest.
    Both,
}

/// What came of editing a manifest and all below it.
struct Edited {
    manifest: Manifest,
    /// Manifests that were read or made on the way.
    known: Vec<Manifest>,
    /// Configs that were made.
    made: Vec<(Digest, Bytes)>,
    /// The platform of a single image whose config was read.
    platform: Option<Platform>,
    /// The images that were looked at, whether or not something in them had to be changed.
    images: usize,
    warnings: Vec<String>,
}

impl Edited {
    /// Nothing is changed yet.
    fn of(manifest: Manifest) -> Self {
        Self { manifest, known: Vec::new(), made: Vec::new(), platform: None, images: 0, warnings: Vec::new() }
    }
}

/// An editing under way.
struct Editor<'a> {
    request: &'a Request,
    store: &'a Store,
    changes: ImageChanges,
    tally: ManifestTotals,
}

/// The changes of the images.
enum ImageChanges {
    /// The same for every one.
    All(Box<Changes>),
    /// For these children of indexes alone, each its own.
    Each(Vec<(Descriptor, Changes)>),
}

impl ImageChanges {
    /// Those of a child of an index, if it is to be changed.
    fn of(&self, child: &Descriptor) -> Option<&Changes> {
        let found = match self {
            Self::All(changes) => Some(&**changes),
            // By all that the index says of it: an image may stand there for several platforms.
            Self::Each(each) => each.iter().find(|(known, _)| known == child).map(|(_, changes)| changes),
        };
        found.filter(|changes| changes_any(changes))
    }

    /// Whether some image is to be changed.
    fn any(&self) -> bool {
        match self {
            Self::All(changes) => changes_any(changes),
            Self::Each(each) => each.iter().any(|(_, changes)| changes_any(changes)),
        }
    }
}

fn changes_any(changes: &Changes) -> bool {
    changes.any_in_config() || !changes.annotations.is_empty()
}

/// Carries the changes out.
///
/// # Errors
/// As [`Error`] says; then no tag was moved, except where some of several tags were written before one failed, which
/// the error names.
pub async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let terms = Terms { if_exists: request.if_exists, dry_run: request.dry_run };
    let store = context.source(&request.image).await?;
    let mut goals = goals::goals(&request.destinations, &request.tags);
    let stores = goals::open(context, &goals, &request.image, request.dry_run).await?;
    source::expect_first_wave([&store], ConnectionKind::Shared).await;
    let (found, root) = tokio::try_join!(goals::ask(&goals, &stores, None), source::read(&request.image, &store))?;
    for (goal, found) in goals.iter_mut().zip(found) {
        goal.found = found;
    }
    let edited = edit(request, &store, &root).await?;
    let result = edited.manifest.clone();
    goals::check(terms, &goals, &result)?;
    let ledgers: Vec<Arc<TransferLog>> = goals.iter().map(|_| Arc::default()).collect();
    let destinations = goals::destinations(&goals, stores, &request.image, &ledgers);
    let pending: Vec<Vec<Option<&str>>> = goals.iter().map(|goal| goal.pending(terms, &result)).collect();
    let is_there = |position: usize| destinations[position].is_source && result.digest == root.digest;
    let wanting: Vec<usize> =
        (0..goals.len()).filter(|&position| !pending[position].is_empty() && !is_there(position)).collect();
    let platforms = platforms_of(&store, &root, &edited, !wanting.is_empty()).await?;
    let options = context.copy_options(request.dry_run);
    let copy =
        Copy::new(&store, &destinations, options, &context.progress).knowing(edited.known).with_made(edited.made);
    copy.content_of(&result, &wanting).await?;
    let warnings = edited.warnings.into_iter().chain(copy.warnings()).collect();
    if !request.dry_run {
        goals::write_tags(&destinations, &pending, &result).await?;
    }
    let work = Work {
        step: "mutate",
        source: Some(source::described(&request.image, &root)),
        result: &result,
        platforms,
        goals: &goals,
        destinations: &destinations,
        pending: &pending,
        warnings,
    };
    telling::outcome(context, terms, work)
}

/// The platforms of the result. That of a single image whose config was not read is asked for only when the image is
/// moved: that nothing is to be done must cost no more.
async fn platforms_of(store: &Store, root: &Manifest, edited: &Edited, is_moved: bool) -> Result<Vec<PlatformImage>> {
    let result = &edited.manifest;
    let platform = match root.content()? {
        Content::Index { .. } => {
            let known = |index: &Digest| {
                let found = edited.known.iter().find(|manifest| manifest.digest == *index);
                found.and_then(|index| source::children(index).ok())
            };
            return source::platforms_below(store, result, known).await;
        }
        _ if edited.platform.is_some() => edited.platform.clone(),
        Content::Image { config, .. } if is_moved && media_type::is_image_config(&config.media_type) => {
            source::platform_of(store, &config).await?
        }
        _ => None,
    };
    let entry = |platform: Platform| PlatformImage {
        platform: platform.to_string(),
        digest: result.digest.clone(),
        size: None,
    };
    Ok(platform.map(entry).into_iter().collect())
}

/// The image or index with all changes.
async fn edit(request: &Request, store: &Store, root: &Manifest) -> Result<Edited> {
    let mut wanted = request.changes.clone();
    if request.annotate == Annotate::Index {
        wanted.all.annotations.clear();
    }
    let kind = media_type::kind(&root.media_type);
    let changes = match kind {
        Kind::Index => of_children(request, store, root, &wanted).await?,
        _ => ImageChanges::All(Box::new(of_one(request, store, root, wanted).await?)),
    };
    if !changes.any() && request.changes.all.annotations.is_empty() {
        return Ok(Edited::of(root.clone()));
    }
    let editor = Editor { request, store, changes, tally: ManifestTotals::default() };
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

/// The changes of the images of an index. Which they are is looked up only where it matters.
async fn of_children(
    request: &Request,
    store: &Store,
    root: &Manifest,
    wanted: &PlatformChanges,
) -> Result<ImageChanges> {
    if request.platforms.is_empty() && wanted.only.is_empty() {
        return Ok(ImageChanges::All(Box::new(wanted.all.clone())));
    }
    let children = platforms::flatten_index(store, root).await?.into_iter().map(|(child, _)| child);
    let images = platforms::matching(store, &children.collect::<Vec<_>>(), &request.platforms)?;
    let named: Vec<Option<&Platform>> = images.iter().map(|image| image.platform.as_ref()).collect();
    let whose =
        if request.platforms.is_empty() { format!("{} has", store.name()) } else { "--platform leaves".to_owned() };
    let changes = platforms::changes_of_each(wanted, &named, &whose)?;
    Ok(ImageChanges::Each(images.into_iter().zip(changes).collect()))
}

/// The changes of a single image.
async fn of_one(request: &Request, store: &Store, root: &Manifest, wanted: PlatformChanges) -> Result<Changes> {
    if !request.platforms.is_empty() {
        // Whether it is for these platforms is all that there is to find out.
        platforms::choose(store, root.clone(), &request.platforms).await?;
    }
    if wanted.only.is_empty() {
        return Ok(wanted.all);
    }
    let own = match root.content()? {
        Content::Image { config, .. } if media_type::is_image_config(&config.media_type) => {
            source::platform_of(store, &config).await?
        }
        _ => None,
    };
    let changes = platforms::changes_of_each(&wanted, &[own.as_ref()], &format!("{} has", store.name()))?;
    Ok(changes.into_iter().next().unwrap_or_default())
}

type Editing<'e> = Pin<Box<dyn Future<Output = Result<Edited>> + 'e>>;

impl Editor<'_> {
    /// An index, and all in it that is to be changed.
    fn index(&self, index: Manifest, depth: usize) -> Editing<'_> {
        Box::pin(async move {
            check_nesting(&index, depth)?;
            let content = index.content()?;
            self.tally.count(&index, &content)?;
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
                result.made.extend(edited.made);
                result.warnings.extend(edited.warnings);
                result.images += edited.images;
            }
            if changed.iter().any(Option::is_some) {
                let kept = rewritten(&result.manifest, &children, &changed, &mut result.warnings)?;
                result.manifest = result.manifest.with_children(kept)?;
            }
            if depth == 0 && self.request.annotate != Annotate::Manifests {
                result.manifest = annotated(&result.manifest, &self.request.changes.all)?;
            }
            Ok(result)
        })
    }

    /// A child of an index; `None` where it stays as it is.
    async fn child(&self, child: &Descriptor, depth: usize) -> Result<Option<Edited>> {
        let kind = media_type::kind(&child.media_type);
        // A child that its index gives no type is what its bytes say.
        let is_untold = child.media_type.is_empty();
        let changes = self.changes.of(child).filter(|_| !child.is_attestation());
        let may_be_image = changes.is_some() && (kind == Kind::Image || is_untold);
        let may_be_index = self.changes.any() && (kind == Kind::Index || is_untold);
        if !may_be_image && !may_be_index {
            return Ok(None);
        }
        self.tally.keep(child)?;
        let manifest = self.store.child(child).await?;
        let manifest = manifest.ok_or_else(|| Error::sparse_index(self.store.name(), &child.digest))?;
        match (media_type::kind(&manifest.media_type), changes) {
            (Kind::Image, Some(changes)) => self.image(manifest, changes, false).await.map(Some),
            (Kind::Index, _) => self.index(manifest, depth + 1).await.map(Some),
            _ => Ok(None),
        }
    }

    /// An image. Of an artifact, which has no config to speak of, only the annotations are changed.
    async fn image(&self, manifest: Manifest, changes: &Changes, is_root: bool) -> Result<Edited> {
        let mut result = Edited::of(manifest);
        let config = match result.manifest.content()? {
            Content::Image { config, .. } if media_type::is_image_config(&config.media_type) => Some(config),
            _ => None,
        };
        match config {
            Some(config) if changes.any_in_config() => {
                result.images = 1;
                let bytes = source::read_config(self.store, &config).await?;
                let mut edited = Config::parse(&bytes)?;
                result.platform = edited.platform();
                edited.apply(changes)?;
                let edited = edited.to_bytes()?;
                if edited != bytes {
                    let digest = Digest::of(&edited);
                    let described = Descriptor::new(config.media_type, digest.clone(), edited.len() as u64);
                    result.manifest = result.manifest.with_layers(&described, &[])?;
                    result.made.push((digest, edited.into()));
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

/// The manifest with the annotations that are wanted.
fn annotated(manifest: &Manifest, changes: &Changes) -> Result<Manifest> {
    if changes.sets_annotations() && Format::of(&manifest.media_type) == Some(Format::Docker) {
        let text = format!("{} has Docker's format, which has no annotations", manifest.digest);
        let hint = "use --label, or convert the image with `imgstep index --format oci` first";
        return Err(Error::guard(GuardKind::UnsupportedByFormat, text).with_hint(hint));
    }
    manifest.with_annotations(&changes.annotations)
}

/// The children of an index with those that changed in their places. Attestations of what changed are left out: they
/// speak of an image that is not in the index any more.
fn rewritten(
    index: &Manifest,
    children: &[Descriptor],
    changed: &[Option<Descriptor>],
    warnings: &mut Vec<String>,
) -> Result<Vec<serde_json::Value>> {
    let stands = |subject: &str, is_changed: bool| {
        let mut pairs = children.iter().zip(changed);
        pairs.any(|(child, new)| child.digest.as_str() == subject && new.is_some() == is_changed)
    };
    let mut kept = Vec::new();
    for ((child, new), mut raw) in children.iter().zip(changed).zip(index.raw_children()?) {
        let is_gone = |subject: &&str| stands(subject, true) && !stands(subject, false);
        if let Some(subject) = child.attestation_of().filter(is_gone) {
            let subject = printable(subject, 140);
            warnings
                .push(format!("the attestation {} speaks of {subject}, which changed: it was left out", child.digest));
            continue;
        }
        if let (Some(new), Some(fields)) = (new, raw.as_object_mut()) {
            describe(fields, new);
        }
        kept.push(raw);
    }
    Ok(kept)
}
