//! Referrers: the artifacts about a manifest (signatures, SBOMs, attestations).
//!
//! Distribution specification, "Listing Referrers" and "Referrers Tag Schema".

use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use super::manifests::ManifestQuery;
use super::repository::{ApiRequest, Repository};
use crate::error::Error;
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, Manifest};
use crate::image::media_type::{self, OCI_INDEX};

impl Repository {
    /// The referrers of `subject`, which may be none: from the API or, if the registry lacks it, from the fallback tag.
    ///
    /// # Errors
    /// The request fails.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let headers = [(ACCEPT, HeaderValue::from_static(OCI_INDEX))];
        let operation = format!("GET referrers of {}", subject.short());
        let request = self.request(Method::GET, &format!("referrers/{subject}"), operation).await?;
        let response = self.send(ApiRequest { headers: &headers, ..request }).await?;
        // GitHub's registry redirects this to a page for people: only an index is an response.
        let is_index = media_type::essence(response.header(CONTENT_TYPE).unwrap_or_default()) == OCI_INDEX;
        if response.status() != 200 || !is_index {
            response.discard().await;
            return self.referrers_by_tag(subject).await;
        }
        let limit = self.client.options().manifest_limit;
        let bytes = response.bytes(limit, &format!("referrers of {subject}")).await?;
        children(&Manifest::from_bytes(OCI_INDEX, bytes)?, subject)
    }

    async fn referrers_by_tag(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let tag = format!("{}-{}", subject.algorithm().name(), subject.hex());
        match self.get_manifest(&tag, ManifestQuery::default()).await? {
            Some(index) if media_type::kind(&index.media_type) == media_type::Kind::Index => children(&index, subject),
            _ => Ok(Vec::new()),
        }
    }
}

/// The entries of a referrers index. Some registries resolve the fallback tag as the digest itself and answer with the
/// subject, whose children are not referrers.
fn children(index: &Manifest, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
    if index.digest == *subject {
        return Ok(Vec::new());
    }
    match index.content()? {
        Content::Index { manifests } => Ok(manifests),
        _ => Ok(Vec::new()),
    }
}
