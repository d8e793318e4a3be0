//! Lists, authorities and layouts: size limits, and no links out of the workspace.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::workspace;
use crate::support::{Folder, images, imgstep, layout, registries};

fn pipe(folder: &Folder, name: &str) {
    assert!(Command::new("mkfifo").arg(folder.work().join(name)).status().unwrap().success());
}

#[test]
fn lists_and_authorities_are_limited_in_size_and_stay_in_the_workspace() {
    let folder = workspace();
    folder.link("/dev/zero", "zero");
    folder.link("../credentials/.dockerconfigjson", "secret");
    folder
        .write("work/broken.pem", "-----BEGIN topsecret-token-123\n-----BEGIN CERTIFICATE-----\n!!\n-----END X-----\n");
    pipe(&folder, "pipe");
    for (name, part) in
        [("zero", "out of "), ("secret", "out of "), ("pipe", "a named pipe"), ("/dev/zero", "a device")]
    {
        let refused = |words: &[&str]| {
            let run = imgstep(words).in_folder(&folder.work()).run().failed(1, &["read ", part]);
            assert!(!run.stderr.contains("topsecret"), "{}", run.stderr);
        };
        refused(&["promote", "--list", name]);
        refused(&["digest", "localhost:1/a:b", "--ca-file", name]);
    }
    let run =
        imgstep(["digest", "localhost:1/a:b", "--ca-file", "broken.pem"]).in_folder(&folder.work()).run().ended(2);
    assert!(!run.stderr.contains("topsecret"), "{}", run.stderr);
    // What a shell opens for a step is still read, up to the limit.
    let list = |from: &str| {
        let script = format!("exec \"$0\" promote --list {from} --dry-run");
        Command::new("bash").args(["-c", &script]).arg(env!("CARGO_BIN_EXE_imgstep")).output().unwrap()
    };
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let output = list("<(echo localhost:1/a)");
    assert!(said(&output).contains("--list, line 1: localhost:1/a:latest has no destination"), "{}", said(&output));
    let output = list("- </dev/zero");
    assert!(said(&output).contains("more than 16777216 bytes"), "{}", said(&output));
}

#[test]
fn authorities_of_systems_and_of_volumes_are_links() {
    let folder = workspace();
    let authority = crate::support::certificates::Certificate::new();
    folder.write("share/mine.crt", &authority.authority_pem);
    fs::create_dir_all(folder.join("etc/certs")).unwrap();
    symlink(folder.join("share/mine.crt"), folder.join("etc/certs/mine.pem")).unwrap();
    symlink("certs/mine.pem", folder.join("etc/cert.pem")).unwrap();
    folder.write("work/ca/..2026/ca.crt", &authority.authority_pem);
    folder.link("..2026", "ca/..data");
    folder.link("..data/ca.crt", "ca/ca.crt");
    let good = |words: [&str; 2]| {
        // They were read: the failure is the missing registry.
        imgstep(["digest", "localhost:1/a:b", "--retries", "0"]).args(words).in_folder(&folder.work()).run().ended(6);
    };
    good(["--ca-file", &folder.join("etc/cert.pem").display().to_string()]);
    good(["--ca-dir", &folder.join("etc/certs").display().to_string()]);
    good(["--ca-dir", "ca"]);
    good(["--ca-file", "ca/ca.crt"]);
}

#[test]
fn a_layout_is_read_and_written_within_its_folder() {
    let image = images::image(7, 2, 1000);
    let with = |change: &dyn Fn(&Folder)| {
        let folder = workspace();
        layout::write(&folder.join("work/image"), &[("v1", &image)]);
        layout::write(&folder.join("elsewhere"), &[("v1", &image)]);
        change(&folder);
        folder
    };
    let away = |name: &'static str| {
        move |folder: &Folder| {
            let member = folder.join("work/image").join(name);
            fs::rename(&member, folder.join("moved")).unwrap();
            symlink(folder.join("moved"), member).unwrap();
        }
    };
    for registry in registries() {
        let read = |folder: &Folder| {
            imgstep(["promote", "oci:image:v1", &registry.at("app:v1")]).in_folder(&folder.work()).run()
        };
        for name in ["index.json", "blobs", "blobs/sha256"] {
            read(&with(&away(name))).failed(1, &[name, "out of "]);
        }
        let blob = |folder: &Folder| {
            let blobs = folder.join("work/image/blobs/sha256");
            let one = fs::read_dir(&blobs).unwrap().next().unwrap().unwrap().path();
            fs::rename(&one, folder.join("moved")).unwrap();
            symlink(folder.join("moved"), one).unwrap();
        };
        read(&with(&blob)).failed(1, &["out of "]);
        let inside = |folder: &Folder| {
            fs::rename(folder.join("work/image/blobs"), folder.join("work/image/store")).unwrap();
            symlink("store", folder.join("work/image/blobs")).unwrap();
        };
        read(&with(&inside)).ended(0);
        let pipe_for_index = |folder: &Folder| {
            fs::remove_file(folder.join("work/image/index.json")).unwrap();
            pipe(folder, "image/index.json");
        };
        read(&with(&pipe_for_index)).failed(1, &["a named pipe"]);
    }
    let folder = with(&|_| {});
    let write = |to: &str| imgstep(["promote", "oci:image:v1", to]).in_folder(&folder.work()).run();
    fs::create_dir_all(folder.join("victim")).unwrap();
    for (name, target) in [("blobs", "victim"), ("blobs/sha256", "victim"), ("oci-layout", "victim/file")] {
        let _ = fs::remove_dir_all(folder.join("work/out"));
        fs::create_dir_all(folder.join("work/out/x").join(name).parent().unwrap()).unwrap();
        symlink(folder.join(target), folder.join("work/out").join("x").join(name)).unwrap();
        write("oci:out/x:v1").failed(1, &[name]);
        assert_eq!(fs::read_dir(folder.join("victim")).unwrap().count(), 0, "{name}");
    }
    let _ = fs::remove_dir_all(folder.join("work/out"));
    folder.link("../victim", "out");
    write("oci:out/x:v1").failed(1, &["work/out leads to ../victim, out of "]);
    assert_eq!(fs::read_dir(folder.join("victim")).unwrap().count(), 0);
}

#[test]
fn results_are_written_within_the_workspace() {
    let folder = workspace();
    layout::write(&folder.join("work/image"), &[("v1", &images::image(7, 1, 100))]);
    folder.write("victim", "mine");
    folder.write("work/real", "old");
    folder.link("../victim", "result");
    folder.link("real", "alias");
    folder.link("..", "up");
    let write = |file: &str| {
        let result = format!("digest={file}");
        imgstep(["promote", "oci:image:v1", "oci:copy:v1", "--result", &result]).in_folder(&folder.work()).run()
    };
    write("result").failed(1, &["work/result leads to ../victim, out of "]);
    write("up/new").failed(1, &["work/up leads to .., out of "]);
    assert!(!folder.join("work/copy").exists());
    assert_eq!(folder.read("victim").unwrap(), "mine");
    write("alias").ended(0);
    assert!(folder.read("work/real").unwrap().starts_with("sha256:"));
    write("fresh").ended(0);
    // Outside a workspace, the files of a CI system may well be links.
    let outside = folder.join("outside");
    symlink(folder.join("victim"), &outside).unwrap();
    write(&outside.display().to_string()).ended(0);
    assert!(folder.read("victim").unwrap().starts_with("sha256:"));
}
