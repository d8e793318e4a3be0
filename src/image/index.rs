//! Builds indexes: which children are the same, which contradict each other, and their order.
//!
//! OCI image specification, image-index.md.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::descriptor::Descriptor;
use super::digest::Digest;
use super::format::{Format, lost};
use super::manifest::Manifest;
use super::platform::{Platform, PlatformKey};
use super::spec;
use crate::error::{Error, GuardKind, Result};
use crate::text::printable;

/// A child of an index that is being built.
#[derive(Debug, Clone)]
pub(crate) struct IndexChild {
    /// The parsed view of `raw`.
    pub descriptor: Descriptor,
    /// The descriptor with every field that was written.
    pub raw: Value,
    /// Its name in messages.
    pub name: String,
    /// The position of its source among those of the step.
    pub source: usize,
}

impl IndexChild {
    /// A child with the platform of its config, or one that the user set.
    ///
    /// # Errors
    /// Its descriptor can't be written as JSON.
    pub(crate) fn of(manifest: &Manifest, platform: Option<&Platform>, name: String, source: usize) -> Result<Self> {
        let mut descriptor = Descriptor::new(manifest.media_type.clone(), manifest.digest.clone(), manifest.size());
        descriptor.platform = platform.cloned();
        Self::from_raw(spec::descriptor(&descriptor)?, name, source)
    }

    /// A child with an existing descriptor.
    ///
    /// # Errors
    /// It isn't a descriptor.
    pub(crate) fn from_raw(raw: Value, name: String, source: usize) -> Result<Self> {
        let descriptor = serde_json::from_value(raw.clone())
            .map_err(|error| Error::malformed(name.clone(), printable(&error.to_string(), 300)))?;
        Ok(Self { descriptor, raw, name, source })
    }

    /// The same child with another platform.
    ///
    /// # Errors
    /// Its descriptor can't be read again.
    pub(crate) fn with_platform(mut self, platform: &Platform) -> Result<Self> {
        self.raw["platform"] = spec::platform(platform)?;
        Self::from_raw(self.raw, self.name, self.source)
    }

    /// The same child with another media type.
    ///
    /// # Errors
    /// Its descriptor can't be read again.
    pub(crate) fn with_media_type(mut self, media_type: &str) -> Result<Self> {
        self.raw["mediaType"] = media_type.into();
        Self::from_raw(self.raw, self.name, self.source)
    }

    /// The platform that it runs on; `None` for an attestation, and if it has none.
    pub(crate) fn platform(&self) -> Option<&Platform> {
        self.descriptor.platform.as_ref().filter(|platform| !self.descriptor.is_attestation() && platform.is_known())
    }
}

/// The children in the order of an index, each digest once: images by platform, then attestations in the order of
/// their images. The order, and which of two descriptors of one child is kept, only depend on the children themselves.
pub(crate) fn ordered(children: Vec<IndexChild>) -> Vec<IndexChild> {
    let mut unique: BTreeMap<ChildIdentity, IndexChild> = BTreeMap::new();
    for child in children {
        // The descriptor with more fields is kept.
        let precedence = |child: &IndexChild| (child.raw.to_string().len(), child.raw.to_string(), child.name.clone());
        match unique.get(&identity(&child)) {
            Some(other) if precedence(other) >= precedence(&child) => {}
            _ => drop(unique.insert(identity(&child), child)),
        }
    }
    let (mut images, mut others): (Vec<IndexChild>, Vec<IndexChild>) =
        unique.into_values().partition(|child| !child.descriptor.is_attestation());
    images.sort_by(|one, other| {
        let platforms = platform_key(one).cmp(&platform_key(other));
        platforms.then_with(|| one.descriptor.digest.cmp(&other.descriptor.digest))
    });
    others.sort_by_key(|child| {
        let subject = child.descriptor.attestation_of();
        let position = images.iter().position(|image| Some(image.descriptor.digest.as_str()) == subject);
        (position.unwrap_or(usize::MAX), child.descriptor.digest.clone())
    });
    images.extend(others);
    images
}

/// What two descriptors of one child have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum ChildIdentity {
    /// One digest may be for several platforms if its author wrote so; OS versions alone don't make two children.
    Image {
        digest: Digest,
        os: String,
        architecture: String,
        variant: String,
    },
    Other {
        digest: Digest,
        subject: Option<String>,
    },
}

fn identity(child: &IndexChild) -> ChildIdentity {
    let digest = child.descriptor.digest.clone();
    match child.platform().map(Platform::key) {
        Some(PlatformKey { os, architecture, variant, .. }) => ChildIdentity::Image {
            digest,
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.to_owned(),
        },
        None => ChildIdentity::Other { digest, subject: child.descriptor.attestation_of().map(str::to_owned) },
    }
}

fn platform_key(child: &IndexChild) -> Option<PlatformKey<'_>> {
    child.platform().map(Platform::key)
}

/// Checks that every image has a platform, and that no two have the same.
///
/// # Errors
/// One doesn't, with a hint how to override that (`ErrorKind::Guard`).
pub(crate) fn check_platforms(children: &[IndexChild]) -> Result<()> {
    let images: Vec<&IndexChild> = children.iter().filter(|child| !child.descriptor.is_attestation()).collect();
    for child in &images {
        if child.platform().is_none() {
            let digest = &child.descriptor.digest;
            let text = format!("{} ({digest}) has no platform, so no client would choose it", child.name);
            let hint = format!(
                "--platform-of {digest}=OS/ARCHITECTURE gives it one, --remove {digest} removes it from an index"
            );
            return Err(Error::guard(GuardKind::UnknownPlatform, text).with_hint(hint));
        }
    }
    for (position, one) in images.iter().enumerate() {
        let same = |other: &&&IndexChild| match (one.platform(), other.platform()) {
            (Some(one), Some(other)) => one.is_same(other),
            _ => false,
        };
        if let Some(other) = images[position + 1..].iter().find(same)
            && let Some(platform) = one.platform()
        {
            let text = format!(
                "two images for {platform}: {} ({}) and {} ({})",
                one.name, one.descriptor.digest, other.name, other.descriptor.digest
            );
            let hint = "leave one out, replace one with --from and --replace, or correct the platform of one with \
                        --platform-of REF=OS/ARCHITECTURE[/VARIANT]";
            return Err(Error::guard(GuardKind::DuplicatePlatform, text).with_hint(hint));
        }
    }
    Ok(())
}

/// The format of an index of these children: theirs, if they agree.
///
/// # Errors
/// A child in neither format, or children in both (`ErrorKind::Guard`).
pub(crate) fn common_format(children: &[IndexChild], index: Option<&Manifest>) -> Result<Format> {
    let mut first: Option<(Format, &str)> =
        index.and_then(|index| Some((Format::of(&index.media_type)?, "the index of --from")));
    for child in children {
        let own = format_of(child)?;
        match first {
            Some((format, name)) if format != own => {
                let text = format!(
                    "{} uses {}'s media types, {name} {}'s; they can't be mixed",
                    child.name,
                    own.name(),
                    format.name()
                );
                let hint = "--format oci (or docker) converts those that differ";
                return Err(Error::guard(GuardKind::MixedFormats, text).with_hint(hint));
            }
            Some(_) => {}
            None => first = Some((own, &child.name)),
        }
    }
    Ok(first.map_or(Format::Oci, |(format, _)| format))
}

/// The format of a child.
///
/// # Errors
/// It has neither (`ErrorKind::Guard`).
pub(crate) fn format_of(child: &IndexChild) -> Result<Format> {
    let media_type = &child.descriptor.media_type;
    Format::of(media_type).ok_or_else(|| {
        let (name, digest, media_type) = (&child.name, &child.descriptor.digest, printable(media_type, 120));
        let text = format!("{name} ({digest}) is of type `{media_type}`, which can't be in an index of images");
        Error::guard(GuardKind::NotAnImage, text).with_hint(format!("leave it out, or --remove {digest}"))
    })
}

/// An index of these children: `from` with other children if it is given, otherwise a new one.
///
/// Annotations are set in the order of their names. If `from` has the same children, their order is kept, and so are
/// its bytes if nothing else changes.
///
/// # Errors
/// Docker's format can't express an annotation, or a field of `from` (`ErrorKind::Guard`).
pub(crate) fn assembled(
    children: &[IndexChild],
    from: Option<&Manifest>,
    format: Format,
    annotations: &BTreeMap<String, String>,
) -> Result<Manifest> {
    if format == Format::Docker && !annotations.is_empty() {
        let error = Error::guard(GuardKind::UnsupportedByFormat, "Docker's manifest lists have no annotations");
        return Err(error.with_hint("--format oci writes an OCI index, which has"));
    }
    let raw: Vec<Value> = children.iter().map(|child| child.raw.clone()).collect();
    let annotations: Vec<_> = annotations.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
    match from {
        Some(from) if Format::of(&from.media_type) == Some(format) && is_same_set(&from.raw_children()?, &raw) => {
            from.with_annotations(&annotations)
        }
        Some(from) => retyped(&from.with_children(raw)?, format)?.with_annotations(&annotations),
        None => {
            let empty = Manifest::from_bytes(format.index(), spec::index(format.index(), &[])?.into())?;
            empty.with_children(raw)?.with_annotations(&annotations)
        }
    }
}

fn is_same_set(one: &[Value], other: &[Value]) -> bool {
    one.len() == other.len() && one.iter().all(|child| other.contains(child))
}

/// The index with the media type of `format`.
fn retyped(index: &Manifest, format: Format) -> Result<Manifest> {
    if Format::of(&index.media_type) == Some(format) {
        return Ok(index.clone());
    }
    let malformed = |error: serde_json::Error| {
        Error::malformed(format!("manifest {}", index.digest), printable(&error.to_string(), 300))
    };
    let mut fields: Map<String, Value> = serde_json::from_slice(&index.bytes).map_err(malformed)?;
    if let Some(reason) = lost(&fields, format) {
        return Err(Error::guard(
            GuardKind::UnsupportedByFormat,
            format!("the index of --from can't be converted to {}'s format: {reason}", format.name()),
        ));
    }
    fields.insert("mediaType".to_owned(), format.index().into());
    let bytes = serde_json::to_vec(&fields).map_err(malformed)?;
    Manifest::from_bytes(format.index(), bytes.into())
}

/// Removes the children in `gone`, and the attestations about them.
pub(crate) fn without(children: Vec<IndexChild>, gone: &[Digest]) -> Vec<IndexChild> {
    let is_gone = |child: &IndexChild| {
        let subject = child.descriptor.attestation_of();
        gone.iter().any(|digest| child.descriptor.digest == *digest || subject == Some(digest.as_str()))
    };
    children.into_iter().filter(|child| !is_gone(child)).collect()
}

#[cfg(test)]
mod tests;
