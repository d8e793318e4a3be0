//! Children from several registries, repositories and layouts: mounted where possible, otherwise copied.

use super::{digests, image_for, index, written};
use crate::support::{
    Folder, Options, Proxy, Style, TokenService, User, distribution, images, layout, login, pairs, registries,
};

#[test]
fn within_one_registry_every_child_is_mounted_from_its_own_repository() {
    let two = [image_for(Style::Oci, "linux/amd64", 1), image_for(Style::Oci, "linux/arm64", 2)];
    for registry in registries() {
        two[0].push(&registry, "team/amd", "v1");
        two[1].push(&registry, "team/arm", "v1");
        let proxy = Proxy::before(&registry);
        let run = index(&[proxy.at("team/amd:v1"), proxy.at("team/arm:v1")], &proxy.at("prod/app:v1")).run().ended(0);
        written(&run, &registry, "prod/app", "v1");
        assert_eq!(proxy.uploaded_bytes(), 0, "{:#?}", proxy.lines());
        for (image, from) in two.iter().zip(["team/amd", "team/arm"]) {
            for blob in &image.blobs {
                let mounts = proxy.matching("POST", &format!("/v2/prod/app/blobs/uploads/*{}", blob.digest));
                assert_eq!(mounts.len(), 1, "{:#?}", proxy.lines());
                assert!(mounts[0].target.contains(&format!("from={from}")), "{}", mounts[0].target);
            }
        }
    }
}

#[test]
fn content_read_from_the_destination_itself_is_not_checked_again() {
    let two = [image_for(Style::Oci, "linux/amd64", 1), image_for(Style::Oci, "linux/arm64", 2)];
    for registry in registries() {
        two[0].push(&registry, "app", "amd64");
        two[1].push(&registry, "app", "arm64");
        let proxy = Proxy::before(&registry);
        let run = index(&[proxy.at("app:amd64"), proxy.at("app:arm64")], &proxy.at("app:v1")).run().ended(0);
        written(&run, &registry, "app", "v1");
        // Each image and its config; the tag is checked and written.
        assert_eq!(proxy.log().len(), 2 * 2 + 2, "{:#?}", proxy.lines());
    }
}

#[test]
fn two_registries_a_layout_and_the_destination_itself() {
    let all = ["linux/386", "linux/amd64", "linux/arm64"].iter().enumerate();
    let all: Vec<_> = all.map(|(number, on)| image_for(Style::Oci, on, number as u64 + 1)).collect();
    for (one, other) in pairs() {
        all[0].push(&one, "a", "v1");
        all[1].push(&other, "app", "amd64");
        let folder = Folder::new();
        layout::write(&folder.join("image"), &[("arm", &all[2])]);
        let on_disk = format!("oci:{}:arm", folder.join("image").display());
        let run = index(&[on_disk, one.at("a:v1"), other.at("app:amd64")], &other.at("app:v1")).run().ended(0);
        let index = written(&run, &other, "app", "v1");
        assert_eq!(digests(&index), all.iter().map(images::Image::digest).collect::<Vec<_>>());
    }
}

#[test]
fn content_shared_by_two_sources_is_sent_once() {
    let shared = images::layers(Style::Oci, 9, 3, 2000);
    let image = |on: &str| images::image_of(Style::Oci, on, shared.clone());
    for (source, destination) in pairs() {
        image("linux/amd64").push(&source, "amd", "v1");
        image("linux/arm64").push(&source, "arm", "v1");
        let writing = Proxy::before(&destination);
        index(&[source.at("amd:v1"), source.at("arm:v1")], &writing.at("app:v1")).run().ended(0);
        assert_eq!(writing.uploaded().len(), 5, "three layers and two configs: {:#?}", writing.lines());
    }
}

#[test]
fn a_layout_may_be_the_destination() {
    let two = [image_for(Style::Oci, "linux/amd64", 1), image_for(Style::Oci, "linux/arm64", 2)];
    for registry in registries() {
        two[0].push(&registry, "amd", "v1");
        two[1].push(&registry, "arm", "v1");
        let folder = Folder::new();
        let place = format!("oci:{}", folder.join("out").display());
        let names = [registry.at("amd:v1"), registry.at("arm:v1")];
        let there = index(&names, &format!("{place}:v1")).run().ended(0).stdout;
        let digest = there.trim().rsplit_once('@').unwrap().1.to_owned();
        crate::support::imgstep(["promote", &format!("{place}:v1"), &registry.at("back:v1")])
            .run()
            .printed(&[format!("{}@{digest}", registry.at("back"))]);
        let here = index(&names, &registry.at("app:v1")).run().ended(0).stdout;
        assert!(here.trim().ends_with(&digest), "{here} {there}");
    }
}

#[test]
fn several_destinations_get_the_same() {
    let two = [image_for(Style::Oci, "linux/amd64", 1), image_for(Style::Oci, "linux/arm64", 2)];
    for (one, other) in pairs() {
        two[0].push(&one, "amd", "v1");
        two[1].push(&other, "arm", "v1");
        let run = index(&[one.at("amd:v1"), other.at("arm:v1")], &one.at("app:v1"))
            .args(["--to", &other.at("app:v1")])
            .run()
            .ended(0);
        assert_eq!(run.stdout.lines().count(), 2);
        assert_eq!(one.manifest_bytes("app", "v1"), other.manifest_bytes("app", "v1"));
        for registry in [&one, &other] {
            let digest = images::sha256(&registry.manifest_bytes("app", "v1"));
            crate::support::assert_complete(registry, "app", &digest);
        }
    }
}

#[test]
fn one_account_may_read_here_and_another_write_there() {
    const ALL: &[&str] = &["pull", "push"];
    let service = TokenService::start(vec![
        User { name: "alice", password: "pw", may: vec![("team/", &["pull"]), ("prod/", ALL)], ..User::default() },
        User::default(),
    ]);
    let options = Options { auth: service.auth(), ..Options::default() };
    let Some(registry) = distribution(&options) else { return };
    let two = [image_for(Style::Oci, "linux/amd64", 1), image_for(Style::Oci, "linux/arm64", 2)];
    two[0].push(&registry, "team/amd", "v1");
    two[1].push(&registry, "team/arm", "v1");
    let proxy = Proxy::before(&registry);
    let names = [proxy.at("team/amd:v1"), proxy.at("team/arm:v1")];
    let run = index(&names, &proxy.at("prod/app:v1")).docker_config(&login(&proxy.host, "alice", "pw")).run().ended(0);
    let digest = images::sha256(&registry.manifest_bytes("prod/app", "v1"));
    assert_eq!(run.stdout, format!("{}@{digest}\n", proxy.at("prod/app")));
    crate::support::assert_complete(&registry, "prod/app", &digest);
    assert_eq!(proxy.uploaded_bytes(), 0, "all is mounted, from both: {:#?}", proxy.lines());
    assert!(service.log().iter().all(|request| request.status == 200), "{:#?}", service.log());
    index(&names, &proxy.at("prod/app:v2")).run().failed(4, &[]);
}
