//! OCI image layouts on disk: written by hand, and checked file by file.

use std::path::Path;

use serde_json::{Value, json};

use super::images::{Image, OCI_INDEX, sha256};

/// Writes a layout that holds these images under these names.
pub fn write(directory: &Path, images: &[(&str, &Image)]) {
    let blobs = directory.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let mut children = Vec::new();
    for (tag, image) in images {
        for content in image.blobs.iter().chain(&image.manifests) {
            std::fs::write(blobs.join(content.digest.trim_start_matches("sha256:")), &content.bytes).unwrap();
        }
        let mut descriptor = image.root().descriptor();
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        children.push(descriptor);
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children});
    std::fs::write(directory.join("index.json"), index.to_string()).unwrap();
}

/// Asserts that the layout is well formed, that `tag` points to this image, and that every file of the image exists.
pub fn assert_image(directory: &Path, tag: &str, image: &Image) {
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let version: Value = serde_json::from_slice(&read("oci-layout")).unwrap();
    assert_eq!(version, json!({"imageLayoutVersion": "1.0.0"}));
    let index: Value = serde_json::from_slice(&read("index.json")).unwrap();
    assert_eq!(index["schemaVersion"], 2);
    let named: Vec<&Value> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|child| child["annotations"]["org.opencontainers.image.ref.name"] == tag)
        .collect();
    assert_eq!(named.len(), 1, "{tag} in {index}");
    assert_eq!(named[0]["digest"], image.digest());
    assert_eq!(named[0]["mediaType"], image.root().media_type.as_str());
    assert_eq!(named[0]["size"], image.root().bytes.len());
    for content in image.blobs.iter().chain(&image.manifests) {
        let bytes = read(&format!("blobs/sha256/{}", content.digest.trim_start_matches("sha256:")));
        assert_eq!(sha256(&bytes), sha256(&content.bytes), "{}", content.digest);
    }
    let left = std::fs::read_dir(directory.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().file_name());
    for name in left {
        assert_eq!(name.to_string_lossy().len(), 64, "something was left behind: {}", name.display());
    }
}
