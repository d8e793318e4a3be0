//! Recognises a saved image (`docker save`, an OCI layout) that was given as a layer, by the names at its root.

use std::collections::BTreeSet;

/// The files at a tar's root that identify a saved image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(BTreeSet<Mark>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    ManifestJson,
    /// Docker's `repositories`, or a config named by its digest: every writer of the `docker save` format has one of
    /// them.
    Repositories,
    OciLayout,
    IndexJson,
}

/// The format of a saved image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SavedImage {
    /// `docker save`, `podman save`, `skopeo copy … docker-archive:`.
    Docker,
    /// An OCI image layout; Docker 25 and later save one too.
    Oci,
}

impl Marks {
    /// Adds a file by its path in the tar.
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

    /// The format of the saved image, if these files are one.
    pub(crate) fn archive(&self) -> Option<SavedImage> {
        let have = |marks: [Mark; 2]| marks.iter().all(|mark| self.0.contains(mark));
        // A website may have a manifest.json too, so it isn't enough by itself.
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
