//! Manifests, indexes and configs, as sent by a registry.

use bytes::Bytes;

use super::{assert_one_line, first_line};
use crate::image::config::{Changes, Config};
use crate::image::digest::Digest;
use crate::image::format::{Format, converted, throughout};
use crate::image::index::{IndexChild, check_platforms, common_format, ordered};
use crate::image::manifest::{Content, Manifest};

/// The first line is the `Content-Type`; the rest is read both as a manifest and as a config.
pub fn run(bytes: &[u8]) {
    let (content_type, bytes) = first_line(bytes);
    let Ok(content_type) = std::str::from_utf8(content_type) else { return };
    config(bytes);
    let manifest = match Manifest::from_bytes(content_type, Bytes::copy_from_slice(bytes)) {
        Ok(manifest) => manifest,
        Err(error) => return assert_one_line(&error),
    };
    assert_eq!(manifest.bytes, bytes);
    let content = manifest.content();
    if let Err(error) = &content {
        assert_one_line(error);
    }
    // Only a signed manifest's digest may be that of other bytes, its payload.
    let own = Digest::of(bytes);
    assert!(manifest.digest == own || !matches!(content, Ok(Content::Index { .. } | Content::Image { .. })));
    edit(&manifest);
    children(&manifest);
}

/// An edit that changes nothing keeps every byte; any other result can be read again.
fn edit(manifest: &Manifest) {
    let _ = manifest.annotations();
    if let Ok(same) = manifest.with_annotations(&[]) {
        assert_eq!(same.bytes, manifest.bytes);
    }
    if let Ok(other) = manifest.with_annotations(&[("a".to_owned(), Some("b".to_owned()))]) {
        assert_eq!(other.annotations().get("a").map(String::as_str), Some("b"));
        assert_eq!(other.digest, Digest::of(&other.bytes));
    }
    for format in [Format::Oci, Format::Docker] {
        for made in [converted(manifest, format), throughout(manifest, format)] {
            match made {
                Ok(made) => assert_eq!(made.digest == manifest.digest, made.bytes == manifest.bytes),
                Err(error) => assert_one_line(&error),
            }
        }
    }
}

fn children(manifest: &Manifest) {
    let Ok(raw) = manifest.raw_children() else { return };
    if let Ok(same) = manifest.with_children(raw.clone()) {
        assert_eq!(same.raw_children().ok(), Some(raw.clone()));
    }
    let named = |(number, raw)| IndexChild::from_raw(raw, format!("{number}"), number).ok();
    let children: Vec<IndexChild> = raw.into_iter().enumerate().filter_map(named).collect();
    let count = children.len();
    let children = ordered(children);
    assert!(children.len() <= count);
    let _ = (check_platforms(&children), common_format(&children, Some(manifest)));
}

/// An unchanged config keeps its bytes, and a changed one can be read again.
fn config(bytes: &[u8]) {
    let Ok(mut config) = Config::parse(bytes) else { return };
    assert_eq!(config.to_bytes().ok().as_deref(), Some(bytes));
    let _ = (config.platform(), config.command(), config.diff_ids());
    let changes = Changes {
        entrypoint: Some(vec!["/app".to_owned()]),
        env: vec![("A".to_owned(), Some("b".to_owned())), ("PATH".to_owned(), None)],
        labels: vec![("a".to_owned(), Some("b".to_owned()))],
        user: Some("65532".to_owned()),
        ..Changes::default()
    };
    if config.apply(&changes).is_ok() && config.add_layer(&Digest::of(b""), "1970-01-01T00:00:00Z", "fuzz").is_ok() {
        let written = config.to_bytes().unwrap_or_default();
        let read = Config::parse(&written).map(|read| read.command());
        assert_eq!(read.ok().as_deref(), Some(&["/app".to_owned()][..]));
    }
}
