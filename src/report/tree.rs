//! What `inspect` shows a person: an image as a tree.

use std::collections::{BTreeMap, BTreeSet};

use super::console::safe_lines;
use super::human::{bytes, count};
use super::inspection::{Inspection, Node, Part, Referrer};
use crate::error::printable;
use crate::image::media_type::{self, Kind};

/// Annotations and types are cut here, so that a line of the tree stays one.
const TEXT_LIMIT: usize = 160;

/// A line of the tree and those below it.
struct Branch {
    line: String,
    below: Vec<Branch>,
}

/// The tree, ending with a newline.
pub fn tree(inspection: &Inspection) -> String {
    let root = &inspection.root;
    let mut out = format!("{}\n{}\n{}\n", printable(&inspection.reference, 400), root.digest, summary(root));
    let mut branches = below(root);
    if !inspection.referrers.is_empty() {
        branches.push(Branch {
            line: format!("referrers: {}", inspection.referrers.len()),
            below: inspection.referrers.iter().map(referrer).collect(),
        });
    }
    write(&mut out, &branches, "");
    safe_lines(&out) + "\n"
}

fn write(out: &mut String, branches: &[Branch], indent: &str) {
    for (position, branch) in branches.iter().enumerate() {
        let last = position + 1 == branches.len();
        let (joint, further) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        out.push_str(indent);
        out.push_str(joint);
        out.push_str(&branch.line);
        out.push('\n');
        write(out, &branch.below, &format!("{indent}{further}"));
    }
}

/// What kind of manifest it is, and how much there is below it.
fn summary(node: &Node) -> String {
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
    let mut words = vec![if kind == node.media_type { printable(kind, TEXT_LIMIT) } else { known }];
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

/// Every blob below, once.
fn collect(node: &Node, parts: &mut BTreeMap<String, u64>) {
    for part in node.config.iter().chain(&node.layers).filter(|part| !part.foreign) {
        parts.insert(part.digest.to_string(), part.size);
    }
    node.manifests.iter().for_each(|child| collect(child, parts));
}

fn below(node: &Node) -> Vec<Branch> {
    let mut branches = Vec::new();
    if !node.annotations.is_empty() {
        let entries = node
            .annotations
            .iter()
            .map(|(key, value)| leaf(format!("{}: {}", printable(key, TEXT_LIMIT), printable(value, TEXT_LIMIT))));
        branches.push(Branch { line: "annotations".to_owned(), below: entries.collect() });
    }
    branches.extend(node.config.iter().map(|config| part("config", config)));
    branches.extend(
        node.layers.iter().enumerate().map(|(position, layer)| part(&format!("layer {}", position + 1), layer)),
    );
    branches.extend(node.manifests.iter().map(child));
    branches
}

fn child(node: &Node) -> Branch {
    let name = match (&node.platform, &node.attestation_of) {
        (_, Some(subject)) => format!("attestation of {}", printable(subject, 19)),
        (Some(platform), None) => platform.clone(),
        (None, None) => "no platform".to_owned(),
    };
    if node.missing {
        return leaf(format!("{name}  {}  missing: the index names it, the registry lacks it", node.digest));
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
    Branch { line: format!("{name}  {}  {weight}", node.digest), below: below(node) }
}

fn part(name: &str, part: &Part) -> Branch {
    let kind = part.media_type.rsplit('/').next().unwrap_or_default();
    let foreign = if part.foreign { "  foreign: left where its URLs point" } else { "" };
    leaf(
        format!("{name}  {}  {}  {}{foreign}", part.digest, bytes(part.size), printable(kind, TEXT_LIMIT))
            .trim_end()
            .to_owned(),
    )
}

fn referrer(referrer: &Referrer) -> Branch {
    leaf(format!("{}  {}  {}", printable(&referrer.artifact_type, TEXT_LIMIT), referrer.digest, bytes(referrer.size)))
}

fn leaf(line: String) -> Branch {
    Branch { line, below: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    fn part_of(name: &str, size: u64) -> Part {
        Part {
            digest: Digest::of(name.as_bytes()),
            media_type: media_type::OCI_CONFIG.to_owned(),
            size,
            foreign: false,
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

    #[test]
    fn a_tree_is_read_from_top_to_bottom() {
        let mut image = node_of("image", media_type::OCI_MANIFEST);
        image.platform = Some("linux/amd64".to_owned());
        image.config = Some(part_of("config", 1_500));
        image.layers = vec![part_of("layer", 2_000_000)];
        let missing = Node { missing: true, platform: Some("linux/arm64".to_owned()), ..node_of("gone", "") };
        let mut root = node_of("root", media_type::OCI_INDEX);
        root.annotations.insert("title".to_owned(), "evil\u{1b}[2J".to_owned());
        root.manifests = vec![image, missing];
        let inspection = Inspection {
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
        };
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
        assert_eq!(tree(&inspection), expected);
    }
}
