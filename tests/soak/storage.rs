//! The registries' storage: written and read as files, without asking a registry or imgstep.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::Image;
use crate::support::images::{Content, sha256};

/// Whose format the folder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `imgstep registry serve --storage`.
    Inside,
    /// distribution's filesystem driver.
    Distribution,
}

/// A registry's storage folder.
#[derive(Debug, Clone)]
pub struct Storage {
    pub layout: Layout,
    pub root: PathBuf,
}

impl Storage {
    /// Writes an image into the folder, under a tag. `from` is a folder with the same content, to link from.
    pub fn put(&self, repository: &str, tag: &str, image: &Image, from: Option<&Self>) {
        for content in image.blobs.iter().chain(&image.manifests) {
            let path = self.content(&content.digest);
            match from {
                Some(from) => link(&from.content(&content.digest), &path),
                None => write(&path, &content.bytes),
            }
        }
        for blob in &image.blobs {
            write(&self.blob_entry(repository, &blob.digest), self.blob_text(blob).as_bytes());
        }
        for manifest in &image.manifests {
            write(&self.manifest_entry(repository, &manifest.digest), self.manifest_text(manifest).as_bytes());
        }
        let digest = image.digest();
        match self.layout {
            Layout::Inside => write(&self.tag_entry(repository, tag), format!("{digest}\n").as_bytes()),
            Layout::Distribution => {
                write(&self.tag_entry(repository, tag), digest.as_bytes());
                write(&self.history(repository, tag).join(hex(digest)).join("link"), digest.as_bytes());
            }
        }
    }

    /// Writes the files that make a folder a registry's storage.
    pub fn make(&self) {
        fs::create_dir_all(&self.root).unwrap();
        if self.layout == Layout::Inside {
            write(&self.root.join("imgstep-registry"), b"imgstep registry storage, version 1\n");
        }
    }

    /// Removes everything.
    pub fn wipe(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }

    /// The digest that a tag points to.
    pub fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        fs::read_to_string(self.tag_entry(repository, tag)).ok().map(|text| text.trim().to_owned())
    }

    /// Every digest that was ever written: under the tag if the registry keeps that, otherwise in the repository.
    pub fn was_put(&self, repository: &str, tag: &str) -> Vec<String> {
        let folder = match self.layout {
            Layout::Distribution => self.history(repository, tag),
            Layout::Inside => self.repository(repository).join("_manifests/sha256"),
        };
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        names.map(|entry| format!("sha256:{}", entry.file_name().to_string_lossy())).collect()
    }

    /// Asserts that the repository holds everything below a manifest, to the last byte.
    pub fn check(&self, repository: &str, digest: &str) -> Result<(), String> {
        let bytes = self.checked(digest)?;
        if !self.manifest_entry(repository, digest).exists() {
            return Err(format!("the repository has no manifest {digest}"));
        }
        let manifest: Value = serde_json::from_slice(&bytes).map_err(|error| format!("manifest {digest}: {error}"))?;
        for child in list(&manifest, "manifests") {
            self.check(repository, text(child))?;
        }
        let config = manifest.get("config").filter(|config| config.is_object());
        for blob in config.into_iter().chain(list(&manifest, "layers")) {
            let digest = text(blob);
            let size = self.checked(digest)?.len() as u64;
            if blob["size"].as_u64() != Some(size) {
                return Err(format!("blob {digest} has {size} bytes, its descriptor says {}", blob["size"]));
            }
            if !self.blob_entry(repository, digest).exists() {
                return Err(format!("the repository has no blob {digest}"));
            }
        }
        Ok(())
    }

    /// Content whose bytes match its digest.
    pub fn checked(&self, digest: &str) -> Result<Vec<u8>, String> {
        let bytes = fs::read(self.content(digest)).map_err(|error| format!("{digest} is not there: {error}"))?;
        let found = sha256(&bytes);
        if found == digest { Ok(bytes) } else { Err(format!("{digest} holds the bytes of {found}")) }
    }

    fn repository(&self, name: &str) -> PathBuf {
        let top = match self.layout {
            Layout::Inside => "repositories",
            Layout::Distribution => "docker/registry/v2/repositories",
        };
        self.root.join(top).join(name)
    }

    fn content(&self, digest: &str) -> PathBuf {
        let hex = hex(digest);
        match self.layout {
            Layout::Inside => self.root.join("blobs/sha256").join(hex),
            Layout::Distribution => {
                self.root.join("docker/registry/v2/blobs/sha256").join(&hex[..2.min(hex.len())]).join(hex).join("data")
            }
        }
    }

    fn blob_entry(&self, repository: &str, digest: &str) -> PathBuf {
        let repository = self.repository(repository);
        match self.layout {
            Layout::Inside => repository.join("_blobs/sha256").join(hex(digest)),
            Layout::Distribution => repository.join("_layers/sha256").join(hex(digest)).join("link"),
        }
    }

    fn manifest_entry(&self, repository: &str, digest: &str) -> PathBuf {
        let repository = self.repository(repository);
        match self.layout {
            Layout::Inside => repository.join("_manifests/sha256").join(hex(digest)),
            Layout::Distribution => repository.join("_manifests/revisions/sha256").join(hex(digest)).join("link"),
        }
    }

    fn tag_entry(&self, repository: &str, tag: &str) -> PathBuf {
        let repository = self.repository(repository);
        match self.layout {
            Layout::Inside => repository.join("_tags").join(tag),
            Layout::Distribution => repository.join("_manifests/tags").join(tag).join("current/link"),
        }
    }

    /// distribution keeps a tag's earlier digests.
    fn history(&self, repository: &str, tag: &str) -> PathBuf {
        self.repository(repository).join("_manifests/tags").join(tag).join("index/sha256")
    }

    fn blob_text(&self, blob: &Content) -> String {
        match self.layout {
            Layout::Inside => format!("{}\n", blob.bytes.len()),
            Layout::Distribution => blob.digest.clone(),
        }
    }

    fn manifest_text(&self, manifest: &Content) -> String {
        match self.layout {
            Layout::Inside => json!({"mediaType": manifest.media_type, "size": manifest.bytes.len()}).to_string(),
            Layout::Distribution => manifest.digest.clone(),
        }
    }
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A hard link: registries replace their files, and never write into them.
fn link(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    if !to.exists() {
        fs::hard_link(from, to).unwrap();
    }
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or("not-a-digest")
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap_or_default()
}
