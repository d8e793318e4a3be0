//! Words known from other tools: accepted if their meaning is clear, otherwise answered with what to write instead.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::support::{Folder, Style, assert_image, images, imgstep, pairs, registries};

#[test]
fn archives_and_folders_are_not_looked_up_at_docker_hub() {
    let folder = Folder::new();
    folder.write("images/index.json", "{}");
    folder.write("save", "an archive");
    for (word, meant) in [
        ("docker-archive:x.tar", "skopeo copy docker-archive:x.tar oci:DIR"),
        ("oci-archive:x.tar", "skopeo copy oci-archive:x.tar oci:DIR"),
        ("dir:foo", "skopeo copy dir:foo oci:DIR"),
        ("x.tar", "archives are not read"),
        ("./x.tar", "archives are not read"),
        ("./images", "`oci:./images`"),
        ("images", "`images` is a folder here; for the OCI layout in that folder write `oci:images`"),
        ("save", "`save` is a file here"),
    ] {
        let step = |words: &[&str]| imgstep(words).in_folder(folder.path()).run().failed(2, &[meant]);
        step(&["promote", word, "localhost:1/app"]);
        step(&["promote", "localhost:1/app", word]);
        step(&["promote", "localhost:1/app", "localhost:1/b", "--to", word]);
        step(&["digest", word]);
        step(&["index", word, "--to", "localhost:1/app"]);
        step(&["mutate", word, "--to", "localhost:1/app"]);
        step(&["append", word, "--to", "localhost:1/app"]);
    }
}

#[test]
fn a_missing_folder_is_reported() {
    let folder = Folder::new();
    imgstep(["inspect", "oci:nodir"]).in_folder(folder.path()).run().failed(5, &["there is no folder nodir"]);
    imgstep(["digest", "oci:nodir:v1"]).in_folder(folder.path()).run().failed(5, &["there is no folder nodir"]);
}

#[test]
fn several_tags_may_be_one_argument() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        imgstep(["promote", &source.at("app:v1"), &destination.at("app:v1"), "--tags", "v2,v3", "v4, v5,"])
            .run()
            .ended(0);
        imgstep(["tag", &destination.at("app:v1"), "v6,v7"]).run().ended(0);
        for tag in ["v1", "v2", "v3", "v4", "v5", "v6", "v7"] {
            assert_image(&destination, "app", tag, &image);
        }
    }
}

#[test]
fn a_full_reference_instead_of_a_tag_is_explained() {
    imgstep(["tag", "localhost:1/org/app:v1", "localhost:1/org/app:v9"])
        .run()
        .failed(2, &["`localhost:1/org/app:v9` is not a tag", "write `v9`"]);
    imgstep(["tag", "localhost:1/org/app:v1", "localhost:1/org/other:v9"])
        .run()
        .failed(2, &["write `imgstep promote localhost:1/org/app:v1 localhost:1/org/other:v9`"]);
    imgstep(["tag", "localhost:1/org/app:v1", "-bad-"]).run().ended(2);
}

#[test]
fn the_scheme_of_skopeo_is_accepted() {
    let image = images::image(1, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        imgstep(["promote", &format!("docker://{}", registry.at("app:v1"))])
            .arg(format!("docker://{}", registry.at("copy:v1")))
            .run()
            .printed(&[format!("{}@{}", registry.at("copy"), image.digest())]);
        assert_image(&registry, "copy", "v1", &image);
    }
}

#[test]
fn a_single_argument_is_an_entrypoint() {
    let image = images::image(1, 1, 500);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let mutate = |to: &str, words: &[&str]| {
            imgstep(["mutate", &registry.at("app:v1"), "--to", &registry.at(to)]).args(words).run()
        };
        let one = mutate("one:v1", &["--entrypoint", "/app", "--cmd", "serve"]).ended(0);
        let list = mutate("list:v1", &["--entrypoint", r#"["/app"]"#, "--cmd", r#"["serve"]"#]).ended(0);
        let digest = |line: &str| line.trim().rsplit('@').next().unwrap().to_owned();
        assert_eq!(digest(&one.stdout), digest(&list.stdout));
        mutate("bad:v1", &["--cmd", "node server.js"]).failed(2, &[r#"write --cmd '["node","server.js"]'"#]);
    }
}

#[test]
fn a_port_alone_is_served_and_a_first_command_named() {
    for port in ["0", ":0"] {
        let mut serving = Command::new(env!("CARGO_BIN_EXE_imgstep"))
            .args(["registry", "serve", "--address", port])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(serving.stderr.take().unwrap()).lines();
        let said: Vec<String> = lines.map_while(Result::ok).take(2).collect();
        let _ = serving.kill();
        let _ = serving.wait();
        assert!(said[0].contains("serving 127.0.0.1:"), "{said:?}");
        let address = said[0].split(' ').find(|word| word.starts_with("127.0.0.1:")).unwrap();
        assert!(said[1].contains(&format!("imgstep promote alpine:3.20 {address}/alpine:3.20")), "{said:?}");
    }
}
