//! Everything that a step writes can be read with the image specification's types, without an unknown field.

use std::fs;
use std::path::Path;

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, OciLayout};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::support::{Folder, imgstep};

/// Reads a document with its type. A field that the type drops isn't in the specification.
fn read<T: Serialize + DeserializeOwned>(path: &Path) -> T {
    let text = fs::read_to_string(path).unwrap();
    // The type (oci-spec 0.10) uses other names for these.
    let text = text.replace(r#""os.version":"10.0""#, r#""os_version":"10.0""#);
    let (typed, whole): (T, Value) = (serde_json::from_str(&text).unwrap(), serde_json::from_str(&text).unwrap());
    assert_eq!(serde_json::to_value(&typed).unwrap(), whole, "{}", path.display());
    typed
}

fn blob(layout: &Path, descriptor: &Descriptor) -> std::path::PathBuf {
    let path = layout.join("blobs/sha256").join(descriptor.as_digest_sha256().unwrap());
    assert_eq!(fs::metadata(&path).unwrap().len(), descriptor.size());
    path
}

/// Reads all documents of a layout; returns the number of manifests and indexes.
fn assert_specified(layout: &Path) -> usize {
    let version: OciLayout = read(&layout.join("oci-layout"));
    assert_eq!(version.image_layout_version(), "1.0.0");
    let mut waiting = read::<ImageIndex>(&layout.join("index.json")).manifests().clone();
    let mut seen = 0;
    while let Some(descriptor) = waiting.pop() {
        seen += 1;
        let path = blob(layout, &descriptor);
        if *descriptor.media_type() == MediaType::ImageIndex {
            let index: ImageIndex = read(&path);
            assert_eq!(index.media_type(), &Some(MediaType::ImageIndex));
            waiting.extend(index.manifests().clone());
            continue;
        }
        let manifest: ImageManifest = read(&path);
        assert_eq!(manifest.media_type(), &Some(MediaType::ImageManifest));
        let text = fs::read_to_string(blob(layout, manifest.config())).unwrap();
        let config: ImageConfiguration = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(&config).unwrap(), serde_json::from_str::<Value>(&text).unwrap(), "{text}");
        assert_eq!(config.rootfs().diff_ids().len(), manifest.layers().len());
    }
    seen
}

#[test]
fn what_steps_write_matches_the_specification() {
    let folder = Folder::new();
    folder.write("file", "content");
    folder.write("task.yaml", "apiVersion: tekton.dev/v1\nkind: Task\nmetadata:\n  name: build\n");
    let run = |words: &[&str]| imgstep(words).in_folder(folder.path()).run().ended(0);
    let changes = [
        "--entrypoint=/app",
        "--cmd=-v",
        "--env=A=1",
        "--label=b=2",
        "--user=65532",
        "--workdir=/srv",
        "--expose=8080",
        "--volume=/data",
        "--stop-signal=SIGINT",
        "--annotation=c=3",
    ];
    let many = ["--platform", "linux/amd64", "linux/arm/v7", "windows/amd64:10.0"];
    run(&[&["append", "scratch", "--to", "oci:made:base", "--layer", "file=/data/file"], &many[..]].concat());
    run(&[&["append", "oci:made:base", "--to", "oci:made:more", "--layer", "file=/data/other"], &changes[..]].concat());
    run(&[&["mutate", "oci:made:more", "--to", "oci:made:mutated", "--created", "1714979289"], &changes[..]].concat());
    run(&["append", "scratch", "--to", "oci:made:one", "--layer", "file=/file", "--platform", "linux/s390x"]);
    run(&["index", "oci:made:base", "oci:made:one", "--to", "oci:made:index", "--annotation", "d=4"]);
    run(&["bundle", "task.yaml", "--to", "oci:made:bundle", "--annotation", "e=5"]);
    assert_eq!(assert_specified(&folder.join("made")), 4 + 4 + 4 + 1 + 5 + 1);
}
