//! The tags of a repository.
//!
//! Distribution specification, "Listing Tags".

use http::Method;
use serde::Deserialize;

use super::http::pool::ConnectionKind;
use super::repository::{ApiRequest, Permit, Repository};
use crate::error::Error;
use crate::image::reference::is_tag;

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

impl Repository {
    /// The first `count` tags in the registry's order, perhaps fewer; none of a repository that does not exist.
    ///
    /// # Errors
    /// The registry can't be asked, or its answer is no list.
    pub async fn first_tags(&self, count: usize) -> Result<Vec<String>, Error> {
        Ok(self.known_tags(count).await?.unwrap_or_default())
    }

    /// As [`Self::first_tags`]; `None` of a repository that does not exist.
    ///
    /// # Errors
    /// As [`Self::first_tags`].
    pub async fn known_tags(&self, count: usize) -> Result<Option<Vec<String>>, Error> {
        let operation = "GET tags".to_owned();
        let call = ApiRequest {
            method: Method::GET,
            url: self.url(&format!("tags/list?n={count}")).await?,
            operation: operation.clone(),
            headers: &[],
            body: None,
            load: ConnectionKind::Shared,
            room: Permit::Acquire,
            origin: self.origin().await?,
        };
        let answer = self.call(call).await?;
        if answer.status() == 404 {
            answer.discard().await;
            return Ok(None);
        }
        if answer.status() != 200 {
            return Err(self.error(answer, &operation).await);
        }
        let what = format!("the list of tags of {}", self.name());
        let bytes = answer.bytes(self.client.options().manifest_limit, &what).await?;
        let listing: Listing =
            serde_json::from_slice(&bytes).map_err(|error| Error::malformed(what, error.to_string()))?;
        Ok(Some(listing.tags.unwrap_or_default().into_iter().filter(|tag| is_tag(tag)).take(count).collect()))
    }
}
