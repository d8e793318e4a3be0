//! One large blob from a source that limits the rate of each connection.

use std::time::Duration;

use super::{line, promote};
use crate::support::images::{Content, image_of, noise};
use crate::support::step::Run;
use crate::support::{Action, Image, Proxy, Registry, Style, assert_image, pairs, registries, rule, rules::Rule};

/// The rate of each connection, in bytes per second.
const RATE: u64 = 25_000_000;

fn large() -> Image {
    let layer = Content::new("application/vnd.oci.image.layer.v1.tar", noise(1, 120_000_000));
    image_of(Style::Oci, "linux/amd64", vec![layer])
}

/// Copies a large image out of a registry that limits connections and injects the faults in `rules`.
fn copy(image: &Image, source: &Registry, destination: &Registry, rules: &[Rule]) -> (Proxy, Run) {
    image.push(source, "app", "v1");
    let reading = Proxy::before(source).with(rule("GET", "/blobs/", Action::HoldAnswer(RATE)));
    reading.add_all(rules);
    let run = promote(&reading.at("app:v1"), &destination.at("copy:v1")).run();
    (reading, run)
}

fn partial(reading: &Proxy) -> usize {
    reading.matching("GET", "/blobs/").iter().filter(|seen| seen.status == 206).count()
}

#[test]
fn a_slow_blob_is_fetched_over_several_connections() {
    let image = large();
    for (source, destination) in pairs() {
        let (reading, run) = copy(&image, &source, &destination, &[]);
        run.printed(&[line(&destination.at("copy"), &image)]);
        assert_image(&destination, "copy", "v1", &image);
        assert!(partial(&reading) >= 8, "{:#?}", reading.lines());
    }
}

#[test]
fn a_registry_without_ranges_is_read_over_one_connection() {
    let image = large();
    let source = Registry::inside();
    let (reading, run) =
        copy(&image, &source, &Registry::inside(), &[rule("GET", "/blobs/", Action::RequestHeader("Range", None))]);
    run.ended(0);
    let asked = reading.matching("GET", "/blobs/");
    // The manifest's two blobs, and one range request that was answered with the whole blob.
    assert_eq!(asked.len(), 3, "{:#?}", reading.lines());
    assert!(asked.iter().all(|seen| seen.status == 200), "{:#?}", reading.lines());
}

#[test]
fn a_part_that_breaks_is_asked_for_again() {
    let image = large();
    let cut = rule("GET", "/blobs/", Action::CutAnswer(3_000_000)).skip(3).times(2);
    for registry in registries() {
        let destination = Registry::inside();
        let (reading, run) = copy(&image, &registry, &destination, std::slice::from_ref(&cut));
        run.printed(&[line(&destination.at("copy"), &image)]);
        assert_image(&destination, "copy", "v1", &image);
        assert!(partial(&reading) >= 8, "{:#?}", reading.lines());
    }
}

#[test]
fn refused_parts_are_read_another_way() {
    let image = large();
    let refused = rule("GET", "/blobs/", Action::answer(403)).skip(4);
    let destination = Registry::inside();
    let (_reading, run) = copy(&image, &Registry::inside(), &destination, &[refused.times(3)]);
    run.printed(&[line(&destination.at("copy"), &image)]);
    assert_image(&destination, "copy", "v1", &image);
}

#[test]
fn a_corrupted_part_is_read_again_and_never_completes_an_upload() {
    let image = large();
    let wrong = rule("GET", "/blobs/", Action::Corrupt(1000)).skip(5).times(1);
    let destination = Registry::inside();
    let (_reading, run) = copy(&image, &Registry::inside(), &destination, &[wrong]);
    // The registry in the binary keeps no blob whose digest doesn't match.
    run.printed(&[line(&destination.at("copy"), &image)]);
    assert_image(&destination, "copy", "v1", &image);
}

#[test]
fn waiting_parts_have_a_memory_limit() {
    let layer = Content::new("application/vnd.oci.image.layer.v1.tar", noise(1, 320_000_000));
    let image = image_of(Style::Oci, "linux/amd64", vec![layer]);
    let (source, destination) = (Registry::inside(), Registry::inside());
    image.push(&source, "app", "v1");
    // The first parts arrive last.
    let reading = Proxy::before(&source).with(rule("GET", "/blobs/", Action::HoldAnswer(RATE)));
    reading.add(rule("GET", "/blobs/", Action::StallAnswer(1_000_000, Duration::from_secs(2))).skip(4).times(1));
    let step = promote(&reading.at("app:v1"), &destination.at("copy:v1")).start();
    let peak = step.peak_memory();
    step.wait().printed(&[line(&destination.at("copy"), &image)]);
    let peak = peak.join().unwrap();
    assert!(partial(&reading) >= 20, "{:#?}", reading.lines());
    assert!(peak < 128_000_000, "{peak} bytes");
}
