//! `index`: assembles one multi-platform index out of images in registries and layouts.
//!
//! All images are read and the destinations are asked at once. The children are put in order and checked; contradictions
//! are refused before anything is written. Then each source's children go to all destinations, by mount or by copy; then
//! the tags are written.

mod children;

use std::collections::{BTreeMap, HashMap};

use futures_util::future::try_join_all;

use super::context::Context;
use super::destinations::WriteRequest;
use super::sources;
use crate::error::{Error, GuardKind, Result};
use crate::image::digest::Digest;
use crate::image::format::{self, Format};
use crate::image::index::{self, IndexChild};
use crate::image::manifest::{Manifest, describe};
use crate::image::media_type::{self, Kind};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::report::outcome::{Outcome, PlatformImage};
use crate::text::printable;
use crate::transfer::copy::Copy;
use crate::transfer::destinations::{Approved, Destinations, Pending};
use crate::transfer::manifest_limits::ManifestTotals;
use crate::transfer::store::Store;

/// What to assemble, where to, and under which conditions.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The images, and the indexes with the children, to put into the index.
    pub images: Vec<Reference>,
    /// The index to start from.
    pub from: Option<Reference>,
    /// Images that replace those of `from` for the same platforms.
    pub replace: Vec<Reference>,
    /// What is left out of `from`, or without it, of all images.
    pub remove: Vec<Removal>,
    /// Platforms that the user states, in place of those in the images.
    pub platform_of: Vec<(NamedInput, Platform)>,
    /// Annotations of the index.
    pub annotations: BTreeMap<String, String>,
    /// The format to write; none means that of the children.
    pub format: Option<Format>,
    /// Whether a single child is written as it is, without an index.
    pub allow_single: bool,
    /// Where to write it.
    pub write: WriteRequest,
}

/// What is left out.
#[derive(Debug, Clone)]
pub(crate) enum Removal {
    /// The images for this platform.
    Platform(Platform),
    /// The child with this digest.
    Digest(Digest),
}

/// A child, as the user refers to it.
#[derive(Debug, Clone)]
pub(crate) enum NamedInput {
    /// By its digest alone.
    Digest(Digest),
    /// As on the command line, or by name and digest.
    Image(Reference),
}

/// A repository or layout that is read.
struct SourceRepository {
    reference: Reference,
    store: Store,
}

/// An image or index that was read.
struct Input {
    reference: Reference,
    /// The number of its repository among all that are read.
    source: usize,
    role: Role,
    root: Manifest,
}

/// What an input is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// To start from.
    From,
    /// To be put into the index.
    Add,
    /// To replace others in the index.
    Replace,
}

/// The part of the result that comes from one source.
struct IndexPart {
    /// The number of the source.
    source: usize,
    /// An index of just its children (or the single image).
    content: Manifest,
}

/// What is written.
struct Assembly {
    result: Manifest,
    /// The platform of a result that is a single image.
    platform: Option<Platform>,
    /// The result by source.
    parts: Vec<IndexPart>,
    /// Manifests that need not be read again.
    known: HashMap<Digest, Manifest>,
    warnings: Vec<String>,
}

/// Assembles it.
///
/// # Errors
/// As [`Error`] says; then no tag was moved, except where some of several tags were written before one failed, which
/// the error names.
pub(crate) async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let sources = open_sources(context, request).await?;
    let first = sources.first().ok_or_else(|| Error::usage("no image"))?;
    let targets = Destinations::open(context, &request.write, &first.reference).await?;
    let (targets, inputs) = tokio::try_join!(targets.resolve(None), read(request, &sources))?;
    let assembly = assemble(request, &sources, &inputs).await?;
    let targets = targets.approve(&assembly.result)?;
    copy_parts(context, request, &sources, &inputs, &assembly, &targets).await?;
    let written = targets.write_tags().await?;
    let from = inputs.iter().find(|input| input.role == Role::From);
    written
        .report(context, "index")
        .source(from.map(|input| sources::described(&input.reference, &input.root)))
        .platforms(platforms_of(&assembly)?)
        .warnings(assembly.warnings)
        .outcome()
}

/// All images that are read, in the order of roles.
fn requested(request: &Request) -> impl Iterator<Item = (&Reference, Role)> {
    let from = request.from.iter().map(|reference| (reference, Role::From));
    let added = request.images.iter().map(|reference| (reference, Role::Add));
    from.chain(added).chain(request.replace.iter().map(|reference| (reference, Role::Replace)))
}

/// The repositories and layouts that are read, each once.
async fn open_sources(context: &Context, request: &Request) -> Result<Vec<SourceRepository>> {
    let mut sources: Vec<SourceRepository> = Vec::new();
    for (reference, _) in requested(request) {
        if !sources.iter().any(|source| source.reference.name() == reference.name()) {
            sources.push(SourceRepository { reference: reference.clone(), store: context.source(reference).await? });
        }
    }
    Ok(sources)
}

async fn read(request: &Request, sources: &[SourceRepository]) -> Result<Vec<Input>> {
    let reading = requested(request).filter_map(|(reference, role)| {
        let source = sources.iter().position(|source| source.reference.name() == reference.name())?;
        Some(async move {
            let root = sources::read(reference, &sources[source].store).await?;
            if role == Role::From && media_type::kind(&root.media_type) != Kind::Index {
                let error = Error::guard(GuardKind::NotAnIndex, format!("--from {reference} is not an index"));
                return Err(error.with_hint("to put it into a new index, pass it as IMAGE"));
            }
            Ok(Input { reference: reference.clone(), source, role, root })
        })
    });
    try_join_all(reading).await
}

/// Puts the children together and in order; refuses contradictions.
async fn assemble(request: &Request, sources: &[SourceRepository], inputs: &[Input]) -> Result<Assembly> {
    let gathered =
        try_join_all(inputs.iter().map(|input| children::children_of(request, &sources[input.source].store, input)))
            .await?;
    children::check_names(request, inputs, &gathered)?;
    let mut warnings = Vec::new();
    let mut children = children::edited(request, inputs, gathered, &mut warnings);
    let mut known: HashMap<Digest, Manifest> =
        inputs.iter().map(|input| (input.root.digest.clone(), input.root.clone())).collect();
    if children.is_empty() {
        return Err(Error::guard(GuardKind::NothingLeft, "no image is left for the index"));
    }
    if let ([only], true) = (children.as_slice(), request.allow_single) {
        let manifest = manifest_of(only, &known, sources).await?;
        check_single(request, only)?;
        let parts = vec![IndexPart { source: only.source, content: manifest.clone() }];
        let platform = only.platform().cloned();
        return Ok(Assembly { result: manifest, platform, parts, known, warnings });
    }
    let from = inputs.iter().find(|input| input.role == Role::From).map(|input| &input.root);
    children.iter().try_for_each(|child| index::format_of(child).map(drop))?;
    index::check_platforms(&children)?;
    let format = request.format.map_or_else(|| index::common_format(&children, from), Ok)?;
    convert(&mut children, format, &mut known, sources, &mut warnings).await?;
    let result = index::assembled(&children, from, format, &request.annotations)?;
    warn_of_lost_annotations(inputs, &mut warnings);
    let mut parts = Vec::new();
    for source in 0..sources.len() {
        let own: Vec<_> =
            children.iter().filter(|child| child.source == source).map(|child| child.raw.clone()).collect();
        if !own.is_empty() {
            parts.push(IndexPart { source, content: result.with_children(own)? });
        }
    }
    Ok(Assembly { result, platform: None, parts, known, warnings })
}

/// A child's manifest: one that was read already, or else from its source.
async fn manifest_of(
    child: &IndexChild,
    known: &HashMap<Digest, Manifest>,
    sources: &[SourceRepository],
) -> Result<Manifest> {
    let digest = &child.descriptor.digest;
    if let Some(manifest) = known.get(digest) {
        return Ok(manifest.clone());
    }
    sources[child.source]
        .store
        .child(&child.descriptor)
        .await?
        .ok_or_else(|| Error::sparse_index(child.name.clone(), digest))
}

/// Refuses changes of an image that is passed on unchanged.
fn check_single(request: &Request, only: &IndexChild) -> Result<()> {
    let reason = if !request.annotations.is_empty() {
        "--annotation has no index to apply to"
    } else if request.format.is_some_and(|format| Format::of(&only.descriptor.media_type) != Some(format)) {
        "it doesn't have the format of --format"
    } else {
        return Ok(());
    };
    let text = format!("{} would be passed on unchanged, but {reason}", only.name);
    Err(Error::guard(GuardKind::UnchangedImage, text).with_hint("leave out --allow-single to get an index"))
}

/// Converts the children that are in the other format.
async fn convert(
    children: &mut [IndexChild],
    format: Format,
    known: &mut HashMap<Digest, Manifest>,
    sources: &[SourceRepository],
    warnings: &mut Vec<String>,
) -> Result<()> {
    let others: Vec<&IndexChild> =
        children.iter().filter(|child| Format::of(&child.descriptor.media_type) != Some(format)).collect();
    let totals = ManifestTotals::default();
    others.iter().try_for_each(|child| totals.keep(&child.descriptor))?;
    let read = try_join_all(others.iter().map(|child| manifest_of(child, known, sources))).await?;
    let attested: Vec<String> =
        children.iter().filter_map(|child| child.descriptor.attestation_of().map(str::to_owned)).collect();
    for old in read {
        if attested.iter().any(|subject| *subject == old.digest.as_str()) {
            let text = format!(
                "{} can't be converted: its digest would change, and an attestation in the index covers that digest",
                old.digest
            );
            let hint = "--remove DIGEST, with the attestation's own digest, removes the attestation";
            return Err(Error::guard(GuardKind::AttestedImage, text).with_hint(hint));
        }
        let new = format::converted(&old, format)?;
        for child in children.iter_mut().filter(|child| child.descriptor.digest == old.digest) {
            if let Some(fields) = child.raw.as_object_mut() {
                describe(fields, &new.descriptor());
            }
            *child = IndexChild::from_raw(child.raw.clone(), child.name.clone(), child.source)?;
            warnings.push(format!(
                "{} was converted to {}'s types: {} is {} now, and signatures of the old digest don't cover it",
                child.name,
                format.name(),
                old.digest,
                new.digest
            ));
        }
        known.insert(new.digest.clone(), new);
    }
    Ok(())
}

/// Warns of the annotations of the indexes whose children are used: the new index doesn't get them.
fn warn_of_lost_annotations(inputs: &[Input], warnings: &mut Vec<String>) {
    let is_index = |input: &&Input| media_type::kind(&input.root.media_type) == Kind::Index;
    for input in inputs.iter().filter(|input| input.role != Role::From).filter(is_index) {
        let names: Vec<String> = input.root.annotations().into_keys().collect();
        if !names.is_empty() {
            let names = printable(&names.join(", "), 300);
            warnings.push(format!(
                "the annotations of the index {} are not in the new one: {names}; --annotation sets them, --from keeps them",
                input.reference
            ));
        }
    }
}

/// Copies the content of all sources to the destinations that lack it.
async fn copy_parts(
    context: &Context,
    request: &Request,
    sources: &[SourceRepository],
    inputs: &[Input],
    assembly: &Assembly,
    targets: &Destinations<Approved>,
) -> Result<()> {
    let options = context.copy_options(request.write.dry_run);
    let mut copies: Vec<(Copy<'_>, Pending, &Manifest)> = Vec::new();
    for IndexPart { source, content } in &assembly.parts {
        let SourceRepository { reference, store } = &sources[*source];
        let read = inputs.iter().filter(|input| input.source == *source).map(|input| input.root.digest.clone());
        let mut copy = Copy::new(store, options.clone(), &context.progress)
            .with_known_manifests(assembly.known.values().cloned())
            .with_source_manifests(read);
        if let Some((first, ..)) = copies.first() {
            copy = copy.sharing_state_with(first);
        }
        copies.push((copy, targets.pending_from(context, reference).await?, content));
    }
    try_join_all(copies.iter().map(|(copy, pending, content)| copy.content_of(content, pending))).await.map(drop)
}

fn platforms_of(assembly: &Assembly) -> Result<Vec<PlatformImage>> {
    let result = &assembly.result;
    let mut platforms = sources::platforms_of_index(&sources::children(result)?);
    platforms.extend(assembly.platform.iter().map(|platform| sources::platform_image(platform, &result.digest)));
    Ok(platforms)
}
