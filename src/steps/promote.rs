//! `promote`: copies an image, whole and byte for byte, to one or more destinations.
//!
//! The source is read and the destinations are asked at once. If a destination's tags point to the result already, nothing
//! is sent. Otherwise all content goes to all destinations first, by digest; then the tags are written.

use super::context::Context;
use super::destinations::WriteRequest;
use super::{platforms, sources};
use crate::error::{Error, ErrorKind, GuardKind, Result};
use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::platform::Platform;
use crate::image::reference::Reference;
use crate::report::outcome::{Outcome, PlatformImage};
use crate::transfer::copy::Copy;
use crate::transfer::destinations::{Approved, Destinations, Opened, Pending, Resolved};
use crate::transfer::options::CopyOptions;
use crate::transfer::store::Store;

/// What to promote, where to, and under which conditions.
#[derive(Debug, Clone)]
pub struct Request {
    /// The image to copy.
    pub source: Reference,
    /// Where to write it.
    pub write: WriteRequest,
    /// The platforms to copy; none means all.
    pub platforms: Vec<Platform>,
    /// The digest that the source must have.
    pub expect_digest: Option<Digest>,
    /// Whether the tag of a source with tag and digest must point to that digest.
    pub check_tag: bool,
    /// Whether to check all content below a tag that exists already, and to send what is missing.
    pub repair: bool,
    /// Whether foreign layers are copied too.
    pub include_foreign: bool,
    /// Warnings about the arguments themselves.
    pub remarks: Vec<String>,
}

/// Carries a promotion out.
///
/// # Errors
/// As [`Error`] says; then no tag was moved, except where some of several tags were written before one failed, which
/// the error names.
pub(crate) async fn run(context: &Context, request: &Request) -> Result<Outcome> {
    let store = context.source(&request.source).await?;
    let targets = Destinations::open_for_copy(context, &request.write, (&request.source, &store)).await?;
    let (targets, root) = resolve_and_read(request, targets, &store).await?;
    let source = sources::described(&request.source, &root);
    check_source(request, &store, &root).await?;

    let selection = platforms::choose(&store, root, &request.platforms).await?;
    let mut targets = targets.approve(&selection.manifest)?;
    let pending = if request.repair {
        targets.restore_lost().await?;
        targets.to_repair()
    } else {
        targets.pending().without_source()
    };
    let (platforms, uncopied) = copy(context, request, &store, &targets, &pending).await?;
    let mut warnings = request.remarks.clone();
    warnings.extend(selection.warning.into_iter().chain(uncopied));
    warnings.extend(sources::other_name(&request.source, &store, &source.digest).await?);

    let written = targets.write_tags().await?;
    written.report(context, "promote").source(Some(source)).platforms(platforms).warnings(warnings).outcome()
}

/// Reads the source's manifest and asks what the destinations' tags point to: at once, so that it takes one round trip.
async fn resolve_and_read(
    request: &Request,
    targets: Destinations<Opened>,
    store: &Store,
) -> Result<(Destinations<Resolved>, Manifest)> {
    let expected = request.expect_digest.as_ref();
    if matches!(&request.source, Reference::Registry(reference) if reference.counts_pulls()) {
        // This registry limits the number of manifests that are read, but not the questions for a digest.
        let (targets, digest) = tokio::try_join!(targets.resolve(expected), sources::resolve(&request.source, store))?;
        let is_done = targets.all_point_to(&digest) && !request.repair;
        let from = targets.all().first().filter(|_| is_done).map_or(store, |destination| destination.store());
        let root = from.manifest(Some(digest.as_str())).await?.ok_or_else(|| {
            Error::from(ErrorKind::SourceMissing {
                reference: request.source.to_string(),
                answer: format!("its tag pointed to {digest} a moment ago, which does not exist"),
            })
        })?;
        return Ok((targets, root));
    }
    let reading = sources::read_expecting(&request.source, store, expected);
    let (targets, root) = tokio::join!(targets.resolve(expected), reading);
    // A missing source is more important than what is wrong with a destination.
    let root = root?;
    Ok((targets?, root))
}

async fn check_source(request: &Request, store: &Store, root: &Manifest) -> Result<()> {
    if let Some(expected) = &request.expect_digest
        && !root.is(expected)
    {
        let text = format!("{} is {}, not {expected}; nothing was written", request.source, root.digest);
        let hint = "to copy what was approved, put that digest into SOURCE: NAME@DIGEST";
        return Err(Error::guard(GuardKind::DigestMismatch, text).with_hint(hint));
    }
    if request.check_tag {
        sources::check_tag(&request.source, store).await?;
    }
    Ok(())
}

/// Copies the content of the result. Returns its platforms, and warnings about what was not copied.
///
/// The platform of a single image is in its config. It is only read if the image is copied anyway: to find out that there
/// is nothing to do must not cost more. If it passed by, there is no request for it.
async fn copy(
    context: &Context,
    request: &Request,
    store: &Store,
    targets: &Destinations<Approved>,
    pending: &Pending,
) -> Result<(Vec<PlatformImage>, Vec<String>)> {
    let result = targets.result();
    let options = CopyOptions {
        include_foreign: request.include_foreign,
        repair: request.repair,
        ..context.copy_options(request.write.dry_run)
    };
    let config = sources::image_config(result)?.filter(|_| !pending.is_empty());
    let mut copy = Copy::new(store, options, &context.progress);
    if let Some(config) = &config {
        copy = copy.capturing(config);
    }
    copy.content_of(result, pending).await?;
    let warnings = copy.warnings();

    let Some(config) = config else {
        let platforms = sources::platforms_below(store, result, |index| targets.children_of(index)).await?;
        return Ok((platforms, warnings));
    };
    let platform = match copy.captured() {
        Some(bytes) => sources::platform_in(&bytes),
        None => sources::platform_of(store, &config).await?,
    };
    Ok((platform.iter().map(|platform| sources::platform_image(platform, &result.digest)).collect(), warnings))
}
