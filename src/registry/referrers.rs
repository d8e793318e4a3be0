//! Referrers: the artifacts that speak of a manifest (signatures, SBOMs, attestations).
//!
//! Distribution specification, "Listing Referrers" and "Referrers Tag Schema".

use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};

use super::http::pool::ConnectionKind;
use super::manifests::ManifestQuery;
use super::repository::{ApiRequest, Permit, Repository};
use crate::error::Error;
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, Manifest};
use crate::image::media_type::{self, OCI_INDEX};

impl Repository {
    /// The referrers of `subject`, by the API or, where a registry lacks it, by the fallback tag.
    ///
    /// # Errors
    /// The registry can't be asked. That there are none is an empty list.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let headers = [(ACCEPT, HeaderValue::from_static(OCI_INDEX))];
        let call = ApiRequest {
            method: Method::GET,
            url: self.url(&format!("referrers/{subject}")).await?,
            operation: format!("GET referrers of {}", subject.short()),
            headers: &headers,
            body: None,
            load: ConnectionKind::Shared,
            room: Permit::Acquire,
            origin: self.origin().await?,
        };
        let answer = self.call(call).await?;
        // GitHub's registry redirects this to a page for people: only an index is an answer.
        let is_index = media_type::essence(answer.header(CONTENT_TYPE).unwrap_or_default()) == OCI_INDEX;
        if answer.status() != 200 || !is_index {
            answer.discard().await;
            return self.referrers_by_tag(subject).await;
        }
        let limit = self.client.options().manifest_limit;
        let bytes = answer.bytes(limit, &format!("referrers of {subject}")).await?;
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

/// The entries of a referrers index. Some registries resolve the fallback tag as the digest itself, so that the
/// subject's own children would come back: an answer that is the subject lists none.
fn children(index: &Manifest, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
    if index.digest == *subject {
        return Ok(Vec::new());
    }
    match index.content()? {
        Content::Index { manifests } => Ok(manifests),
        _ => Ok(Vec::new()),
    }
}
