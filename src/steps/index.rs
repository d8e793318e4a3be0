//! `index`: assembles one multi-platform index out of images in registries and layouts.
//!
//! All images are read and the destinations are asked at once. The children are put in order and checked; what
//! contradicts is refused before anything is written. Then each source's children go to all destinations, by mount or by
//! copy; then the tags are written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::context::Context;
use super::goals::{self, Goal, IfExists, Terms};
use super::source;
use super::telling::{self, Work};
use crate::error::{Error, GuardKind, Result};
use crate::image::digest::Digest;
use crate::image::format::{self, Format};
use crate::image::index::{self, IndexChild};
use crate::image::manifest::{Manifest, describe};
use crate::image::media_type::{self, Kind};
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::report::outcome::{Outcome, PlatformImage};
use crate::transfer::copy::Copy;
use crate::transfer::destination::Destination;
use crate::transfer::manifest_limits::ManifestTotals;
use crate::transfer::store::Store;
use crate::transfer::transfer_log::TransferLog;

mod children;

/// What to assemble, where to, and under which conditions.
#[derive(Debug, Clone)]
pub struct Request {
    /// The images and indexes whose children are to be in the index.
    pub images: Vec<Reference>,
    /// The index to start from.
    pub from: Option<Reference>,
    /// Images that take the place of those of `from` for the same platforms.
    pub replace: Vec<Reference>,
    /// What is left out: of `from`, or else of all that is given.
    pub remove: Vec<Removal>,
    /// Platforms that the user knows better.
    pub platform_of: Vec<(Named, Platform)>,
    /// Annotations of the index.
    pub annotations: BTreeMap<String, String>,
    /// The types to write; none means those of the children.
    pub format: Option<Format>,
    /// Whether a single child is written as it is, without an index around it.
    pub allow_single: bool,
    /// What is written.
    pub destinations: Vec<Reference>,
    /// Further tags in the repository of each destination.
    pub tags: Vec<String>,
    /// What to do with a tag that names something else.
    pub if_exists: IfExists,
    /// Whether to say what would be done, and do nothing.
    pub dry_run: bool,
}

/// What is to be left out.
#[derive(Debug, Clone)]
pub enum Removal {
    /// The images for this platform.
    Platform(Platform),
    /// The child with this digest.
    Digest(Digest),
}

/// A child as a user names it.
#[derive(Debug, Clone)]
pub enum Named {
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
    place: usize,
    role: Role,
    root: Manifest,
}

/// What an input is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// To start from.
    From,
    /// To be in the index.
    Add,
    /// To be in the index instead of others.
    Replace,
}

/// What is to be written.
struct Assembly {
    result: Manifest,
    /// The platform of a result that is a single image.
    platform: Option<Platform>,
    /// For each place that children come from: its position, and an index of just these (or the single image).
    parts: Vec<(usize, Manifest)>,
    /// Manifests that need not be read again.
    known: HashMap<Digest, Manifest>,
    warnings: Vec<String>,
}

/// Assembles it.
///
/// # Errors
/// As [`Error`] says; then no tag was moved, except where some of several tags were written before one failed, which
/// the error names.
pub async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let terms = Terms { if_exists: request.if_exists, dry_run: request.dry_run };
    let places = places(context, request).await?;
    let mut goals = goals::goals(&request.destinations, &request.tags);
    let mut stores = Vec::new();
    for place in &places {
        stores.push(goals::open(context, &goals, &place.reference, request.dry_run).await?);
    }
    let asked = stores.first().map_or(&[][..], Vec::as_slice);
    let (found, inputs) = tokio::try_join!(goals::ask(&goals, asked, None), read(request, &places))?;
    for (goal, found) in goals.iter_mut().zip(found) {
        goal.found = found;
    }
    let assembly = assemble(request, &places, &inputs).await?;
    let result = &assembly.result;
    goals::check(terms, &goals, result)?;
    let ledgers: Vec<Arc<TransferLog>> = goals.iter().map(|_| Arc::default()).collect();
    let sets: Vec<Vec<Destination>> = stores
        .into_iter()
        .zip(&places)
        .map(|(stores, place)| goals::destinations(&goals, stores, &place.reference, &ledgers))
        .collect();
    let pending: Vec<Vec<Option<&str>>> = goals.iter().map(|goal| goal.pending(terms, result)).collect();
    bring(context, request, &places, &sets, &pending, (&inputs, &assembly)).await?;
    let destinations = sets.first().map_or(&[][..], Vec::as_slice);
    if !request.dry_run {
        goals::write_tags(destinations, &pending, result).await?;
    }
    outcome(context, terms, &inputs, &assembly, &goals, destinations, &pending)
}

/// All that is read, in the order of roles.
fn words(request: &Request) -> impl Iterator<Item = (&Reference, Role)> {
    let from = request.from.iter().map(|reference| (reference, Role::From));
    let added = request.images.iter().map(|reference| (reference, Role::Add));
    from.chain(added).chain(request.replace.iter().map(|reference| (reference, Role::Replace)))
}

/// The repositories and layouts that are read, each once.
async fn places(context: &Context, request: &Request) -> Result<Vec<SourceRepository>> {
    let mut places: Vec<SourceRepository> = Vec::new();
    for (reference, _) in words(request) {
        if !places.iter().any(|place| place.reference.name() == reference.name()) {
            places.push(SourceRepository { reference: reference.clone(), store: context.source(reference).await? });
        }
    }
    Ok(places)
}

async fn read(request: &Request, places: &[SourceRepository]) -> Result<Vec<Input>> {
    let reading = words(request).filter_map(|(reference, role)| {
        let place = places.iter().position(|place| place.reference.name() == reference.name())?;
        Some(async move {
            let root = source::read(reference, &places[place].store).await?;
            if role == Role::From && media_type::kind(&root.media_type) != Kind::Index {
                let error = Error::guard(GuardKind::NotAnIndex, format!("--from {reference} is not an index"));
                return Err(error.with_hint("to put it into a new index, pass it as IMAGE"));
            }
            Ok(Input { reference: reference.clone(), place, role, root })
        })
    });
    try_join_all(reading).await
}

/// Puts the children together and in order; refuses what contradicts.
async fn assemble(request: &Request, places: &[SourceRepository], inputs: &[Input]) -> Result<Assembly> {
    let gathered =
        try_join_all(inputs.iter().map(|input| children::children_of(request, &places[input.place].store, input)))
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
        let manifest = manifest_of(only, &known, places).await?;
        check_single(request, only)?;
        let (parts, platform) = (vec![(only.source, manifest.clone())], only.platform().cloned());
        return Ok(Assembly { result: manifest, platform, parts, known, warnings });
    }
    let from = inputs.iter().find(|input| input.role == Role::From).map(|input| &input.root);
    children.iter().try_for_each(|child| index::format_of(child).map(drop))?;
    index::check_platforms(&children)?;
    let format = request.format.map_or_else(|| index::common_format(&children, from), Ok)?;
    convert(&mut children, format, &mut known, places, &mut warnings).await?;
    let result = index::assembled(&children, from, format, &request.annotations)?;
    warn_of_lost_annotations(inputs, &mut warnings);
    let mut parts = Vec::new();
    for place in 0..places.len() {
        let own: Vec<_> =
            children.iter().filter(|child| child.source == place).map(|child| child.raw.clone()).collect();
        if !own.is_empty() {
            parts.push((place, result.with_children(own)?));
        }
    }
    Ok(Assembly { result, platform: None, parts, known, warnings })
}

/// A child's manifest: one that was read, or else from its place.
async fn manifest_of(
    child: &IndexChild,
    known: &HashMap<Digest, Manifest>,
    places: &[SourceRepository],
) -> Result<Manifest> {
    let digest = &child.descriptor.digest;
    if let Some(manifest) = known.get(digest) {
        return Ok(manifest.clone());
    }
    places[child.source]
        .store
        .child(&child.descriptor)
        .await?
        .ok_or_else(|| Error::sparse_index(child.name.clone(), digest))
}

/// What is passed on unchanged can't be changed.
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

/// Writes the children that are in the other vocabulary anew.
async fn convert(
    children: &mut [IndexChild],
    format: Format,
    known: &mut HashMap<Digest, Manifest>,
    places: &[SourceRepository],
    warnings: &mut Vec<String>,
) -> Result<()> {
    let others: Vec<&IndexChild> =
        children.iter().filter(|child| Format::of(&child.descriptor.media_type) != Some(format)).collect();
    let tally = ManifestTotals::default();
    others.iter().try_for_each(|child| tally.keep(&child.descriptor))?;
    let read = try_join_all(others.iter().map(|child| manifest_of(child, known, places))).await?;
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
                "{} was converted to {}'s types: {} is {} now, and signatures of the old one don't speak of it",
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

/// An index that contributes its children doesn't contribute what it says of itself.
fn warn_of_lost_annotations(inputs: &[Input], warnings: &mut Vec<String>) {
    let is_index = |input: &&Input| media_type::kind(&input.root.media_type) == Kind::Index;
    for input in inputs.iter().filter(|input| input.role != Role::From).filter(is_index) {
        let names: Vec<String> = input.root.annotations().into_keys().collect();
        if !names.is_empty() {
            let names = crate::text::printable(&names.join(", "), 300);
            warnings.push(format!(
                "the annotations of the index {} are not in the new one: {names}; --annotation sets them, --from keeps them",
                input.reference
            ));
        }
    }
}

/// Brings the content of all sources to the destinations that wait for tags.
async fn bring(
    context: &Context,
    request: &Request,
    places: &[SourceRepository],
    sets: &[Vec<Destination>],
    pending: &[Vec<Option<&str>>],
    (inputs, assembly): (&[Input], &Assembly),
) -> Result<()> {
    let options = context.copy_options(request.dry_run);
    let wanting: Vec<usize> = (0..pending.len()).filter(|&position| !pending[position].is_empty()).collect();
    let mut copies: Vec<(Copy<'_>, &Manifest)> = Vec::new();
    for (place, part) in &assembly.parts {
        let read = inputs.iter().filter(|input| input.place == *place).map(|input| input.root.digest.clone());
        let mut copy = Copy::new(&places[*place].store, &sets[*place], options.clone(), &context.progress)
            .knowing(assembly.known.values().cloned())
            .having_read(read);
        if let Some((first, _)) = copies.first() {
            copy = copy.beside(first);
        }
        copies.push((copy, part));
    }
    try_join_all(copies.iter().map(|(copy, part)| copy.content_of(part, &wanting))).await.map(drop)
}

fn outcome(
    context: &Context,
    terms: Terms,
    inputs: &[Input],
    assembly: &Assembly,
    goals: &[Goal],
    destinations: &[Destination],
    pending: &[Vec<Option<&str>>],
) -> Result<Outcome> {
    let result = &assembly.result;
    let children = source::children(result)?;
    let mut platforms = source::platforms_of_index(&children);
    platforms.extend(assembly.platform.as_ref().map(|platform| PlatformImage {
        platform: platform.to_string(),
        digest: result.digest.clone(),
        size: None,
    }));
    let from = inputs.iter().find(|input| input.role == Role::From);
    let work = Work {
        step: "index",
        source: from.map(|input| source::described(&input.reference, &input.root)),
        result,
        platforms,
        goals,
        destinations,
        pending,
        warnings: assembly.warnings.clone(),
    };
    telling::outcome(context, terms, work)
}
