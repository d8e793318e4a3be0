//! Explains why an image isn't there: which part of its name is wrong, and which tags are similar.

use std::time::Duration;

use crate::image::reference::{DEFAULT_TAG, Reference};
use crate::registry::repository::Repository;
use crate::text::printable;

/// Time for the registry to list its tags. The step has failed already.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum number of tags that are read.
const LOOKED_AT: usize = 1000;
/// Maximum number of tags in a message.
const NAMED: usize = 5;

/// What a registry's 404 means, by its list of tags. If that can't be read, the message has less in it.
pub(super) async fn in_registry(reference: &Reference, repository: &Repository) -> String {
    let answered = format!("{} answered 404 Not Found", repository.host().authority());
    let Some(tag) = reference.tag().filter(|_| reference.digest().is_none()) else {
        return format!("{answered}; check the name and the digest");
    };
    let assumed = if tag == DEFAULT_TAG { "; a name without a tag means latest" } else { "" };
    let Ok(Ok(known)) = tokio::time::timeout(PATIENCE, repository.known_tags(LOOKED_AT)).await else {
        return format!("{answered}; check the name and the tag{assumed}");
    };
    match known {
        None => format!("{answered}; the repository {} does not exist there; check its name", repository.path()),
        Some(tags) if tags.is_empty() => format!("{answered}; the repository has no tags"),
        Some(tags) => format!("{answered}; {}{assumed}", tags_text(tag, tags)),
    }
}

/// Lists similar tags, or those that exist.
fn tags_text(wanted: &str, mut tags: Vec<String>) -> String {
    let count = tags.len();
    let reach = (wanted.len() / 3).clamp(1, 3);
    tags.sort_by_cached_key(|tag| (distance(wanted, tag), std::cmp::Reverse(tag.clone())));
    let near = tags.iter().take_while(|tag| distance(wanted, tag) <= reach).take(NAMED).count();
    let list = |tags: &[String]| printable(&tags.join(", "), 400);
    match near {
        0 if count <= NAMED => format!("the repository has the tags {}", list(&tags)),
        0 => format!("no tag is similar; the repository has {}, …", list(&tags[..NAMED])),
        near => format!("similar tags are {}", list(&tags[..near])),
    }
}

/// The number of characters to add, remove or change between two texts (Levenshtein). Both are tags, of at most 128 bytes.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, a) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, b) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, expected) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("v1.2.5", "v1.2.3", 1)] {
            assert_eq!(distance(one, other), expected);
            assert_eq!(distance(other, one), expected);
        }
    }

    #[test]
    fn near_tags_come_first_and_are_few() {
        let tags = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(tags_text("v1.2.5", tags("stable v1.2.3 v1.2.4 v2")), "similar tags are v1.2.4, v1.2.3");
        assert_eq!(tags_text("latest", tags("v1 v2")), "the repository has the tags v2, v1");
        let many = (0..40).map(|number| format!("build-{number}")).collect::<Vec<_>>();
        assert!(tags_text("latest", many.clone()).starts_with("no tag is similar; the repository has build-"));
        assert_eq!(tags_text("build-", many).matches(',').count(), NAMED - 1);
    }
}
