//! Images made of seeded bytes: the same on every run, without a network.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::registry::Registry;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
pub const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// The Accept header for checks that read a manifest directly.
pub const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json,application/vnd.oci.image.index.v1+json,\
application/vnd.docker.distribution.manifest.v2+json,application/vnd.docker.distribution.manifest.list.v2+json,\
application/vnd.oci.artifact.manifest.v1+json,application/vnd.docker.distribution.manifest.v1+prettyjws,*/*";

/// The platforms of an index, in order.
pub const PLATFORMS: [&str; 8] = [
    "linux/amd64",
    "linux/arm64",
    "linux/arm/v7",
    "linux/arm/v6",
    "linux/386",
    "linux/ppc64le",
    "linux/s390x",
    "linux/riscv64",
];

/// A blob or a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub media_type: String,
    pub digest: String,
    pub bytes: Vec<u8>,
}

impl Content {
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { media_type: media_type.to_owned(), digest: sha256(&bytes), bytes }
    }

    /// Manifests are indented and end with a newline, so that a reader which reserializes them gets another digest.
    pub fn json(media_type: &str, value: &Value) -> Self {
        Self::new(media_type, format!("{value:#}\n").into_bytes())
    }

    pub fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// Everything that belongs to an image or index.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Configs and layers, each once.
    pub blobs: Vec<Content>,
    /// Layers that registries don't hold and that clients fetch from their URLs.
    pub foreign: Vec<Content>,
    /// Manifests, children before parents; the last one is the image's own.
    pub manifests: Vec<Content>,
}

impl Image {
    pub fn root(&self) -> &Content {
        self.manifests.last().unwrap()
    }

    pub fn digest(&self) -> &str {
        &self.root().digest
    }

    /// The total size of all blobs and manifests.
    pub fn size(&self) -> usize {
        self.blobs.iter().chain(&self.manifests).map(|content| content.bytes.len()).sum()
    }

    /// Adds blobs and manifests that aren't in the image yet.
    pub fn take_in(&mut self, other: Self) {
        let add = |own: &mut Vec<Content>, theirs: Vec<Content>| {
            for content in theirs {
                if !own.contains(&content) {
                    own.push(content);
                }
            }
        };
        add(&mut self.blobs, other.blobs);
        add(&mut self.foreign, other.foreign);
        add(&mut self.manifests, other.manifests);
    }

    /// Pushes everything to a registry, under a tag.
    pub fn push(&self, registry: &Registry, repository: &str, tag: &str) {
        self.push_blobs(registry, repository);
        let (root, children) = self.manifests.split_last().unwrap();
        for child in children {
            registry.put_manifest(repository, &child.digest, child);
        }
        registry.put_manifest(repository, tag, root);
    }

    pub fn push_blobs(&self, registry: &Registry, repository: &str) {
        for blob in &self.blobs {
            registry.put_blob(repository, blob);
        }
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// Pseudorandom bytes for a seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// The format of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Oci,
    Docker,
}

impl Style {
    fn types(self) -> [&'static str; 4] {
        match self {
            Self::Oci => [OCI_MANIFEST, OCI_INDEX, OCI_CONFIG, OCI_LAYER],
            Self::Docker => [DOCKER_MANIFEST, DOCKER_LIST, DOCKER_CONFIG, DOCKER_LAYER],
        }
    }
}

/// `os/architecture[/variant]` as JSON for an index.
pub fn platform(text: &str) -> Value {
    let parts: Vec<&str> = text.split('/').collect();
    let mut value = json!({"architecture": parts[1], "os": parts[0]});
    if let Some(variant) = parts.get(2) {
        value["variant"] = json!(variant);
    }
    value
}

fn config(style: Style, on: &str, layers: &[Content]) -> Content {
    config_of(style, platform(on), layers)
}

fn config_of(style: Style, mut value: Value, layers: &[Content]) -> Content {
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    if value.get("config").is_none() {
        value["config"] = json!({"Healthcheck": {"Test": ["CMD", "true"]}, "OnBuild": ["RUN true"]});
    }
    if value.get("rootfs").is_none() {
        value["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    }
    Content::new(style.types()[2], value.to_string().into_bytes())
}

/// An image with these layers for one platform.
pub fn image_of(style: Style, on: &str, layers: Vec<Content>) -> Image {
    image_with(style, platform(on), layers)
}

/// An image that satisfies tools which inspect layers: its layer is an empty tar.
pub fn well_formed(mut fields: Value) -> Image {
    let tar = vec![0; 1024];
    fields["rootfs"] = json!({"type": "layers", "diff_ids": [sha256(&tar)]});
    // gzip (RFC 1952) with one stored block, and the CRC-32 of that many zeros.
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 0x00, 0x04, 0xff, 0xfb];
    let tail = [0x2e, 0xaf, 0xb5, 0xef, 0x00, 0x04, 0, 0];
    let gzip = [&head[..], &tar, &tail].concat();
    image_with(Style::Oci, fields, vec![Content::new(OCI_LAYER, gzip)])
}

/// An image with these layers, whose config starts with these fields.
pub fn image_with(style: Style, fields: Value, layers: Vec<Content>) -> Image {
    let config = config_of(style, fields, &layers);
    let descriptors: Vec<Value> = layers.iter().map(Content::descriptor).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": style.types()[0], "config": config.descriptor(), "layers": descriptors,
    });
    let mut image = Image { manifests: vec![Content::json(style.types()[0], &manifest)], ..Image::default() };
    image.take_in(Image { blobs: layers, ..Image::default() });
    image.blobs.push(config);
    image
}

pub fn layers(style: Style, seed: u64, count: usize, size: usize) -> Vec<Content> {
    (0..count).map(|number| Content::new(style.types()[3], noise(seed * 1000 + number as u64, size))).collect()
}

/// An OCI image for linux/amd64.
pub fn image(seed: u64, count: usize, size: usize) -> Image {
    image_of(Style::Oci, PLATFORMS[0], layers(Style::Oci, seed, count, size))
}

/// An index of these images, with extra descriptor fields for each besides type, digest and size.
pub fn index_of(style: Style, images: Vec<(Image, Value)>) -> Image {
    let mut whole = Image::default();
    let mut children = Vec::new();
    for (image, extra) in images {
        let mut descriptor = image.root().descriptor();
        for (name, value) in extra.as_object().unwrap() {
            descriptor[name] = value.clone();
        }
        children.push(descriptor);
        whole.take_in(image);
    }
    let index = json!({"schemaVersion": 2, "mediaType": style.types()[1], "manifests": children});
    whole.manifests.push(Content::json(style.types()[1], &index));
    whole
}

/// An index of the first platforms of [`PLATFORMS`], each with its own layers.
pub fn index(style: Style, seed: u64, platforms: usize, count: usize, size: usize) -> Image {
    let one = |(number, on): (usize, &&str)| {
        let layers = layers(style, seed * 100 + number as u64, count, size);
        (image_of(style, on, layers), json!({"platform": platform(on)}))
    };
    index_of(style, PLATFORMS.iter().take(platforms).enumerate().map(one).collect())
}

/// An index whose platforms share all layers except one each.
pub fn index_with_shared_layers(seed: u64, platforms: usize, shared: usize, size: usize) -> Image {
    let common = layers(Style::Oci, seed * 100 + 99, shared, size);
    let one = |(number, on): (usize, &&str)| {
        let mut own = common.clone();
        own.extend(layers(Style::Oci, seed * 100 + number as u64, 1, size));
        (image_of(Style::Oci, on, own), json!({"platform": platform(on)}))
    };
    index_of(Style::Oci, PLATFORMS.iter().take(platforms).enumerate().map(one).collect())
}

/// What `BuildKit` writes: two platforms, each with an attestation manifest, as a child of an outer index that also has
/// another image.
pub fn nested(seed: u64) -> Image {
    let inner = attested(seed);
    let other = image_of(Style::Oci, PLATFORMS[2], layers(Style::Oci, seed * 100 + 50, 1, 700));
    let about_inner = json!({"annotations": {"com.example.inner": "yes"}});
    index_of(Style::Oci, vec![(inner, about_inner), (other, json!({"platform": platform(PLATFORMS[2])}))])
}

/// An index of two platforms, each with a `BuildKit` attestation manifest.
pub fn attested(seed: u64) -> Image {
    let mut children = Vec::new();
    for (number, on) in PLATFORMS.iter().take(2).enumerate() {
        let own = seed * 100 + number as u64;
        let image = image_of(Style::Oci, on, layers(Style::Oci, own, 2, 900));
        let subject = image.digest().to_owned();
        children.push((image, json!({"platform": platform(on)})));
        children.push((
            attestation(own),
            json!({
                "annotations": {
                    "vnd.docker.reference.digest": subject,
                    "vnd.docker.reference.type": "attestation-manifest",
                },
                "platform": {"architecture": "unknown", "os": "unknown"},
            }),
        ));
    }
    index_of(Style::Oci, children)
}

fn attestation(seed: u64) -> Image {
    let statement = format!(r#"{{"_type":"https://in-toto.io/Statement/v0.1","seed":{seed}}}"#);
    let layer = Content::new("application/vnd.in-toto+json", statement.into_bytes());
    image_of(Style::Oci, "unknown/unknown", vec![layer])
}

/// An image with one layer of its own and one foreign layer that nobody serves.
pub fn with_foreign_layer(seed: u64) -> Image {
    with_foreign_layer_at(seed, |digest| format!("https://layers.invalid/{digest}"))
}

/// An image with one layer of its own and one foreign layer, at the URL that `url` makes from its digest.
pub fn with_foreign_layer_at(seed: u64, url: impl Fn(&str) -> String) -> Image {
    let own = layers(Style::Oci, seed, 1, 800);
    let foreign = Content::new(OCI_FOREIGN, noise(seed * 1000 + 900, 600));
    let config = config(Style::Oci, PLATFORMS[0], &own);
    let mut descriptor = foreign.descriptor();
    descriptor["urls"] = json!([url(&foreign.digest)]);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.descriptor(),
        "layers": [descriptor, own[0].descriptor()],
    });
    let mut blobs = own;
    blobs.push(config);
    Image { blobs, foreign: vec![foreign], manifests: vec![Content::json(OCI_MANIFEST, &manifest)] }
}

/// An OCI artifact manifest with two blobs.
pub fn artifact(seed: u64) -> Image {
    let blobs: Vec<Content> =
        (0..2).map(|number| Content::new("application/vnd.example.data", noise(seed * 10 + number, 500))).collect();
    let descriptors: Vec<Value> = blobs.iter().map(Content::descriptor).collect();
    let manifest = json!({
        "mediaType": OCI_ARTIFACT, "artifactType": "application/vnd.example", "blobs": descriptors,
    });
    Image { blobs, manifests: vec![Content::json(OCI_ARTIFACT, &manifest)], ..Image::default() }
}

/// A manifest of an unknown kind.
pub fn unknown_manifest(seed: u64) -> Image {
    let text = format!("{{ \"schemaVersion\": 7, \"number\": {seed} }}\n");
    Image { manifests: vec![Content::new("application/vnd.example.strange", text.into_bytes())], ..Image::default() }
}

/// An index of an image and a manifest of an unknown kind.
pub fn index_with_unknown_manifest(seed: u64) -> Image {
    let known = image(seed, 1, 400);
    index_of(
        Style::Oci,
        vec![(known, json!({"platform": platform(PLATFORMS[0])})), (unknown_manifest(seed), json!({}))],
    )
}

/// What is left of an index if only the children at these positions are kept.
pub fn index_with_only(index: &Image, kept: &[usize]) -> Value {
    let mut value: Value = serde_json::from_slice(&index.root().bytes).unwrap();
    let children = value["manifests"].as_array().unwrap();
    value["manifests"] = kept.iter().map(|position| children[*position].clone()).collect();
    value
}
