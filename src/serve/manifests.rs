//! Manifests: upload, download, existence, deletion, and the tags that name them (distribution specification, "Pushing
//! Manifests", "Pulling manifests", "Deleting Manifests").

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::Registry;
use super::answer::{Code, Refusal, Reply, ReplyBody, answer};
use super::blobs::{no_repository, parse_digest};
use super::body::RequestBody;
use super::routes::Query;
use super::storage::catalog::{Record, RepositoryRecord};
use super::storage::{Deleted, ManifestName};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::{Content, MANIFEST_LIMIT, Manifest};
use crate::image::media_type::{self, Kind};
use crate::image::reference::is_tag;

/// How many missing parts to list in one response.
const MISSING_LIMIT: usize = 20;
/// Maximum length of a media type (RFC 6838, section 4.2: 127, a slash, and 127).
const MEDIA_TYPE_LIMIT: usize = 255;
/// The subject that was understood.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// The tags that were set.
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

fn invalid(message: impl AsRef<str>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, Code::ManifestInvalid, message)
}

/// Parses a tag or a digest; `None` if it is neither.
fn parse_reference(reference: &str) -> Result<Option<ManifestName>, Refusal> {
    if reference.contains(':') {
        return parse_digest(reference).map(|digest| Some(ManifestName::Digest(digest)));
    }
    Ok(is_tag(reference).then(|| ManifestName::Tag(reference.to_owned())))
}

fn unknown(registry: &Registry, name: &str, reference: &str) -> Refusal {
    if registry.storage.look(|catalog| catalog.repository(name).is_none()) {
        return no_repository(name);
    }
    Refusal::not_found(Code::ManifestUnknown, format!("{name} holds no manifest {reference}"))
}

/// `GET` and `HEAD` (end-3).
pub(super) fn get(registry: &Registry, name: &str, reference: &str, head: bool) -> Result<Reply, Refusal> {
    let missing = || unknown(registry, name, reference);
    let named = parse_reference(reference)?.ok_or_else(missing)?;
    let found = registry.storage.manifest(name, &named).ok_or_else(missing)?;
    let body = if head { Bytes::new() } else { found.content.read()?.ok_or_else(missing)? };
    Ok(answer(StatusCode::OK, body)
        .header(CONTENT_TYPE, found.record.media_type.as_str())
        .header(ETAG, format!("\"{}\"", found.digest))
        .digest(&found.digest)
        .only_head(head, found.record.size)
        .finish())
}

/// `DELETE` (end-9).
pub(super) fn delete(registry: &Registry, name: &str, reference: &str) -> Result<Reply, Refusal> {
    let missing = || unknown(registry, name, reference);
    let named = parse_reference(reference)?.ok_or_else(missing)?;
    match registry.storage.delete_manifest(name, &named)? {
        Deleted::Done => Ok(answer(StatusCode::ACCEPTED, ReplyBody::Empty).finish()),
        Deleted::Missing | Deleted::NoRepository => Err(missing()),
    }
}

/// `PUT` (end-7).
pub(super) async fn put(
    registry: &Registry,
    name: &str,
    reference: &str,
    query: &Query,
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<Reply, Refusal> {
    let not_a_tag = |text: &str| invalid(format!("`{text}` is neither a tag nor a digest"));
    let named = parse_reference(reference)?.ok_or_else(|| not_a_tag(reference))?;
    let (asked, tags) = match named {
        ManifestName::Tag(tag) => (None, vec![tag]),
        ManifestName::Digest(digest) => (Some(digest), query.all("tag").map(str::to_owned).collect()),
    };
    if let Some(bad) = tags.iter().find(|tag| !is_tag(tag)) {
        return Err(not_a_tag(bad));
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let bytes = body.whole(MANIFEST_LIMIT).await?;
    let manifest = Manifest::from_bytes(content_type, bytes).map_err(|error| invalid(error.to_string()))?;
    let digest = match asked {
        Some(asked) if manifest.is(&asked) => asked,
        Some(asked) => {
            let message = format!("the bytes are {}, not {asked}", manifest.digest);
            return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, message));
        }
        None => manifest.digest.clone(),
    };
    let record = record(&manifest, &media_type::essence(content_type))?;
    check_parts(registry, name, &manifest)?;
    let subject = record.subject.clone();
    let by_digest = reference.contains(':');
    registry.storage.add_manifest(name, &digest, manifest.bytes, record, &tags)?;
    let mut created = answer(StatusCode::CREATED, ReplyBody::Empty)
        .location(format!("/v2/{name}/manifests/{digest}"))
        .digest(&digest);
    if let Some(subject) = subject {
        created = created.header(OCI_SUBJECT, subject.as_str());
    }
    if by_digest && !tags.is_empty() {
        created = created.header(OCI_TAG, tags.join(", "));
    }
    Ok(created.finish())
}

/// The fields of a manifest that the referrers list needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    #[serde(default)]
    subject: Option<Subject>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<ServedConfig>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Subject {
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServedConfig {
    #[serde(default)]
    media_type: Option<String>,
}

/// The record stored with a manifest that was sent with the media type `said`.
fn record(manifest: &Manifest, said: &str) -> Result<Record, Refusal> {
    let kind = media_type::kind(&manifest.media_type);
    // A schema 1 manifest doesn't state whether it is signed; its sender does.
    let media_type = if kind == Kind::Schema1 && media_type::kind(said) == Kind::Schema1 {
        said.to_owned()
    } else {
        manifest.media_type.clone()
    };
    if !media_type::is_vague(said) && said != media_type {
        return Err(invalid(format!("the Content-Type is {said}, but the manifest's `mediaType` is {media_type}")));
    }
    // It will be sent as a header.
    if media_type.len() > MEDIA_TYPE_LIMIT || HeaderValue::from_str(&media_type).is_err() {
        return Err(invalid("its `mediaType` is not a media type"));
    }
    let mut record =
        Record { media_type, size: manifest.size(), subject: None, artifact_type: None, annotations: BTreeMap::new() };
    if !matches!(kind, Kind::Index | Kind::Image | Kind::Artifact) {
        return Ok(record);
    }
    let about: About = serde_json::from_slice(&manifest.bytes).map_err(|error| invalid(error.to_string()))?;
    if let Some(subject) = about.subject {
        record.subject = Some(subject.digest);
        let config = about.config.and_then(|config| config.media_type);
        let own = about.artifact_type.filter(|own| !own.is_empty());
        record.artifact_type = own.or(config.filter(|_| kind == Kind::Image)).filter(|own| !own.is_empty());
        record.annotations = about.annotations.unwrap_or_default();
    }
    Ok(record)
}

/// Checks that the repository holds everything a manifest refers to, except its subject.
fn check_parts(registry: &Registry, name: &str, manifest: &Manifest) -> Result<(), Refusal> {
    let content = manifest.content().map_err(|error| invalid(error.to_string()))?;
    let missing = registry.storage.look(|catalog| match catalog.repository(name) {
        Some(repository) => missing_parts(repository, &content),
        None => missing_parts(&RepositoryRecord::default(), &content),
    });
    if missing.is_empty() {
        return Ok(());
    }
    let messages = missing.iter().take(MISSING_LIMIT).map(|part| format!("{name} does not hold {part}")).collect();
    Err(Refusal::many(StatusCode::NOT_FOUND, Code::ManifestBlobUnknown, messages))
}

fn missing_parts(repository: &RepositoryRecord, content: &Content) -> Vec<String> {
    let blob = |digest: &Digest| (!repository.blobs.contains_key(digest)).then(|| format!("blob {digest}"));
    let layer = |layer: &Descriptor| {
        // Foreign layers with URLs aren't required.
        if layer.urls.is_empty() { blob(&layer.digest) } else { None }
    };
    let child = |child: &Descriptor| match media_type::kind(&child.media_type) {
        Kind::Blob => blob(&child.digest),
        Kind::Unknown if repository.blobs.contains_key(&child.digest) => None,
        _ => (!repository.manifests.contains_key(&child.digest)).then(|| format!("manifest {}", child.digest)),
    };
    match content {
        Content::Index { manifests } => manifests.iter().filter_map(child).collect(),
        Content::Image { config, layers } => {
            blob(&config.digest).into_iter().chain(layers.iter().filter_map(layer)).collect()
        }
        Content::Artifact { blobs } => blobs.iter().filter_map(layer).collect(),
        Content::Schema1 { layers } => layers.iter().filter_map(blob).collect(),
        Content::Unknown => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn manifest(media_type: &str, json: &str) -> Manifest {
        Manifest::from_bytes(media_type, Bytes::copy_from_slice(json.as_bytes())).unwrap()
    }

    #[test]
    fn what_a_referrer_is_called() {
        let about = |media_type: &str, fields: &str| {
            let json = format!(r#"{{"schemaVersion":2,"subject":{{"digest":"{D}"}},{fields}}}"#);
            record(&manifest(media_type, &json), media_type).unwrap().artifact_type
        };
        let config = format!(r#""config":{{"mediaType":"config/type","digest":"{D}","size":0}}"#);
        assert_eq!(about(media_type::OCI_MANIFEST, &config).as_deref(), Some("config/type"));
        assert_eq!(
            about(media_type::OCI_MANIFEST, &format!(r#""artifactType":"own/type",{config}"#)).as_deref(),
            Some("own/type")
        );
        assert_eq!(
            about(media_type::OCI_MANIFEST, &format!(r#""artifactType":"",{config}"#)).as_deref(),
            Some("config/type")
        );
        assert_eq!(about(media_type::OCI_INDEX, r#""manifests":[]"#), None);
    }

    #[test]
    fn a_type_that_contradicts_the_bytes_is_refused() {
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::OCI_INDEX);
        assert!(Manifest::from_bytes(media_type::OCI_MANIFEST, index.clone().into()).is_err());
        let index = manifest("application/json", &index);
        assert!(record(&index, media_type::OCI_MANIFEST).is_err());
        assert_eq!(record(&index, "application/json").unwrap().media_type, media_type::OCI_INDEX);
    }

    #[test]
    fn foreign_layers_are_not_asked_for() {
        let image = manifest(
            media_type::DOCKER_MANIFEST,
            &format!(
                r#"{{"schemaVersion":2,"config":{{"digest":"{D}","size":0}},"layers":[
                {{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"{D}","size":1,"urls":["https://example.com/"]}}]}}"#
            ),
        );
        let missing = missing_parts(&RepositoryRecord::default(), &image.content().unwrap());
        assert_eq!(missing, [format!("blob {D}")], "the config only");
    }
}
