//! `inspect`: lists what an image consists of: platforms, sizes, layers, annotations, referrers.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::context::Context;
use super::sources;
use crate::error::Result;
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, Manifest};
use crate::image::media_type::{self, Kind};
use crate::image::reference::Reference;
use crate::report::console::Console;
use crate::report::inspection::{Inspection, Node, NodePart, Referrer};
use crate::transfer::manifest_limits::{ManifestTotals, check_nesting};
use crate::transfer::store::Store;

/// Inspects an image.
///
/// # Errors
/// There is no such image, or a part of it is malformed.
pub(crate) async fn run(context: &Context, image: &Reference) -> Result<Inspection> {
    let store = context.source(image).await?;
    let manifest = sources::read(image, &store).await?;
    let totals = ManifestTotals::default();
    let (mut root, referrers) =
        tokio::try_join!(node(&store, &totals, manifest, 0), referrers(&store, image, &context.console))?;
    if let (None, Some(config)) = (&root.platform, &root.config)
        && media_type::is_image_config(&config.media_type)
    {
        let config = Descriptor::new(config.media_type.clone(), config.digest.clone(), config.size);
        root.platform = sources::platform_of(&store, &config).await?.map(|platform| platform.to_string());
    }
    Ok(Inspection {
        schema_version: 1,
        reference: image.to_string(),
        pinned: format!("{}@{}", image.name(), root.digest),
        root,
        referrers,
    })
}

async fn referrers(store: &Store, image: &Reference, console: &Console) -> Result<Vec<Referrer>> {
    let Store::Registry(repository) = store else { return Ok(Vec::new()) };
    let digest = sources::resolve(image, store).await?;
    // All else is still worth showing if the referrers can't be listed.
    let found = match repository.referrers(&digest).await {
        Ok(found) => found,
        Err(error) => {
            console.warn(&format!("the referrers can't be listed: {error}"));
            Vec::new()
        }
    };
    Ok(found
        .into_iter()
        .map(|entry| Referrer {
            digest: entry.digest,
            artifact_type: entry.artifact_type.unwrap_or(entry.media_type),
            size: entry.size,
            annotations: entry.annotations,
        })
        .collect())
}

fn node<'n>(
    store: &'n Store,
    totals: &'n ManifestTotals,
    manifest: Manifest,
    depth: usize,
) -> std::pin::Pin<Box<dyn Future<Output = Result<Node>> + 'n>> {
    Box::pin(async move {
        check_nesting(&manifest, depth)?;
        let mut node = node_of(&manifest.descriptor());
        node.annotations = manifest.annotations();
        let content = manifest.content()?;
        totals.count(&manifest, &content)?;
        drop(manifest);
        match content {
            Content::Index { manifests } => {
                let children = manifests.iter().map(|child| child_node(store, totals, child, depth + 1));
                node.manifests = try_join_all(children).await?;
            }
            Content::Image { config, layers } => {
                node.config = Some(part(&config));
                node.layers = layers.iter().map(part).collect();
            }
            Content::Artifact { blobs } => node.layers = blobs.iter().map(part).collect(),
            Content::Schema1 { layers } => {
                node.layers = try_join_all(layers.iter().map(|digest| schema1_layer(store, digest))).await?;
            }
            Content::Unknown => {}
        }
        Ok(node)
    })
}

async fn child_node(store: &Store, totals: &ManifestTotals, child: &Descriptor, depth: usize) -> Result<Node> {
    let mut node = if media_type::kind(&child.media_type) == Kind::Blob {
        node_of(child)
    } else {
        totals.keep(child)?;
        match store.child(child).await? {
            Some(manifest) => node(store, totals, manifest, depth).await?,
            None => Node { missing: true, ..node_of(child) },
        }
    };
    node.platform = child.platform.as_ref().filter(|_| !child.is_attestation()).map(ToString::to_string);
    node.attestation_of = child.attestation_of().map(str::to_owned);
    for (key, value) in &child.annotations {
        node.annotations.entry(key.clone()).or_insert_with(|| value.clone());
    }
    Ok(node)
}

async fn schema1_layer(store: &Store, digest: &Digest) -> Result<NodePart> {
    Ok(NodePart {
        digest: digest.clone(),
        media_type: String::new(),
        size: store.blob_size(digest).await?.unwrap_or(0),
        foreign: false,
        annotations: BTreeMap::new(),
    })
}

fn node_of(descriptor: &Descriptor) -> Node {
    Node {
        digest: descriptor.digest.clone(),
        media_type: descriptor.media_type.clone(),
        size: descriptor.size,
        platform: None,
        attestation_of: None,
        annotations: BTreeMap::new(),
        config: None,
        layers: Vec::new(),
        manifests: Vec::new(),
        missing: false,
    }
}

fn part(blob: &Descriptor) -> NodePart {
    NodePart {
        digest: blob.digest.clone(),
        media_type: blob.media_type.clone(),
        size: blob.size,
        foreign: blob.is_foreign(),
        annotations: blob.annotations.clone(),
    }
}
