//! The catalog of each repository: blobs, manifests, tags and referrers. Metadata only; the bytes are elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;

/// The metadata of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The media type, sent as `Content-Type`.
    pub media_type: String,
    /// The size in bytes.
    pub size: u64,
    /// The digest of the manifest that this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// The artifact type in the referrers list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The annotations in the referrers list; kept only for manifests with a subject.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// One repository.
#[derive(Debug, Default)]
pub(crate) struct RepositoryRecord {
    /// The blobs and their sizes.
    pub blobs: HashMap<Digest, u64>,
    /// The manifests.
    pub manifests: HashMap<Digest, Arc<Record>>,
    /// The tags, in listing order.
    pub tags: BTreeMap<String, Digest>,
    /// Referrers by subject; the subject itself needn't exist.
    referrers: HashMap<Digest, BTreeSet<Digest>>,
}

/// All repositories, and the reference count of each content.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    repositories: HashMap<String, RepositoryRecord>,
    holders: HashMap<Digest, usize>,
}

impl RepositoryRecord {
    /// The manifests that refer to `subject`, ordered by digest.
    pub(crate) fn referrers(&self, subject: &Digest) -> impl Iterator<Item = (&Digest, &Arc<Record>)> {
        let digests = self.referrers.get(subject).into_iter().flatten();
        digests.filter_map(|digest| self.manifests.get_key_value(digest))
    }

    /// The tags that point to `digest`.
    pub(crate) fn tags_of(&self, digest: &Digest) -> Vec<String> {
        self.tags.iter().filter(|(_, named)| *named == digest).map(|(tag, _)| tag.clone()).collect()
    }
}

impl Catalog {
    /// A repository, if it exists.
    pub(crate) fn repository(&self, name: &str) -> Option<&RepositoryRecord> {
        self.repositories.get(name)
    }

    /// A repository, created if necessary.
    pub(crate) fn repository_or_new(&mut self, name: &str) -> &mut RepositoryRecord {
        if !self.repositories.contains_key(name) {
            self.repositories.insert(name.to_owned(), RepositoryRecord::default());
        }
        self.repositories.entry(name.to_owned()).or_default()
    }

    /// The digests of all content.
    #[cfg(any(test, fuzzing))]
    pub fn held(&self) -> impl Iterator<Item = &Digest> {
        self.holders.keys()
    }

    /// Whether any repository holds this content, as a blob or as a manifest.
    pub(crate) fn is_held(&self, digest: &Digest) -> bool {
        self.holders.contains_key(digest)
    }

    /// A blob's size, if the repository holds it.
    pub(crate) fn blob(&self, name: &str, digest: &Digest) -> Option<u64> {
        self.repository(name)?.blobs.get(digest).copied()
    }

    /// A manifest, if the repository holds it.
    pub(crate) fn manifest(&self, name: &str, digest: &Digest) -> Option<&Arc<Record>> {
        self.repository(name)?.manifests.get(digest)
    }

    /// Adds a blob to a repository.
    pub(crate) fn add_blob(&mut self, name: &str, digest: &Digest, size: u64) {
        if self.repository_or_new(name).blobs.insert(digest.clone(), size).is_none() {
            self.hold(digest);
        }
    }

    /// Adds or replaces a manifest.
    pub(crate) fn add_manifest(&mut self, name: &str, digest: &Digest, record: Record) {
        let repository = self.repository_or_new(name);
        let subject = record.subject.clone();
        let before = repository.manifests.insert(digest.clone(), Arc::new(record));
        if let Some(subject) = subject {
            repository.referrers.entry(subject).or_default().insert(digest.clone());
        }
        if before.is_none() {
            self.hold(digest);
        }
    }

    /// Moves a tag.
    pub(crate) fn add_tag(&mut self, name: &str, tag: &str, digest: &Digest) {
        self.repository_or_new(name).tags.insert(tag.to_owned(), digest.clone());
    }

    /// Removes a blob from a repository. `true` if its content is now unreferenced.
    pub(crate) fn remove_blob(&mut self, name: &str, digest: &Digest) -> bool {
        let removed = self.repositories.get_mut(name).and_then(|repository| repository.blobs.remove(digest));
        removed.is_some() && self.release(digest)
    }

    /// Removes a manifest and its tags from a repository. `true` if its content is now unreferenced.
    pub(crate) fn remove_manifest(&mut self, name: &str, digest: &Digest) -> bool {
        let Some(repository) = self.repositories.get_mut(name) else {
            return false;
        };
        let Some(record) = repository.manifests.remove(digest) else {
            return false;
        };
        repository.tags.retain(|_, named| named != digest);
        if let Some(subject) = &record.subject
            && let Some(referrers) = repository.referrers.get_mut(subject)
        {
            referrers.remove(digest);
            if referrers.is_empty() {
                repository.referrers.remove(subject);
            }
        }
        self.release(digest)
    }

    /// Removes a tag from a repository.
    pub(crate) fn remove_tag(&mut self, name: &str, tag: &str) {
        if let Some(repository) = self.repositories.get_mut(name) {
            repository.tags.remove(tag);
        }
    }

    fn hold(&mut self, digest: &Digest) {
        *self.holders.entry(digest.clone()).or_default() += 1;
    }

    fn release(&mut self, digest: &Digest) -> bool {
        let Some(holders) = self.holders.get_mut(digest) else {
            return true;
        };
        *holders -= 1;
        if *holders == 0 {
            self.holders.remove(digest);
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(subject: Option<&Digest>) -> Record {
        Record {
            media_type: "x".to_owned(),
            size: 1,
            subject: subject.cloned(),
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn content_lives_as_long_as_somebody_holds_it() {
        let digest = Digest::of(b"x");
        let mut catalog = Catalog::default();
        catalog.add_blob("a", &digest, 1);
        catalog.add_blob("a", &digest, 1);
        catalog.add_blob("b", &digest, 1);
        catalog.add_manifest("b", &digest, record(None));
        assert!(!catalog.remove_blob("a", &digest));
        assert!(!catalog.remove_blob("a", &digest));
        assert!(!catalog.remove_blob("b", &digest));
        assert!(catalog.is_held(&digest));
        assert!(catalog.remove_manifest("b", &digest));
        assert!(!catalog.is_held(&digest));
    }

    #[test]
    fn a_manifest_takes_its_tags_and_its_place_among_the_referrers_with_it() {
        let (subject, digest) = (Digest::of(b"subject"), Digest::of(b"referrer"));
        let mut catalog = Catalog::default();
        catalog.add_manifest("a", &digest, record(Some(&subject)));
        catalog.add_tag("a", "one", &digest);
        catalog.add_tag("a", "two", &subject);
        assert_eq!(catalog.repository("a").unwrap().referrers(&subject).count(), 1);
        catalog.remove_manifest("a", &digest);
        let repository = catalog.repository("a").unwrap();
        assert_eq!(repository.referrers(&subject).count(), 0);
        assert_eq!(repository.tags.keys().collect::<Vec<_>>(), ["two"]);
    }
}
