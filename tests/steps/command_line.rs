//! The command line: Tekton's rules, the environment, and what a person sees.

use crate::support::{Folder, Style, assert_image, images, imgstep, pairs};

#[test]
fn help_and_version_are_printed_on_stdout() {
    let version = imgstep(["--version"]).run().ended(0);
    assert_eq!(version.stdout, format!("imgstep {}\n", env!("CARGO_PKG_VERSION")));
    let help = imgstep(["--help"]).run().ended(0);
    for step in ["promote", "tag", "digest", "inspect"] {
        assert!(help.stdout.contains(step), "{}", help.stdout);
        assert!(imgstep([step, "--help"]).run().ended(0).stdout.contains("Usage"), "{step}");
    }
}

#[test]
fn a_usage_error_is_2_and_prints_nothing_on_stdout() {
    let wrong: [&[&str]; 8] = [
        &["no-such-step"],
        &["promote"],
        &["promote", "localhost:1/a"],
        &["promote", "localhost:1/a", "localhost:1/b", "--no-such-flag"],
        &["promote", "localhost:1/a", "localhost:1/b", "--if-exists", "maybe"],
        &["promote", "localhost:1/a", "localhost:1/b", "--expect-digest", "sha256:12"],
        &["promote", "localhost:1/a", "localhost:1/b", "--platform", "linux"],
        &["promote", "localhost:1/a", "localhost:1/b", "--dry-run=perhaps"],
    ];
    for words in wrong {
        let run = imgstep(words).run();
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{words:?}: {}", run.stderr);
        assert!(!run.stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn bad_references_are_2_and_say_what_to_write() {
    let bad = [
        ("https://alpine", "write `alpine`"),
        ("ghcr.io/Org/app", "lower case"),
        ("localhost:99999/app", "port"),
        ("app@sha256:12", "digest"),
        ("app:", "tag"),
        ("oci:", "folder"),
        ("app\n::error::x", "\\n"),
    ];
    for (reference, word) in bad {
        imgstep(["promote", reference, "localhost:1/app"]).run().failed(2, &[word]);
        imgstep(["promote", "localhost:1/app", reference]).run().failed(2, &[word]);
        imgstep(["digest", reference]).run().failed(2, &[word]);
    }
}

#[test]
fn an_option_with_an_empty_value_is_not_given() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        imgstep(["promote", &source.at("app:v1"), &destination.at("app:v1")])
            .args(["--platform=", "--if-exists=", "--expect-digest=", "--to=", "--jobs=", "--retries=", "--output="])
            .args(["--auth-dir=", "--source-auth-dir=", "--ca-dir=", "--ca-file=", "--insecure-registry="])
            .args(["--max-manifest-size=", "--result=", "--tags=", "--dry-run="])
            .run()
            .printed(&[format!("{}@{}", destination.at("app"), image.digest())]);
        assert_image(&destination, "app", "v1", &image);
    }
}

#[test]
fn empty_arguments_count_as_not_given() {
    let image = images::image(1, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        imgstep(["promote", &source.at("app:v1"), &destination.at("app:v1"), "--tags", "", "also", "--platform", ""])
            .run()
            .printed(&[format!("{}@{}", destination.at("app"), image.digest())]);
        assert_image(&destination, "app", "also", &image);
    }
}

#[test]
fn a_list_flag_may_stand_alone() {
    let image = images::image(1, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        imgstep(["promote", &source.at("app:v1"), &destination.at("app:v1")])
            .args(["--tags", "--platform", "--to", "--auth-dir", "--insecure-registry", "--result"])
            .run()
            .printed(&[format!("{}@{}", destination.at("app"), image.digest())]);
    }
}

#[test]
fn a_list_ends_at_the_next_flag() {
    let image = images::image(1, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        imgstep(["promote", "--tags", "a", "b", "--if-exists", "overwrite", &source.at("app:v1")])
            .args([&destination.at("app:v1")])
            .run()
            .printed(&[format!("{}@{}", destination.at("app"), image.digest())]);
        for tag in ["v1", "a", "b"] {
            assert_image(&destination, "app", tag, &image);
        }
    }
}

#[test]
fn every_option_may_come_from_the_environment() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let folder = Folder::new();
        imgstep(["promote"])
            .env("IMGSTEP_SOURCE", source.at("app:v1"))
            .env("IMGSTEP_DESTINATION", destination.at("app:v1"))
            .env("IMGSTEP_TAGS", "one\ntwo\n\n")
            .env("IMGSTEP_PLATFORM", "")
            .env("IMGSTEP_DRY_RUN", "false")
            .env("IMGSTEP_IF_EXISTS", "overwrite")
            .env("IMGSTEP_RESULT", format!("digest={}\n", folder.join("digest").display()))
            .run()
            .printed(&[format!("{}@{}", destination.at("app"), image.digest())]);
        for tag in ["v1", "one", "two"] {
            assert_image(&destination, "app", tag, &image);
        }
        assert_eq!(folder.read("digest").as_deref(), Some(image.digest()));
    }
}

#[test]
fn the_command_line_overrides_the_environment() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        imgstep(["promote", &source.at("app:v1"), &destination.at("app:v1")])
            .args(["--platform", "linux/arm64", "--dry-run=false"])
            .env("IMGSTEP_SOURCE", source.at("no-such:v1"))
            .env("IMGSTEP_DESTINATION", destination.at("no-such:v1"))
            .env("IMGSTEP_PLATFORM", "linux/amd64")
            .env("IMGSTEP_DRY_RUN", "true")
            .run()
            .printed(&[format!("{}@{}", destination.at("app"), image.manifests[1].digest)]);
    }
}

#[test]
fn a_boolean_from_the_environment_counts() {
    let image = images::image(1, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        imgstep(["promote", &source.at("app:v1"), &destination.at("app:v1")])
            .env("IMGSTEP_DRY_RUN", "true")
            .run()
            .ended(0);
        assert!(!destination.has_manifest("app", "v1"));
    }
}

#[test]
fn options_may_come_before_operands() {
    let image = images::image(1, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let (from, to) = (source.at("app:v1"), destination.at("app:v1"));
        let printed = [format!("{}@{}", destination.at("app"), image.digest())];
        imgstep(["promote", "-t", &to, &from]).run().printed(&printed);
        imgstep(["cp", "--tags", "v2", "v3", &from, &to]).run().printed(&printed);
        imgstep(["tag", "--if-exists", "fail", "--result", "digest=", &to, "v4"]).run().printed(&printed);
        for tag in ["v1", "v2", "v3", "v4"] {
            assert_image(&destination, "app", tag, &image);
        }
        let run = imgstep(["promote", "-t", &destination.at("x"), &destination.at("y"), &from]).run();
        run.failed(2, &["two ways", &format!("imgstep promote {from} -t"), "first"]);
        imgstep(["promote", "-t", &to]).run().failed(2, &["no source: -t took `", "write `imgstep promote SOURCE"]);
        assert!(!destination.has_manifest("x", "latest") && !destination.has_manifest("y", "latest"));
    }
}

#[test]
fn words_of_other_tools_are_explained() {
    for (words, expected) in [
        (&["ls", "localhost:1/a"][..], "there is no step `ls`; imgstep doesn't list tags; use `crane ls"),
        (&["promote", "localhost:1/a", "localhost:1/b", "--authfile", "x"], "`--authfile` here; write --auth-dir"),
        (&["promote", "localhost:1/a", "localhost:1/b", "-o", "json"], "write `--output json`"),
        (
            &["promote", "localhost:1/a", "localhost:1/b", "--jobs", "x"],
            "--jobs: invalid value `x`; write a whole number",
        ),
    ] {
        let run = imgstep(words).run();
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{}", run.stderr);
        assert!(run.stderr.contains(expected) && !run.stderr.contains("tip: to pass"), "{}", run.stderr);
    }
    assert_eq!(imgstep(["version"]).run().ended(0).stdout, imgstep(["--version"]).run().ended(0).stdout);
}

#[test]
fn a_variable_that_no_option_reads_gets_a_warning() {
    let run = imgstep(["promote", "localhost:1/a", "localhost:1/b", "--retries", "0"]).env("IMGSTEP_TAG", "v1").run();
    assert!(run.stderr.contains("IMGSTEP_TAG is set, and no option reads it; IMGSTEP_TAGS is one"), "{}", run.stderr);
    let run = imgstep(["promote", "localhost:1/a", "localhost:1/b", "--retries", "0"]).env("IMGSTEP_TAG", "").run();
    assert!(!run.stderr.contains("IMGSTEP_TAG"), "{}", run.stderr);
}
