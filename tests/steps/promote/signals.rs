//! An interrupted step leaves each tag pointing to its old image.

use std::time::Duration;

use super::{line, promote};
use crate::support::{Action, Folder, Proxy, assert_image, images, pairs, rule};

#[test]
fn a_cancelled_step_leaves_the_old_image_and_no_result() {
    for (signal, status) in [("TERM", 143), ("INT", 130)] {
        let (old, new) = (images::image(1, 2, 1000), images::image(2, 4, 200_000));
        for (source, destination) in pairs() {
            new.push(&source, "app", "v1");
            old.push(&destination, "app", "v1");
            let folder = Folder::new();
            // Half of one layer has been sent when the signal arrives.
            let stall = Action::StallAnswer(100_000, Duration::from_secs(20));
            let victim = &new.blobs[2].digest;
            let reading = Proxy::before(&source).with(rule("GET", &format!("/blobs/{victim}"), stall));
            let step = || {
                promote(&reading.at("app:v1"), &destination.at("app:v1"))
                    .args(["--result", &format!("digest={}", folder.join("digest").display())])
            };
            let running = step().start();
            reading.wait_until_met();
            running.signal(signal);
            running.wait().failed(status, &[&format!("SIG{signal}")]);
            assert_image(&destination, "app", "v1", &old);
            assert_eq!(folder.read("digest"), None);
            // The same command resumes.
            reading.reset();
            step().run().printed(&[line(&destination.at("app"), &new)]);
            assert_image(&destination, "app", "v1", &new);
            assert_eq!(folder.read("digest").as_deref(), Some(new.digest()));
        }
    }
}

#[test]
fn a_step_that_was_killed_leaves_the_old_image() {
    let (old, new) = (images::image(1, 2, 1000), images::image(2, 4, 200_000));
    for (source, destination) in pairs() {
        new.push(&source, "app", "v1");
        old.push(&destination, "app", "v1");
        let stall = Action::Stall(Duration::from_secs(20));
        let writing = Proxy::before(&destination).with(rule("PUT", "/blobs/uploads/", stall).skip(2).times(1));
        let running = promote(&source.at("app:v1"), &writing.at("app:v1")).start();
        writing.wait_until_met();
        running.signal("KILL");
        running.wait().ended(137);
        assert_image(&destination, "app", "v1", &old);
        writing.reset();
        promote(&source.at("app:v1"), &writing.at("app:v1")).run().printed(&[line(&writing.at("app"), &new)]);
        assert_image(&destination, "app", "v1", &new);
    }
}
