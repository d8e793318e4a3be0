//! How the cost of a promotion grows: with the images in a list, the children of an index, the layers of an image, and
//! the tags in a repository.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{line, promote};
use crate::support::{
    Action, Folder, Image, Kind, Options, Proxy, Registry, Style, TokenService, User, assert_image, distribution,
    images, imgstep, login, pairs, registries, rule,
};

/// A list file that copies `images` images within one registry.
fn list(folder: &Folder, host: &str, images: usize, to: &str) -> String {
    let lines = (0..images).fold(String::new(), |mut text, number| {
        let _ = writeln!(text, "{host}/app{number}:v1 {host}/{to}{number}:v1");
        text
    });
    folder.write("list", lines).to_str().unwrap().to_owned()
}

#[test]
fn two_hundred_images_take_eight_requests_each_and_two_the_second_time() {
    let shared = images::layers(Style::Oci, 7, 1, 20_000);
    for registry in registries() {
        for number in 0..200 {
            let own = images::layers(Style::Oci, 1000 + number, 2, 500);
            let layers = shared.iter().cloned().chain(own).collect();
            images::image_of(Style::Oci, "linux/amd64", layers).push(&registry, &format!("app{number}"), "v1");
        }
        let proxy = Proxy::before(&registry);
        let folder = Folder::new();
        let run = |images: usize, to: &str| {
            proxy.reset();
            let started = imgstep(["promote", "--list", &list(&folder, &proxy.host, images, to)]).start();
            let peak = started.peak_memory();
            let run = started.wait().ended(0);
            assert_eq!(run.stdout.lines().count(), images);
            (proxy.log().len(), peak.join().unwrap())
        };
        let (requests, small) = run(20, "few");
        assert!(requests <= 20 * 8, "{requests} requests for 20 images");
        let (requests, large) = run(200, "many");
        assert!(requests <= 200 * 8, "{requests} requests for 200 images");
        // Only what is reported of each image is kept: a few kilobytes.
        assert!(large < small + 4_000_000, "{small} bytes for 20 images, {large} for 200");
        let (requests, _) = run(200, "many");
        assert!(requests <= 200 * 2, "{requests} requests for 200 images that are there");
        let (to_check, copy) = ("app137", "many137");
        assert_eq!(registry.manifest_bytes(to_check, "v1"), registry.manifest_bytes(copy, "v1"));
    }
}

#[test]
fn tokens_are_fetched_once_for_each_set_of_scopes_of_all_images() {
    let all: &[&str] = &["pull", "push"];
    let user = User { name: "alice", password: "pw", may: vec![("", all)], ..User::default() };
    let service = TokenService::start(vec![user]);
    let Some(registry) = distribution(&Options { auth: service.auth(), ..Options::default() }) else { return };
    let folder = Folder::new();
    let mut text = String::new();
    for number in 0..30 {
        // Thirty tags of three repositories.
        let (repository, tag) = (format!("app{}", number % 3), format!("v{number}"));
        images::image(number, 3, 300).push(&registry, &repository, &tag);
        let _ = writeln!(
            text,
            "{} {}",
            registry.at(&format!("{repository}:{tag}")),
            registry.at(&format!("prod/{repository}:{tag}"))
        );
    }
    let file = folder.write("list", text);
    imgstep(["promote", "--list", file.to_str().unwrap()])
        .docker_config(&login(&registry.host, "alice", "pw"))
        .run()
        .ended(0);
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for request in service.log() {
        *asked.entry(request.scopes.join(" ")).or_default() += 1;
    }
    assert!(asked.values().all(|count| *count == 1), "{asked:#?}");
    assert!(asked.len() <= 6, "three to read and three to write: {asked:#?}");
}

#[test]
fn a_429_is_retried_later_and_nothing_is_lost() {
    for (source, destination) in pairs() {
        let folder = Folder::new();
        let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
        let mut text = String::new();
        let all: Vec<_> = (0..12).map(|number| images::image(number, 3, 400)).collect();
        for (number, image) in all.iter().enumerate() {
            image.push(&source, &format!("app{number}"), "v1");
            let _ = writeln!(
                text,
                "{} {}",
                reading.at(&format!("app{number}:v1")),
                writing.at(&format!("copy{number}:v1"))
            );
        }
        reading.add(rule("GET", "/blobs/", Action::too_many("1")).skip(5).times(4));
        writing.add(rule("PUT", "", Action::too_many("2")).skip(8).times(6));
        writing.add(rule("POST", "", Action::too_many("1")).skip(3).times(3));
        let started = Instant::now();
        let file = folder.write("list", text);
        let run = imgstep(["promote", "--list", file.to_str().unwrap()]).run().ended(0);
        assert_eq!(run.stdout.lines().count(), 12);
        assert!(started.elapsed() >= Duration::from_secs(2), "the registry's word was kept: {:?}", started.elapsed());
        assert_eq!((reading.met().len(), writing.met().len()), (4, 9));
        for (number, image) in all.iter().enumerate() {
            assert_image(&destination, &format!("copy{number}"), "v1", image);
        }
    }
}

/// The requests that a blob takes: it is read, and its upload is started and sent. Not every registry reports which
/// blobs exist in the same second; others are asked for it.
fn requests_of_a_blob(registry: &Registry) -> usize {
    if registry.kind == Kind::Distribution { 3 } else { 4 }
}

/// The requests of a promotion, for images of two sizes, and the requests for each blob.
fn requests(image_of: impl Fn(usize) -> Image, sizes: [usize; 2]) -> Vec<([usize; 2], usize)> {
    pairs()
        .into_iter()
        .map(|(source, destination)| {
            let (reading, writing) = (Proxy::before(&source), Proxy::before(&destination));
            let counts = sizes.map(|size| {
                let image = image_of(size);
                let tag = format!("v{size}");
                // One repository each, because existing content needs no requests.
                let name = format!("app{size}");
                image.push(&source, &name, &tag);
                reading.reset();
                writing.reset();
                promote(&reading.at(&format!("{name}:{tag}")), &writing.at(&format!("{name}:{tag}")))
                    .run()
                    .printed(&[line(&writing.at(&name), &image)]);
                assert_image(&destination, &name, &tag, &image);
                if size == 12 {
                    eprintln!("{:#?}\n{:#?}", reading.lines(), writing.lines());
                }
                reading.log().len() + writing.log().len()
            });
            (counts, requests_of_a_blob(&destination))
        })
        .collect()
}

#[test]
fn an_index_of_sixty_children_costs_what_sixty_images_cost() {
    let index = |size: usize| {
        let child = |number| {
            let variant = format!("linux/amd64/v{number}");
            let layers = images::layers(Style::Oci, (size * 100 + number) as u64, 2, 300);
            (images::image_of(Style::Oci, &variant, layers), json!({"platform": images::platform(&variant)}))
        };
        images::index_of(Style::Oci, (0..size).map(child).collect())
    };
    // A child: its manifest is read, checked and written, plus three blobs. The same for the index.
    for (counts, blob) in requests(index, [6, 60]) {
        assert_eq!(counts, [6, 60].map(|children| children * (3 + 3 * blob) + 3));
    }
}

#[test]
fn an_image_of_127_layers_costs_the_same_for_each_layer() {
    for (counts, blob) in requests(|size| images::image(size as u64, size, 200), [12, 127]) {
        assert_eq!(counts, [12, 127].map(|layers| (layers + 1) * blob + 3));
    }
}

#[test]
fn a_repository_with_five_thousand_tags_takes_no_longer() {
    let registry = Registry::inside();
    let image = images::image(1, 2, 300);
    image.push_blobs(&registry, "app");
    for number in 0..5000 {
        registry.put_manifest("app", &format!("v{number}"), image.root());
    }
    let other = images::image(2, 2, 300);
    other.push(&registry, "other", "v1");
    let proxy = Proxy::before(&registry);
    // To a tag of the repository, from a tag of it, and a layer on top of it. (The config is mounted, but read for its
    // platform.)
    promote(&proxy.at("other:v1"), &proxy.at("app:new")).run().printed(&[line(&proxy.at("app"), &other)]);
    assert_eq!(proxy.log().len(), 2 + 3 + 2, "{:#?}", proxy.lines());
    proxy.reset();
    promote(&proxy.at("app:v4321"), &proxy.at("copy:v1")).run().printed(&[line(&proxy.at("copy"), &image)]);
    assert_eq!(proxy.log().len(), 2 + 3 + 2, "{:#?}", proxy.lines());
    proxy.reset();
    let folder = Folder::new();
    let layer = format!("{}=/file", folder.write("file", images::noise(3, 40_000_000)).display());
    imgstep(["append", &proxy.at("app:v7"), "--to", &proxy.at("app:next"), "--layer", &layer]).run().ended(0);
    let lists = proxy.matching("GET", "/tags/list");
    assert!(lists.len() <= 1, "{:#?}", proxy.lines());
    let read = proxy.log().iter().filter(|seen| seen.is("GET", "/manifests/")).count();
    assert!(read <= 8, "{:#?}", proxy.lines());
}
