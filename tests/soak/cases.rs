//! The steps that are run, and their images.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::images::{self, Content, OCI_LAYER, PLATFORMS, noise, platform, sha256};
use crate::support::{Image, Style};

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// An index of three platforms with three layers each, one of them shared.
    Promote,
    /// An image with a layer of 7 MB.
    PromoteLarge,
    /// From another repository in the same registry.
    PromoteWithin,
    /// A small layer on top of the index.
    Append,
    /// A layer of 27 MB on top of it, which is sent while it is built.
    AppendStreamed,
    /// An index of three images.
    Index,
}

pub const CASES: [Case; 6] =
    [Case::Promote, Case::PromoteLarge, Case::PromoteWithin, Case::Append, Case::AppendStreamed, Case::Index];

impl Case {
    pub fn chosen(random: &mut fastrand::Rng) -> Self {
        match random.u16(0..1000) {
            0..320 => Self::Promote,
            320..400 => Self::PromoteLarge,
            400..580 => Self::PromoteWithin,
            580..790 => Self::Append,
            790..800 => Self::AppendStreamed,
            _ => Self::Index,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote an index",
            Self::PromoteLarge => "promote 7 MB",
            Self::PromoteWithin => "promote within a registry",
            Self::Append => "append",
            Self::AppendStreamed => "append 27 MB",
            Self::Index => "index of three",
        }
    }
}

/// All images of the soak test.
pub struct Images {
    /// What the tags point to before a run.
    pub old: Image,
    pub app: Image,
    /// Of the same shape as `app`; a concurrent promotion writes it.
    pub other: Image,
    pub large: Image,
    /// One for each platform.
    pub parts: Vec<Image>,
}

impl Images {
    pub fn make() -> Self {
        Self {
            old: image(PLATFORMS[0], vec![layer(1, 2_000)]),
            app: index(10),
            other: index(20),
            large: image(PLATFORMS[0], vec![layer(30, 7_000_000), layer(31, 60_000)]),
            parts: (0..3).map(|part| image(PLATFORMS[part], vec![layer(40 + part as u64, 90_000)])).collect(),
        }
    }
}

/// Three platforms with three layers each, from 50 to 300 kB, one of them shared.
fn index(seed: u64) -> Image {
    let shared = layer(seed * 100, 300_000);
    let one = |number: usize| {
        let own = seed * 100 + 10 * (number as u64 + 1);
        let layers = vec![shared.clone(), layer(own, 50_000), layer(own + 1, 180_000)];
        (image(PLATFORMS[number], layers), json!({"platform": platform(PLATFORMS[number])}))
    };
    images::index_of(Style::Oci, (0..3).map(one).collect())
}

/// A layer, and the digest of its tar.
type Layer = (Content, String);

fn image(on: &str, layers: Vec<Layer>) -> Image {
    let (contents, diff_ids): (Vec<Content>, Vec<String>) = layers.into_iter().unzip();
    let mut fields = platform(on);
    fields["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    images::image_with(Style::Oci, fields, contents)
}

/// A layer with one file, `data/<seed>`, of incompressible bytes.
fn layer(seed: u64, size: usize) -> Layer {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(size as u64);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, format!("data/{seed}"), &noise(seed, size)[..]).unwrap();
    let tar = tar.into_inner().unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar).unwrap();
    (Content::new(OCI_LAYER, gzip.finish().unwrap()), sha256(&tar))
}
