//! Finds the layers that a destination most likely has already, by the configs of its tagged images. This only decides how
//! a large layer is sent, never what is in an image: a wrong guess costs time or bytes, nothing else.

use std::collections::HashSet;

use futures_util::future::join_all;

use crate::image::config::Config;
use crate::image::manifest::{Content, Manifest};
use crate::image::platform::Platform;
use crate::registry::manifests::Presence;
use crate::steps::{platforms, sources};
use crate::transfer::destination::Destination;
use crate::transfer::store::Store;

/// Maximum number of images that are read.
const IMAGES_LIMIT: usize = 6;
/// Maximum number of tags to choose from: as many as registries list at once.
const TAGS_LIMIT: usize = 1000;

/// The diff ids of the layers of images at a destination: the images of the step's own tags, or else those of tags that
/// look similar. Images that can't be read are ignored.
pub(super) async fn known_diff_ids(destination: &Destination, platform: &Platform) -> HashSet<String> {
    let mut references: Vec<String> = destination
        .tags
        .iter()
        .filter_map(|tag| match &tag.current {
            Presence::Present(current) => Some(current.digest.to_string()),
            Presence::Absent | Presence::Unknown => None,
        })
        .collect();
    references.dedup();
    if references.is_empty()
        && let Some(repository) = destination.store().repository()
    {
        let own = destination.tags.iter().find_map(|tag| tag.target.tag()).unwrap_or_default();
        references = similar(repository.first_tags(TAGS_LIMIT).await.unwrap_or_default(), own);
    }
    references.truncate(IMAGES_LIMIT);
    let found =
        join_all(references.iter().map(|reference| diff_ids_of(destination.store(), reference, platform))).await;
    found.into_iter().flatten().flatten().collect()
}

/// The tags in the order of their common beginning with `own`, the last ones first; and before all others `latest`, which
/// most likely points to the newest image.
fn similar(mut tags: Vec<String>, own: &str) -> Vec<String> {
    let common = |tag: &str| tag.bytes().zip(own.bytes()).take_while(|(one, other)| one == other).count();
    tags.sort_by(|one, other| {
        let key = |tag: &String| (tag == "latest", common(tag));
        key(other).cmp(&key(one)).then_with(|| other.cmp(one))
    });
    tags
}

async fn diff_ids_of(store: &Store, reference: &str, platform: &Platform) -> Option<Vec<String>> {
    let root = store.manifest(Some(reference)).await.ok()??;
    let image = image_for(store, root, platform).await?;
    let Content::Image { config, .. } = image.content().ok()? else { return None };
    let config = Config::parse(&sources::read_config(store, &config).await.ok()?).ok()?;
    Some(config.diff_ids().into_iter().map(str::to_owned).collect())
}

async fn image_for(store: &Store, root: Manifest, platform: &Platform) -> Option<Manifest> {
    let Content::Index { manifests } = root.content().ok()? else { return Some(root) };
    let position = *platforms::best_matches(&manifests, platform).first()?;
    store.child(&manifests[position]).await.ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_tags_come_first() {
        let tags = ["v1.2.2", "main", "v1.2.10", "latest", "v1.3.0", "a"].map(str::to_owned).to_vec();
        assert_eq!(similar(tags, "v1.2.3"), ["latest", "v1.2.2", "v1.2.10", "v1.3.0", "main", "a"]);
        assert_eq!(similar(Vec::new(), "v1"), [""; 0]);
    }
}
