//! `append`: puts files on top of a base as reproducible layers and sets its config, for every platform at once.
//!
//! The base is read and the destinations are asked at once. Layers are built; a large one is sent while it is built, to
//! destinations that most likely lack it. When all are built, the guards are asked; only then is anything committed. Base
//! layers are mounted or copied, and where they are certain to be needed, this begins before all else is known. Children
//! are written before their index, tags last.

mod base;
mod base_layers;
mod build;
mod entrypoint;
mod guards;
mod layers;
mod plan;
mod remote_layers;
mod send;

use std::sync::Arc;

use self::base::Base;
use self::base_layers::BaseLayers;
use self::build::BuiltImages;
use self::layers::Layer;
use super::context::Context;
use super::destinations::WriteRequest;
use super::sources;
use crate::error::Result;
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::format::Format;
use crate::image::overrides::PlatformChanges;
use crate::image::platform::Platform;
use crate::image::reference::{DEFAULT_TAG, Reference};
use crate::layer::compress::Compression;
use crate::layer::credential_paths::CredentialPaths;
use crate::layer::spec::LayerSpec;
use crate::report::outcome::Outcome;
use crate::transfer::blob_copy::BlobCopy;
use crate::transfer::blob_source::BlobSource;
use crate::transfer::destination::Destination;
use crate::transfer::destinations::{Approved, Destinations, Resolved};
use crate::transfer::options::{CopyOptions, LargeBlobSlots};

/// What to append to which base, where to write it, and under which conditions.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The base; `None` is an empty one.
    pub base: Option<Reference>,
    /// Where to write the result.
    pub write: WriteRequest,
    /// The platforms of the result; none means those of the layers, or else all.
    pub platforms: Vec<Platform>,
    /// The layers, lowest first.
    pub layers: Vec<LayerSpec>,
    /// Paths of the base to remove.
    pub delete: Vec<String>,
    /// Patterns of files to exclude from all layers.
    pub exclude: Vec<String>,
    /// Where logins come from: these files never go into a layer.
    pub logins: CredentialPaths,
    /// How layers are compressed.
    pub compression: Compression,
    /// The time of every file, in seconds since 1970.
    pub mtime: u64,
    /// The creation time of images that get no other, in RFC 3339.
    pub created: String,
    /// The changes of configs and manifests. Annotations for every platform are set on the index too.
    pub changes: PlatformChanges,
    /// The format of the result; none means the base's.
    pub format: Option<Format>,
    /// Whether programs for other platforms are accepted.
    pub allow_foreign_binaries: bool,
    /// Whether the program that an image starts with must be in it; by default only on scratch.
    pub check_entrypoint: Option<bool>,
}

/// What the parts of an append share.
struct AppendContext<'a> {
    context: &'a Context,
    request: &'a Request,
    targets: &'a Destinations<Resolved>,
}

/// Carries it out.
///
/// # Errors
/// As [`crate::error::Error`] says; then no tag was moved, except where some of several tags were written before one
/// failed, which the error names.
pub(crate) async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let first = request.write.first()?;
    // Blobs can be mounted from the base's repository. An empty base has none.
    let source = request.base.as_ref().unwrap_or(first);
    let targets = Destinations::open(context, &request.write, source).await?;
    let first_layer = layers::begin_first(request);
    let (targets, base) = tokio::try_join!(targets.resolve(None), Base::open(context, request))?;
    let append = AppendContext { context, request, targets: &targets };
    let base_layers = BaseLayers::new(&append, &base)?;
    base_layers.expect(base.images.len(), targets.all()).await;
    let layers = layers::build(&append, &base, first_layer).await?;
    if !request.allow_foreign_binaries {
        guards::check_programs(request, &base, &layers)?;
    }
    entrypoint::check_given(request, &base, &layers)?;
    let mut warnings = base.warnings.clone();
    warnings.extend(warn_of_itself(request, targets.all()));
    warnings.extend(guards::warn_of_links(request, &base, &layers));
    let early = base_layers::certain(&append);
    let ((), (images, targets, more)) =
        tokio::try_join!(base_layers.copy_to(&early), complete(&append, &base, layers, &base_layers, &early))?;
    warnings.extend(more);
    targets.put_children(&images.children).await?;
    let written = targets.write_tags().await?;
    let platforms = images.platforms.iter().map(|(platform, digest)| sources::platform_image(platform, digest));
    written.report(context, "append").base(base.described).platforms(platforms.collect()).warnings(warnings).outcome()
}

/// A warning if the result replaces its own base: the same command then puts the layers on once more.
fn warn_of_itself(request: &Request, destinations: &[Arc<Destination>]) -> Option<String> {
    let base = request.base.as_ref().filter(|base| base.digest().is_none() && !request.layers.is_empty())?;
    let tag = base.tag().unwrap_or(DEFAULT_TAG);
    let is_same = |destination: &Arc<Destination>| {
        let tags = || destination.tags.iter().map(|tag| tag.target.tag().unwrap_or(DEFAULT_TAG));
        destination.name() == base.name() && tags().any(|own| own == tag)
    };
    destinations.iter().any(is_same).then(|| {
        format!(
            "{base} is the base and the destination: run again, this puts the layers on top of themselves; write to another tag, or name the base by its digest"
        )
    })
}

/// Builds the images, asks the guards, and copies all blobs to the destinations that lack them, except the base's layers
/// where they were copied `early`. Returns the images, the approved destinations, and warnings.
async fn complete(
    append: &AppendContext<'_>,
    base: &Base,
    mut layers: Vec<Layer>,
    base_layers: &BaseLayers<'_>,
    early: &[Arc<Destination>],
) -> Result<(BuiltImages, Destinations<Approved>, Vec<String>)> {
    let AppendContext { context, request, targets } = *append;
    let images = build::build(request, base, &base.configs().await?, &layers)?;
    let warnings = entrypoint::check(request, base, &images, &layers).await?;
    let targets = targets.approve(&images.root)?;
    let pending = targets.pending();
    let present = send::commit(append, &mut layers, &images, &pending).await?;
    let generated = send::generated_blobs(layers, &images);
    // A layer that is built while it is sent takes all cores already: no more than two large ones at once.
    let options =
        CopyOptions { large_blobs: LargeBlobSlots::at_once(2), ..context.copy_options(request.write.dry_run) };
    let copy = BlobCopy::new(BlobSource::Generated(&generated), options, &context.progress).with_present(&present);
    let late = pending.except(early);
    tokio::try_join!(base_layers.copy_to(&late), copy.blobs(images.new_blobs(), &pending))?;
    Ok((images, targets, warnings))
}

/// A descriptor of these bytes.
fn descriptor_of(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
}
