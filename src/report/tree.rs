//! Formats an image as a tree, for `inspect`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;

use super::console::safe_lines;
use super::human::{bytes, count};
use super::inspection::{Inspection, Node, NodePart, Referrer};
use super::screen;
use crate::image::digest::Digest;
use crate::image::media_type::{self, Kind};
use crate::text::printable;

/// Maximum length of annotations and types, so that a line of the tree stays one line.
const TEXT_LIMIT: usize = 160;

/// A line of the tree and those below it.
struct Branch {
    line: String,
    below: Vec<Branch>,
}

/// How wide a line may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// Unlimited, for programs and logs.
    Whole,
    /// A terminal of this many columns: short digests and types, and no line that wraps.
    Columns(usize),
}

impl Width {
    fn is_whole(self) -> bool {
        self == Self::Whole
    }

    fn digest(self, digest: &Digest) -> &str {
        if self.is_whole() { digest.as_str() } else { digest.short() }
    }

    /// Cuts a line to the space after `indent`.
    fn line(self, indent: &str, line: &str) -> String {
        let whole = format!("{indent}{line}");
        match self {
            Self::Columns(columns) if whole.chars().count() > columns => {
                let kept: String = whole.chars().take(columns.saturating_sub(1)).collect();
                kept + "…"
            }
            _ => whole,
        }
    }
}

/// The width of stdout: only a terminal wraps long lines.
pub(super) fn width_of_stdout() -> Width {
    let variable = |name| std::env::var(name).ok();
    let is_terminal = std::io::stdout().is_terminal();
    if screen::wants_bars(is_terminal, variable("TERM").as_deref(), variable("CI").as_deref()) {
        Width::Columns(screen::size_of(std::io::stdout()).0)
    } else {
        Width::Whole
    }
}

/// The tree, with a trailing newline. Its first two lines are never cut, since users copy them.
pub(super) fn tree(inspection: &Inspection, width: Width) -> String {
    let root = &inspection.root;
    let mut out = format!("{}\n{}\n", printable(&inspection.reference, 400), root.digest);
    out.push_str(&width.line("", &summary(root, width)));
    out.push('\n');
    let mut branches = below(root, width);
    if !inspection.referrers.is_empty() {
        branches.push(Branch {
            line: format!("referrers: {}", inspection.referrers.len()),
            below: inspection.referrers.iter().map(|found| referrer(found, width)).collect(),
        });
    }
    write(&mut out, &branches, "", width);
    safe_lines(&out) + "\n"
}

fn write(out: &mut String, branches: &[Branch], indent: &str, width: Width) {
    for (position, branch) in branches.iter().enumerate() {
        let last = position + 1 == branches.len();
        let (joint, further) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        out.push_str(&width.line(&format!("{indent}{joint}"), &branch.line));
        out.push('\n');
        write(out, &branch.below, &format!("{indent}{further}"), width);
    }
}

/// The kind of manifest, and the size of its content.
fn summary(node: &Node, width: Width) -> String {
    let kind = match media_type::kind(&node.media_type) {
        Kind::Index if node.media_type == media_type::OCI_INDEX => "OCI index",
        Kind::Index => "Docker manifest list",
        Kind::Image if node.media_type == media_type::OCI_MANIFEST => "OCI image",
        Kind::Image => "Docker image",
        Kind::Artifact => "OCI artifact",
        Kind::Schema1 => "Docker schema 1 image",
        Kind::Blob | Kind::Unknown => node.media_type.as_str(),
    };
    let known = format!("{kind} ({})", node.media_type);
    let is_told = kind == node.media_type || !width.is_whole();
    let mut words = vec![if is_told { printable(kind, TEXT_LIMIT) } else { known }];
    words.extend(node.platform.clone());
    if !node.manifests.is_empty() {
        let attestations = node.manifests.iter().filter(|child| child.attestation_of.is_some()).count();
        words.push(count(node.manifests.len() - attestations, "image"));
        if attestations > 0 {
            words.push(count(attestations, "attestation"));
        }
    }
    let mut parts = BTreeMap::new();
    collect(node, &mut parts);
    if !parts.is_empty() {
        words.push(format!(
            "{} in {}",
            bytes(parts.values().copied().fold(0, u64::saturating_add)),
            count(parts.len(), "blob")
        ));
    }
    words.join(", ")
}

/// Every blob below it, once.
fn collect(node: &Node, parts: &mut BTreeMap<String, u64>) {
    for part in node.config.iter().chain(&node.layers).filter(|part| !part.foreign) {
        parts.insert(part.digest.to_string(), part.size);
    }
    node.manifests.iter().for_each(|child| collect(child, parts));
}

fn below(node: &Node, width: Width) -> Vec<Branch> {
    let mut branches = Vec::new();
    if !node.annotations.is_empty() {
        branches.push(Branch { line: "annotations".to_owned(), below: annotations(&node.annotations) });
    }
    branches.extend(node.config.iter().map(|config| part("config", config, width)));
    branches.extend(
        node.layers.iter().enumerate().map(|(position, layer)| part(&format!("layer {}", position + 1), layer, width)),
    );
    branches.extend(node.manifests.iter().map(|node| child(node, width)));
    branches
}

fn annotations(of: &BTreeMap<String, String>) -> Vec<Branch> {
    let entry = |(key, value): (&String, &String)| {
        leaf(format!("{}: {}", printable(key, TEXT_LIMIT), printable(value, TEXT_LIMIT)))
    };
    of.iter().map(entry).collect()
}

fn child(node: &Node, width: Width) -> Branch {
    let digest = width.digest(&node.digest);
    let name = match (&node.platform, &node.attestation_of) {
        (_, Some(subject)) => format!("attestation of {}", printable(subject, 19)),
        (Some(platform), None) => platform.clone(),
        (None, None) => "no platform".to_owned(),
    };
    if node.missing {
        return leaf(format!("{name}  {digest}  missing: the index names it, the registry lacks it"));
    }
    let layers: BTreeSet<&str> = node.layers.iter().map(|layer| layer.digest.as_str()).collect();
    let mut parts = BTreeMap::new();
    collect(node, &mut parts);
    let weight = match layers.len() {
        0 => bytes(node.size),
        layers => {
            format!("{} in {}", bytes(parts.values().copied().fold(0, u64::saturating_add)), count(layers, "layer"))
        }
    };
    Branch { line: format!("{name}  {digest}  {weight}"), below: below(node, width) }
}

fn part(name: &str, part: &NodePart, width: Width) -> Branch {
    let kind = part.media_type.rsplit('/').next().unwrap_or_default();
    let kind = if width.is_whole() { kind } else { short_type(kind) };
    let foreign = if part.foreign { "  foreign: left where its URLs point" } else { "" };
    let (digest, size) = (width.digest(&part.digest), bytes(part.size));
    let line = format!("{name}  {digest}  {size}  {}{foreign}", printable(kind, TEXT_LIMIT));
    Branch { line: line.trim_end().to_owned(), below: annotations(&part.annotations) }
}

/// The interesting part of a media type: the compression of a layer; nothing for a common config type.
fn short_type(kind: &str) -> &str {
    match kind {
        "vnd.oci.image.config.v1+json" | "vnd.docker.container.image.v1+json" => "",
        _ => kind.rfind(".tar").map_or(kind.trim_start_matches("vnd."), |position| &kind[position + 1..]),
    }
}

fn referrer(referrer: &Referrer, width: Width) -> Branch {
    let (kind, digest) = (printable(&referrer.artifact_type, TEXT_LIMIT), width.digest(&referrer.digest));
    leaf(format!("{kind}  {digest}  {}", bytes(referrer.size)))
}

fn leaf(line: String) -> Branch {
    Branch { line, below: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part_of(name: &str, size: u64) -> NodePart {
        NodePart {
            digest: Digest::of(name.as_bytes()),
            media_type: media_type::OCI_CONFIG.to_owned(),
            size,
            foreign: false,
            annotations: BTreeMap::new(),
        }
    }

    fn node_of(name: &str, media_type: &str) -> Node {
        Node {
            digest: Digest::of(name.as_bytes()),
            media_type: media_type.to_owned(),
            size: 500,
            platform: None,
            attestation_of: None,
            annotations: BTreeMap::new(),
            config: None,
            layers: Vec::new(),
            manifests: Vec::new(),
            missing: false,
        }
    }

    fn inspection() -> Inspection {
        let mut image = node_of("image", media_type::OCI_MANIFEST);
        image.platform = Some("linux/amd64".to_owned());
        image.config = Some(part_of("config", 1_500));
        image.layers = vec![part_of("layer", 2_000_000)];
        let missing = Node { missing: true, platform: Some("linux/arm64".to_owned()), ..node_of("gone", "") };
        let mut root = node_of("root", media_type::OCI_INDEX);
        root.annotations.insert("title".to_owned(), "evil\u{1b}[2J".to_owned());
        root.manifests = vec![image, missing];
        Inspection {
            schema_version: 1,
            reference: "r.example/app:v1".to_owned(),
            pinned: String::new(),
            root,
            referrers: vec![Referrer {
                digest: Digest::of(b"sbom"),
                artifact_type: "application/spdx+json".to_owned(),
                size: 700,
                annotations: BTreeMap::new(),
            }],
        }
    }

    #[test]
    fn a_tree_is_read_from_top_to_bottom() {
        let expected = format!(
            "r.example/app:v1\n{root}\nOCI index ({}), 2 images, 2.0 MB in 2 blobs\n\
             ├─ annotations\n│  └─ title: evil\\u{{1b}}[2J\n\
             ├─ linux/amd64  {image}  2.0 MB in 1 layer\n\
             │  ├─ config  {config}  1.5 kB  vnd.oci.image.config.v1+json\n\
             │  └─ layer 1  {layer}  2.0 MB  vnd.oci.image.config.v1+json\n\
             ├─ linux/arm64  {gone}  missing: the index names it, the registry lacks it\n\
             └─ referrers: 1\n   └─ application/spdx+json  {sbom}  700 B\n",
            media_type::OCI_INDEX,
            root = Digest::of(b"root"),
            image = Digest::of(b"image"),
            config = Digest::of(b"config"),
            layer = Digest::of(b"layer"),
            gone = Digest::of(b"gone"),
            sbom = Digest::of(b"sbom"),
        );
        assert_eq!(tree(&inspection(), Width::Whole), expected);
    }

    #[test]
    fn on_a_terminal_no_line_breaks() {
        let mut inspection = inspection();
        inspection.root.annotations.insert("description".to_owned(), "long ".repeat(30));
        let image = &mut inspection.root.manifests[0];
        image.layers[0].media_type = "application/vnd.oci.image.layer.v1.tar+gzip".to_owned();
        image.layers[0].annotations.insert("dev.tekton.image.name".to_owned(), "build".to_owned());
        let shown = tree(&inspection, Width::Columns(60));
        let short = |seed: &str| Digest::of(seed.as_bytes()).short().to_owned();
        let expected = format!(
            "r.example/app:v1\n{root}\nOCI index, 2 images, 2.0 MB in 2 blobs\n\
             ├─ annotations\n│  ├─ description: {long}…\n│  └─ title: evil\\u{{1b}}[2J\n\
             ├─ linux/amd64  {image}  2.0 MB in 1 layer\n\
             │  ├─ config  {config}  1.5 kB\n\
             │  └─ layer 1  {layer}  2.0 MB  tar+gzip\n\
             │     └─ dev.tekton.image.name: build\n\
             ├─ linux/arm64  {gone}  missing: the index nam…\n\
             └─ referrers: 1\n   └─ application/spdx+json  {sbom}  700 B\n",
            root = Digest::of(b"root"),
            long = &"long ".repeat(30)[..60 - 6 - 13 - 1],
            image = short("image"),
            config = short("config"),
            layer = short("layer"),
            gone = short("gone"),
            sbom = short("sbom"),
        );
        assert_eq!(shown, expected);
    }
}
