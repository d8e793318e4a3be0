//! Lists: tags and referrers (distribution specification, "Listing Tags", "Listing Referrers").

use std::io;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LINK};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Registry;
use super::answer::{Code, Refusal, Reply, answer};
use super::blobs::{no_repository, parse_digest};
use super::routes::Query;
use super::storage::catalog::{Record, RepositoryRecord};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::media_type::OCI_INDEX;
use crate::image::spec;

/// The filters that were applied.
const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// What is escaped in a media type that is the value of a query parameter.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'/');
/// Approximate page size of a referrers list, in bytes: it is a manifest, and those have a size limit.
const PAGE_LIMIT: usize = 4 * 1024 * 1024 - 64 * 1024;

/// `GET /v2/<name>/tags/list` (end-8).
pub(super) fn tags(registry: &Registry, name: &str, query: &Query) -> Result<Reply, Refusal> {
    let limit = match query.get("n").filter(|n| !n.is_empty()) {
        None => usize::MAX,
        Some(n) => n.parse().map_err(|_| {
            Refusal::new(StatusCode::BAD_REQUEST, Code::Unsupported, format!("`{n}` is not a number of tags"))
        })?,
    };
    let last = query.get("last").unwrap_or_default();
    let listed = registry.storage.look(|catalog| Some(page_of_tags(catalog.repository(name)?, limit, last)));
    let (tags, more) = listed.ok_or_else(|| no_repository(name))?;
    let body = serde_json::json!({ "name": name, "tags": tags }).to_string();
    let mut found = answer(StatusCode::OK, body).header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let (true, Some(last)) = (more, tags.last()) {
        found = found.header(LINK, format!("</v2/{name}/tags/list?n={limit}&last={last}>; rel=\"next\""));
    }
    Ok(found.finish())
}

/// At most `limit` tags after `last`, and whether there are more.
fn page_of_tags(repository: &RepositoryRecord, limit: usize, last: &str) -> (Vec<String>, bool) {
    use std::ops::Bound::{Excluded, Unbounded};
    let mut following = repository.tags.range::<str, _>((Excluded(last), Unbounded)).map(|(tag, _)| tag.clone());
    let tags: Vec<String> = following.by_ref().take(limit).collect();
    let more = following.next().is_some();
    (tags, more)
}

/// `GET /v2/<name>/referrers/<digest>` (end-12). An unknown repository has no referrers; a registry with this API never
/// returns 404 here.
pub(super) fn referrers(registry: &Registry, name: &str, digest: &str, query: &Query) -> Result<Reply, Refusal> {
    let subject = parse_digest(digest)?;
    let wanted = query.get("artifactType").filter(|wanted| !wanted.is_empty());
    let last = query.get("last").unwrap_or_default();
    let (page, next) = registry.storage.look(|catalog| match catalog.repository(name) {
        Some(repository) => page_of_referrers(repository, &subject, wanted, last),
        None => (Vec::new(), None),
    });
    let body = Bytes::from(spec::index(OCI_INDEX, &page).map_err(io::Error::other)?);
    let mut found = answer(StatusCode::OK, body).header(CONTENT_TYPE, HeaderValue::from_static(OCI_INDEX));
    if wanted.is_some() {
        found = found.header(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let Some(next) = next {
        let filter = wanted.map(|wanted| format!("artifactType={}&", utf8_percent_encode(wanted, IN_QUERY)));
        let filter = filter.unwrap_or_default();
        found = found.header(LINK, format!("</v2/{name}/referrers/{subject}?{filter}last={next}>; rel=\"next\""));
    }
    Ok(found.finish())
}

/// The referrers after `last` that fit on a page, and the last of them if there are more.
fn page_of_referrers(
    repository: &RepositoryRecord,
    subject: &Digest,
    wanted: Option<&str>,
    last: &str,
) -> (Vec<Descriptor>, Option<Digest>) {
    let mut page: Vec<Descriptor> = Vec::new();
    let mut size = 0;
    for (digest, record) in repository.referrers(subject) {
        if digest.as_str() <= last || wanted.is_some_and(|wanted| record.artifact_type.as_deref() != Some(wanted)) {
            continue;
        }
        size += size_of(record);
        // An oversized one gets a page of its own.
        if size > PAGE_LIMIT && !page.is_empty() {
            let last = page.last().map(|descriptor| descriptor.digest.clone());
            return (page, last);
        }
        let mut descriptor = Descriptor::new(record.media_type.clone(), digest.clone(), record.size);
        descriptor.artifact_type.clone_from(&record.artifact_type);
        descriptor.annotations.clone_from(&record.annotations);
        page.push(descriptor);
    }
    (page, None)
}

/// Approximate size of a referrer in the list, in bytes.
fn size_of(record: &Record) -> usize {
    let annotations: usize = record.annotations.iter().map(|(key, value)| key.len() + value.len() + 8).sum();
    annotations + record.media_type.len() + record.artifact_type.as_ref().map_or(0, String::len) + 200
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::storage::catalog::Catalog;
    use std::collections::BTreeMap;

    #[test]
    fn pages_of_tags_are_in_byte_order_and_say_when_more_follow() {
        let mut repository = RepositoryRecord::default();
        for tag in ["b", "A", "a", "10", "9", "_"] {
            repository.tags.insert(tag.to_owned(), Digest::of(b"x"));
        }
        let page = |limit, last| page_of_tags(&repository, limit, last);
        let texts = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>();
        assert_eq!(page(usize::MAX, ""), (texts(&["10", "9", "A", "_", "a", "b"]), false));
        assert_eq!(page(2, "9"), (texts(&["A", "_"]), true));
        assert_eq!(page(2, "_"), (texts(&["a", "b"]), false));
        assert_eq!(page(0, ""), (texts(&[]), true));
        assert_eq!(page(3, "missing"), (texts(&[]), false));
    }

    #[test]
    fn a_long_list_of_referrers_is_cut_and_goes_on() {
        let subject = Digest::of(b"subject");
        let mut catalog = Catalog::default();
        for number in 0..5u8 {
            let annotations = BTreeMap::from([("key".to_owned(), "x".repeat(PAGE_LIMIT / 3))]);
            let record = Record {
                media_type: "m".to_owned(),
                size: 1,
                subject: Some(subject.clone()),
                artifact_type: Some(if number == 0 { "zero" } else { "other" }.to_owned()),
                annotations,
            };
            catalog.add_manifest("a", &Digest::of(&[number]), record);
        }
        let repository = catalog.repository("a").unwrap();
        let mut seen = Vec::new();
        let mut last = String::new();
        loop {
            let (page, next) = page_of_referrers(repository, &subject, None, &last);
            assert!(!page.is_empty());
            seen.extend(page.into_iter().map(|descriptor| descriptor.digest));
            let Some(next) = next else { break };
            last = next.to_string();
        }
        let mut all: Vec<_> = (0..5u8).map(|number| Digest::of(&[number])).collect();
        all.sort();
        assert_eq!(seen, all);
        assert_eq!(page_of_referrers(repository, &subject, Some("zero"), "").0.len(), 1);
    }

    #[test]
    fn media_types_in_a_link() {
        let encoded = utf8_percent_encode("application/x+json; a>", IN_QUERY).to_string();
        assert_eq!(encoded, "application/x%2Bjson%3B%20a%3E");
    }
}
