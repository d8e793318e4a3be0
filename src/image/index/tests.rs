//! Children in and out of order.

use serde_json::json;

use super::super::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use super::*;

fn child(platform: &str, seed: u8) -> IndexChild {
    let manifest = Manifest {
        media_type: OCI_MANIFEST.to_owned(),
        digest: Digest::of(&[seed]),
        bytes: bytes::Bytes::copy_from_slice(&[seed]),
        parsed: crate::image::manifest::Parsed::default(),
    };
    let platform = platform.parse().ok();
    IndexChild::of(&manifest, platform.as_ref(), format!("child {seed}"), 0).unwrap()
}

fn attestation(subject: &IndexChild, seed: u8) -> IndexChild {
    let raw = json!({
        "mediaType": OCI_MANIFEST, "digest": Digest::of(&[seed]), "size": 1,
        "platform": {"architecture": "unknown", "os": "unknown"},
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject.descriptor.digest,
        },
    });
    IndexChild::from_raw(raw, "attestation".to_owned(), 0).unwrap()
}

fn told(children: &[IndexChild]) -> Vec<String> {
    children.iter().map(|child| child.platform().map_or_else(|| "-".to_owned(), ToString::to_string)).collect()
}

#[test]
fn the_order_does_not_depend_on_the_order_they_came_in() {
    let (arm, amd) = (child("linux/arm64", 1), child("linux/amd64", 2));
    let all = [attestation(&arm, 3), arm.clone(), attestation(&amd, 4), amd, child("linux/arm/v7", 5)];
    let forward = ordered(all.to_vec());
    let backward = ordered(all.iter().rev().cloned().collect());
    assert_eq!(told(&forward), ["linux/amd64", "linux/arm/v7", "linux/arm64", "-", "-"]);
    assert_eq!(forward[4].descriptor.attestation_of(), Some(arm.descriptor.digest.as_str()));
    let digest = |children: &[IndexChild]| assembled(children, None, Format::Oci, &BTreeMap::new()).unwrap().digest;
    assert_eq!(digest(&forward), digest(&backward));
}

#[test]
fn of_one_digest_the_richer_descriptor_stays() {
    let mut rich = child("linux/amd64", 1);
    rich.raw["annotations"] = json!({"a": "b"});
    for order in [[rich.clone(), child("linux/amd64", 1)], [child("linux/amd64", 1), rich]] {
        let one = ordered(order.to_vec());
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].raw["annotations"]["a"], "b");
    }
}

#[test]
fn what_contradicts_is_refused() {
    let same = [child("linux/arm64", 1), child("linux/arm64/v8", 2)];
    let error = check_platforms(&same).unwrap_err().one_line();
    assert!(error.contains("child 1") && error.contains("child 2") && error.contains("--platform-of"), "{error}");
    assert!(check_platforms(&[child("", 1)]).unwrap_err().one_line().contains("no platform"));
    let versions = [child("windows/amd64:10.0.1", 1), child("windows/amd64:10.0.2", 2)];
    assert!(check_platforms(&versions).is_ok());
    let mut docker = child("linux/amd64", 3);
    docker.descriptor.media_type = DOCKER_MANIFEST.to_owned();
    assert!(common_format(&[child("linux/arm64", 1), docker], None).unwrap_err().one_line().contains("--format"));
}

#[test]
fn an_index_that_has_all_children_stays_as_it_is() {
    let (one, other) = (child("linux/arm64", 1), child("linux/amd64", 2));
    let text = json!({"zebra": 1, "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [one.raw, other.raw]});
    let from = Manifest::from_bytes(OCI_INDEX, format!("{text:#}").into_bytes().into()).unwrap();
    let children = ordered(vec![one.clone(), other.clone()]);
    let index = |annotations: &[(&str, &str)]| {
        let annotations = annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assembled(&children, Some(&from), Format::Oci, &annotations).unwrap()
    };
    assert_eq!(index(&[]).bytes, from.bytes);
    let annotated: Value = serde_json::from_slice(&index(&[("b", "1"), ("a", "2")]).bytes).unwrap();
    assert_eq!(annotated["annotations"].to_string(), r#"{"a":"2","b":"1"}"#);
    assert_eq!(annotated["zebra"], 1);
    let fewer =
        assembled(&without(children.clone(), &[one.descriptor.digest]), Some(&from), Format::Oci, &BTreeMap::new());
    assert_eq!(fewer.unwrap().raw_children().unwrap(), [other.raw]);
    let docker = assembled(&children, Some(&from), Format::Docker, &[("a".to_owned(), "b".to_owned())].into());
    assert!(docker.unwrap_err().one_line().contains("--format oci"));
}
