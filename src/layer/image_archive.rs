//! Whether a tar is an image that somebody saved (`docker save`, an OCI layout) and no layer: by the names at its root.

use std::collections::BTreeSet;

/// The files at a tar's root that say what it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(BTreeSet<Mark>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    ManifestJson,
    /// Docker's `repositories`, or a config by its digest, as each writer of `docker save`'s form has one of.
    Repositories,
    OciLayout,
    IndexJson,
}

/// The form of a saved image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SavedImage {
    /// `docker save`, `podman save`, `skopeo copy … docker-archive:`.
    Docker,
    /// An OCI image layout; what Docker saves from version 25 on is one too.
    Oci,
}

impl Marks {
    /// Notes a file by its path in the tar.
    pub(crate) fn note(&mut self, path: &[u8]) {
        let mark = match path.strip_prefix(b"./").unwrap_or(path) {
            b"manifest.json" => Mark::ManifestJson,
            b"repositories" => Mark::Repositories,
            b"oci-layout" => Mark::OciLayout,
            b"index.json" => Mark::IndexJson,
            name if is_config(name) => Mark::Repositories,
            _ => return,
        };
        self.0.insert(mark);
    }

    /// What form of a saved image these files make.
    pub(crate) fn archive(&self) -> Option<SavedImage> {
        let have = |marks: [Mark; 2]| marks.iter().all(|mark| self.0.contains(mark));
        // A website has a manifest.json too: alone it says nothing.
        if have([Mark::OciLayout, Mark::IndexJson]) {
            Some(SavedImage::Oci)
        } else if have([Mark::ManifestJson, Mark::Repositories]) {
            Some(SavedImage::Docker)
        } else {
            None
        }
    }
}

/// `<64 digits>.json`, or `sha256:<64 digits>`.
fn is_config(name: &[u8]) -> bool {
    let digest = name.strip_suffix(b".json").or_else(|| name.strip_prefix(b"sha256:"));
    digest.is_some_and(|digest| digest.len() == 64 && digest.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(names: &[&str]) -> Option<SavedImage> {
        let mut marks = Marks::default();
        for name in names {
            marks.note(name.as_bytes());
        }
        marks.archive()
    }

    #[test]
    fn saved_images_are_told_from_files() {
        let config = format!("{}.json", "a1".repeat(32));
        let of_crane = format!("sha256:{}", "0f".repeat(32));
        assert_eq!(archive(&["x/layer.tar", "manifest.json", "repositories"]), Some(SavedImage::Docker));
        assert_eq!(archive(&["./manifest.json", &config]), Some(SavedImage::Docker));
        assert_eq!(archive(&[&of_crane, "manifest.json"]), Some(SavedImage::Docker));
        assert_eq!(archive(&["./index.json", "./oci-layout", "manifest.json", "repositories"]), Some(SavedImage::Oci));
        for files in
            [&["manifest.json", "index.html"][..], &["srv/manifest.json", "srv/repositories"], &["index.json"], &[]]
        {
            assert_eq!(archive(files), None, "{files:?}");
        }
    }
}
