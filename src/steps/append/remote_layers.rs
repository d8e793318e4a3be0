//! Which layers a destination is likely to hold already, by the configs of images that its tags name. It decides only
//! in which way a large layer is sent, never what is in an image: a wrong guess costs time or bytes, nothing else.

use std::collections::HashSet;

use futures_util::future::join_all;

use crate::image::config::Config;
use crate::image::manifest::{Content, Manifest};
use crate::image::platform::Platform;
use crate::registry::manifests::Presence;
use crate::steps::goals::Goal;
use crate::steps::{platforms, source};
use crate::transfer::store::Store;

/// So many images are looked at.
const IMAGES_LIMIT: usize = 6;
/// So many tags are asked for, to choose from: as many as registries give at once.
const TAGS_LIMIT: usize = 1000;

/// The diff ids of the layers of images at a destination: those that the step's own tags name, or else those of tags
/// that look like them. What can't be read says nothing.
pub async fn diff_ids(store: &Store, goal: &Goal, platform: &Platform) -> HashSet<String> {
    let mut references: Vec<String> = goal
        .found
        .iter()
        .filter_map(|found| match found {
            Presence::Present(found) => Some(found.digest.to_string()),
            Presence::Absent | Presence::Unknown => None,
        })
        .collect();
    references.dedup();
    if references.is_empty()
        && let Store::Registry(repository) = store
    {
        let wanted = goal.tags.iter().flatten().next().map(String::as_str).unwrap_or_default();
        references = similar(repository.first_tags(TAGS_LIMIT).await.unwrap_or_default(), wanted);
    }
    references.truncate(IMAGES_LIMIT);
    let found = join_all(references.iter().map(|reference| of_image(store, reference, platform))).await;
    found.into_iter().flatten().flatten().collect()
}

/// The tags that begin most like `wanted`, of these the last first; and before all `latest`, which names the newest image
/// if anything does.
fn similar(mut tags: Vec<String>, wanted: &str) -> Vec<String> {
    let common = |tag: &str| tag.bytes().zip(wanted.bytes()).take_while(|(one, other)| one == other).count();
    tags.sort_by(|one, other| {
        let key = |tag: &String| (tag == "latest", common(tag));
        key(other).cmp(&key(one)).then_with(|| other.cmp(one))
    });
    tags
}

async fn of_image(store: &Store, reference: &str, platform: &Platform) -> Option<Vec<String>> {
    let root = store.manifest(Some(reference)).await.ok()??;
    let image = image_for(store, root, platform).await?;
    let Content::Image { config, .. } = image.content().ok()? else { return None };
    let config = Config::parse(&source::read_config(store, &config).await.ok()?).ok()?;
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
    fn tags_that_tell_most() {
        let tags = ["v1.2.2", "main", "v1.2.10", "latest", "v1.3.0", "a"].map(str::to_owned).to_vec();
        assert_eq!(similar(tags, "v1.2.3"), ["latest", "v1.2.2", "v1.2.10", "v1.3.0", "main", "a"]);
        assert_eq!(similar(Vec::new(), "v1"), [""; 0]);
    }
}
