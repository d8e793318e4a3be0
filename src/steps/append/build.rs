//! Builds the images of an append and their index: those of the base, with the layers on top and the config changed.

use anyhow::Context as _;
use bytes::Bytes;
use oci_spec::image::{ANNOTATION_BASE_IMAGE_DIGEST, ANNOTATION_BASE_IMAGE_NAME};
use serde_json::{Map, Value};

use super::base::{Base, BaseImage};
use super::layers::{self, Layer};
use super::{Request, descriptor_of};
use crate::error::{Error, Result};
use crate::image::config::{Changes, Config};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::format::{Format, throughout};
use crate::image::manifest::{Content, Manifest, describe};
use crate::image::platform::Platform;

/// The images of the result.
pub(super) struct BuiltImages {
    /// The index, or the one image.
    pub root: Manifest,
    /// The images of an index, in its order.
    pub children: Vec<Manifest>,
    /// Each platform and its image.
    pub platforms: Vec<(Platform, Digest)>,
    /// The configs and their bytes.
    pub configs: Vec<(Descriptor, Bytes)>,
    /// The new layers.
    pub layers: Vec<Descriptor>,
}

impl BuiltImages {
    /// All blobs that don't come from the base.
    pub(super) fn new_blobs(&self) -> Vec<Descriptor> {
        self.layers.iter().chain(self.configs.iter().map(|(config, _)| config)).cloned().collect()
    }
}

/// Builds all images, and the index of them. `configs` are those of the base's images.
///
/// # Errors
/// A base that is malformed, or that can't be expressed in the requested format.
pub(super) fn build(request: &Request, base: &Base, configs: &[Config], layers: &[Layer]) -> Result<BuiltImages> {
    let format = request.format.unwrap_or(base.format);
    if format == Format::Docker && base.images.iter().any(|image| image.changes.sets_annotations()) {
        let error = Error::usage("the result has Docker's format, which has no annotations");
        return Err(error.with_hint("add --format oci"));
    }
    let (mut changed, mut new, mut children) = (Vec::new(), Vec::new(), Vec::new());
    for (image, config) in base.images.iter().zip(configs) {
        let child = one(request, base, (image, config), layers, format)?;
        changed.push(child.config);
        new.extend(child.layers);
        children.push(child.manifest);
    }
    let platforms = base.images.iter().zip(&children);
    let platforms = platforms.map(|(image, child)| (image.platform.clone(), child.digest.clone())).collect();
    let root = match &base.index {
        Some(index) => over(request, base, index, &children, format)?,
        None => children.pop().ok_or_else(|| Error::bug("the base has no image"))?,
    };
    Ok(BuiltImages { root, children, platforms, configs: changed, layers: new })
}

struct BuiltChild {
    manifest: Manifest,
    config: (Descriptor, Bytes),
    layers: Vec<Descriptor>,
}

fn one(
    request: &Request,
    base: &Base,
    (image, config): (&BaseImage, &Config),
    layers: &[Layer],
    format: Format,
) -> Result<BuiltChild> {
    let mut config = config.clone();
    let mut new = Vec::new();
    let base_layers = match (&base.store, image.manifest.content()) {
        (Some(_), content) => match content? {
            Content::Image { layers, .. } => layers,
            _ => Vec::new(),
        },
        // The manifest of an empty base is incomplete: it has no config yet.
        (None, _) => Vec::new(),
    };
    if config.diff_ids().len() != base_layers.len() {
        return Err(Error::malformed(
            format!("the base's image {}", image.manifest.digest),
            format!("its config lists {} layers, its manifest {}", config.diff_ids().len(), base_layers.len()),
        ));
    }
    let created = image.changes.created.as_ref().unwrap_or(&request.created);
    for layer in layers::of(layers, image) {
        config.add_layer(&layer.built.diff_id, created, &layer.title)?;
        let media_type = format.layer_of(layer.built.packing).ok_or_else(|| {
            Error::usage("the result has Docker's format, which has no zstd layers").with_hint("add --format oci")
        })?;
        new.push(Descriptor::new(media_type, layer.built.digest.clone(), layer.built.size));
    }
    config.set_created(created);
    config.apply(&image.changes)?;
    let bytes = Bytes::from(config.to_bytes()?);
    let config = descriptor_of(format.config(), &bytes);
    let mut manifest = image.manifest.with_layers(&config, &new)?;
    if format == Format::Oci {
        manifest = manifest.with_annotations(&annotations(&image.changes, base, Some(&image.manifest.digest)))?;
    }
    Ok(BuiltChild {
        manifest: throughout(&drop_unsupported(&manifest, format)?, format)?,
        config: (config, bytes),
        layers: new,
    })
}

fn annotations(changes: &Changes, base: &Base, digest: Option<&Digest>) -> Vec<(String, Option<String>)> {
    base.annotations(digest).into_iter().chain(changes.annotations.iter().cloned()).collect()
}

/// The base's index, with the new images in place of its own.
fn over(request: &Request, base: &Base, index: &Manifest, children: &[Manifest], format: Format) -> Result<Manifest> {
    let entries = base.images.iter().zip(children).map(|(image, child)| entry(image, child, format));
    let mut manifest = index.with_children(entries.collect::<Result<_>>()?)?;
    if format == Format::Oci {
        manifest = manifest.with_annotations(&annotations(&request.changes.all, base, None))?;
    }
    let manifest = drop_unsupported(&manifest, format)?;
    if manifest.media_type == format.index() {
        return Ok(manifest);
    }
    let manifest = manifest.edited(|fields| {
        fields.insert("mediaType".to_owned(), Value::String(format.index().to_owned()));
        Ok(())
    })?;
    Ok(Manifest { media_type: format.index().to_owned(), ..manifest })
}

/// The manifest without the fields that Docker's format lacks, if that is the format of the result.
fn drop_unsupported(manifest: &Manifest, format: Format) -> Result<Manifest> {
    if format == Format::Oci {
        return Ok(manifest.clone());
    }
    manifest.edited(|fields| {
        for unknown in ["annotations", "subject", "artifactType"] {
            fields.shift_remove(unknown);
        }
        Ok(())
    })
}

/// The index entry of an image. The platform stays as it was in the base's index.
fn entry(image: &BaseImage, child: &Manifest, format: Format) -> Result<Value> {
    let mut fields: Map<String, Value> = image.entry.as_object().cloned().unwrap_or_default();
    describe(&mut fields, &child.descriptor());
    if !fields.contains_key("platform") {
        let platform = serde_json::to_value(&image.platform).context("a platform can't be written as JSON")?;
        fields.insert("platform".to_owned(), platform);
    }
    if format == Format::Docker {
        fields.shift_remove("annotations");
    } else if let Some(annotations) = fields.get_mut("annotations").and_then(Value::as_object_mut) {
        // These are about the base's own base.
        annotations.shift_remove(ANNOTATION_BASE_IMAGE_NAME);
        annotations.shift_remove(ANNOTATION_BASE_IMAGE_DIGEST);
    }
    Ok(Value::Object(fields))
}
