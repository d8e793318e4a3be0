//! The tags of a repository.
//!
//! Distribution specification, "Listing Tags".

use http::Method;
use serde::Deserialize;

use super::repository::Repository;
use crate::error::Error;
use crate::image::reference::is_tag;

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Repository {
    /// The first `count` tags in the registry's order, or fewer; none if the repository does not exist.
    ///
    /// # Errors
    /// The request fails, or its answer isn't a list of tags.
    pub async fn first_tags(&self, count: usize) -> Result<Vec<String>, Error> {
        Ok(self.known_tags(count).await?.unwrap_or_default())
    }

    /// As [`Self::first_tags`], but `None` if the repository does not exist.
    ///
    /// # Errors
    /// As [`Self::first_tags`].
    pub async fn known_tags(&self, count: usize) -> Result<Option<Vec<String>>, Error> {
        let request = self.request(Method::GET, &format!("tags/list?n={count}"), "GET tags".to_owned()).await?;
        let response = self.send(request).await?;
        if response.status() == 404 {
            response.discard().await;
            return Ok(None);
        }
        if response.status() != 200 {
            return Err(self.error(response, "GET tags").await);
        }
        let what = format!("the list of tags of {}", self.name());
        let bytes = response.bytes(self.client.options().manifest_limit, &what).await?;
        let listing: Listing =
            serde_json::from_slice(&bytes).map_err(|error| Error::malformed(what, error.to_string()))?;
        Ok(Some(listing.tags.unwrap_or_default().into_iter().filter(|tag| is_tag(tag)).take(count).collect()))
    }
}
