//! The release scripts, with small stand-ins for the programs: images and a bundle that the binary makes, the pins in
//! the tree, the commit and its tags. `make release-dry-run` does the same with the real ones.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that panics has failed, which is what it is for")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[allow(dead_code)]
#[path = "steps/support/folder.rs"]
mod folder;
#[path = "steps/support/missing.rs"]
mod missing;

use folder::Folder;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A script of `scripts/release`, or arguments for a shell, with the environment that it needs.
fn shell(script: &str, environment: &[(&str, &str)]) -> Result<String, String> {
    let mut command = Command::new("sh");
    command.arg("-euc").arg(script).current_dir(ROOT).env_clear();
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("IMGSTEP", env!("CARGO_BIN_EXE_imgstep")).env("SOURCE_DATE_EPOCH", "1700000000");
    // Independent of the machine's git settings.
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let (said, failed) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    if output.status.success() { Ok(said) } else { Err(format!("{said}{failed}")) }
}

/// What the workflow's jobs leave for the scripts, and a tree with Tasks in `tree`.
fn stage() -> Folder {
    let folder = Folder::new();
    for arch in ["amd64", "arm64"] {
        folder.write(&format!("binaries/linux-{arch}/imgstep"), format!("#!/imgstep for {arch}\n"));
        folder.write(&format!("binaries/linux-{arch}/busybox"), format!("#!/busybox for {arch}\n"));
        folder.write(&format!("binaries/linux-{arch}/busybox.copyright"), "GPL-2\n");
    }
    folder.write("ca-certificates.crt", "-----BEGIN CERTIFICATE-----\n");
    let archive = |platform: &str| format!("{}  imgstep-{VERSION}-{platform}.tar.gz\n", "ab".repeat(32));
    let other = format!("{}  imgstep-{VERSION}.cdx.json\n", "cd".repeat(32));
    folder.write("assets/checksums.txt", archive("darwin-arm64") + &archive("linux-amd64") + &other);
    folder.write("image.digest", format!("sha256:{}", "12".repeat(32)));
    tree(&folder, "tree");
    folder
}

fn tree(folder: &Folder, name: &str) {
    let pin = format!("ghcr.io/org/imgstep:v{VERSION}@sha256:{}", "0".repeat(64));
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    folder.write(&format!("{name}/Cargo.toml"), manifest);
    folder.write(&format!("{name}/github-action/checksums.txt"), "# what it is\n");
    folder.write(&format!("{name}/tasks/IMAGE"), format!("{pin}\n"));
    for (kind, file) in [("Task", "task"), ("StepAction", "stepaction")] {
        let text = format!(
            "apiVersion: tekton.dev/v1\nkind: {kind}\nmetadata:\n  name: promote\n  labels:\n    app.kubernetes.io/version: \"{VERSION}\"\nspec:\n  image: {pin}\n"
        );
        folder.write(&format!("{name}/tasks/{file}/promote/promote.yaml"), text);
    }
}

fn pins(what: &str, stage: &Folder) -> Result<String, String> {
    let stage_path = stage.path().to_str().unwrap();
    let words = if what == "check" { "check".to_owned() } else { format!("{what} {stage_path}") };
    shell(&format!("sh scripts/release/pins.sh {words}"), &[("TREE", stage.join("tree").to_str().unwrap())])
}

#[test]
fn this_commit_is_a_complete_release_or_not_one() {
    shell("sh scripts/release/pins.sh check", &[]).unwrap();
}

#[test]
fn digest_and_checksums_are_written_where_users_find_them() {
    let stage = stage();
    pins("check", &stage).unwrap();
    pins("write", &stage).unwrap();
    let digest = format!("sha256:{}", "12".repeat(32));
    assert_eq!(stage.read("tree/tasks/IMAGE").unwrap(), format!("ghcr.io/org/imgstep:v{VERSION}@{digest}\n"));
    assert!(stage.read("tree/tasks/task/promote/promote.yaml").unwrap().contains(&digest));
    let checksums = stage.read("tree/github-action/checksums.txt").unwrap();
    assert!(checksums.starts_with("# what it is\n"), "{checksums}");
    assert_eq!(checksums.lines().count(), 3, "the archives alone: {checksums}");
    pins("check", &stage).unwrap();
    let path = stage.path().to_str().unwrap();
    shell(&format!("sh scripts/release/pins.sh check {path}"), &[("TREE", &format!("{path}/tree"))]).unwrap();
    // Again, and nothing changes.
    pins("write", &stage).unwrap();
    assert_eq!(stage.read("tree/github-action/checksums.txt").unwrap(), checksums);
}

#[test]
fn mismatches_are_named() {
    let (made, zeros) = ("12".repeat(32), "0".repeat(64));
    let label = format!("version: \"{VERSION}\"");
    let (task, step) = ("tasks/task/promote/promote.yaml", "tasks/stepaction/promote/promote.yaml");
    let older = |text: &str| text.replace(VERSION, "0.0.1");
    let archive = format!("imgstep-{VERSION}-linux-amd64");
    // The broken thing, its file, the text in it, its replacement, and a part of the error message.
    let breakages: [(&str, &str, &str, String, &str); 6] = [
        ("an older archive", "github-action/checksums.txt", &archive, older(&archive), "imgstep-0.0.1-linux-amd64"),
        ("no archive", "github-action/checksums.txt", "imgstep", "other".into(), "checksums.txt none"),
        ("no image", "tasks/IMAGE", &made, zeros, "tasks/IMAGE names none"),
        ("an older image", "tasks/IMAGE", VERSION, "0.0.1".into(), "Cargo.toml the version"),
        ("another image", task, &made, "34".repeat(32), "tasks/ names"),
        ("an older label", step, &label, older(&label), "labels 0.0.1"),
    ];
    for (what, file, from, to, word) in breakages {
        let stage = stage();
        pins("write", &stage).unwrap();
        let file = format!("tree/{file}");
        let text = stage.read(&file).unwrap();
        assert!(text.contains(from), "{what}");
        stage.write(&file, text.replace(from, &to));
        let said = pins("check", &stage).unwrap_err();
        assert!(said.contains(word), "{what}: {said}");
    }
}

/// A JSON file of a layout, by its digest.
fn json(layout: &Path, digest: &Value) -> Value {
    let name = digest.as_str().unwrap().replace(':', "/");
    serde_json::from_slice(&fs::read(layout.join("blobs").join(name)).unwrap()).unwrap()
}

#[test]
fn images_and_bundle_are_built_by_the_program_itself_and_reproducible() {
    let stage = stage();
    let path = stage.path().to_str().unwrap();
    let script = format!(
        "to=$IMGSTEP_REGISTRY/org/imgstep; unset IMGSTEP_REGISTRY
        sh scripts/release/image.sh {path} $to/other; cat {path}/*.digest >{path}/first
        sh scripts/release/image.sh {path} $to; cat {path}/*.digest | cmp - {path}/first
        export TREE={path}/tree
        sh scripts/release/pins.sh write {path}; sh scripts/release/pins.sh check {path}
        sh scripts/release/publish.sh {path} $to $to/tekton
        sh scripts/release/publish.sh {path} $to $to/tekton >{path}/again 2>&1
        moving=$(. scripts/release/names.sh; echo $moving)
        for tag in v{VERSION} v{VERSION}-shell; do $IMGSTEP promote $to:$tag oci:{path}/layout:$tag; done
        $IMGSTEP digest $to:$moving >{path}/moving; $IMGSTEP digest $to:$moving-shell >>{path}/moving
        $IMGSTEP inspect $to/tekton:$moving --output json >{path}/bundle.json"
    );
    shell("exec \"$IMGSTEP\" registry serve -- sh -euc \"$SCRIPT\"", &[("SCRIPT", &script)]).unwrap();
    assert!(stage.read("again").unwrap().lines().filter(|line| line.starts_with("unchanged:")).count() >= 6);
    let digests = [stage.read("image.digest").unwrap(), stage.read("image-shell.digest").unwrap()];
    assert_eq!(stage.read("moving").unwrap(), format!("{}\n{}\n", digests[0], digests[1]));

    let layout = stage.join("layout");
    let expected = [
        ("65532:65532", serde_json::json!(["/imgstep"]), Value::Null, 2),
        ("0:0", serde_json::json!([]), serde_json::json!(["/bin/sh"]), 4),
    ];
    for (digest, (user, entrypoint, cmd, layers)) in digests.into_iter().zip(expected) {
        let index = json(&layout, &digest.into());
        let platforms: Vec<&Value> =
            index["manifests"].as_array().unwrap().iter().map(|child| &child["platform"]).collect();
        assert_eq!(platforms.len(), 2, "{index:#}");
        assert_eq!(index["annotations"]["org.opencontainers.image.version"], VERSION);
        let image = json(&layout, &index["manifests"][0]["digest"]);
        assert_eq!(image["layers"].as_array().unwrap().len(), layers);
        assert!(image["annotations"].get("org.opencontainers.image.base.name").is_none(), "{image:#}");
        let config = json(&layout, &image["config"]["digest"]);
        assert_eq!(config["config"]["User"], user);
        assert_eq!(config["config"]["Entrypoint"], entrypoint);
        assert_eq!(config["config"].get("Cmd").unwrap_or(&Value::Null), &cmd);
        assert_eq!(config["config"]["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0");
        assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    }
    let bundle: Value = serde_json::from_str(&stage.read("bundle.json").unwrap()).unwrap();
    assert_eq!(bundle["layers"].as_array().unwrap().len(), 2);
}

/// A repository with what `tag.sh` needs, and the bare one that it pushes to.
fn repository() -> Folder {
    let folder = Folder::new();
    tree(&folder, "tree");
    let path = folder.path().to_str().unwrap();
    shell(
        &format!(
            "mkdir -p {path}/tree/scripts && cp -R scripts/release {path}/tree/scripts && cd {path}/tree
            git init --quiet --initial-branch main && git add . && git -c user.name=x -c user.email=x@x.example commit --quiet -m One
            git clone --quiet --bare . {path}/remote"
        ),
        &[],
    )
    .unwrap();
    folder
}

fn tag(folder: &Folder, checkout: &str, what: &str) -> Result<String, String> {
    let script = folder.join(checkout).join("scripts/release/tag.sh");
    let remote = folder.join("remote");
    shell(&format!("sh {} {what}", script.display()), &[("REMOTE", remote.to_str().unwrap())])
}

#[test]
fn the_release_commit_is_the_same_twice_and_changes_nothing_that_was_built() {
    if Command::new("git").arg("--version").output().is_err() {
        return missing::missing("git", "the release commit is not tested");
    }
    let (stage, folder) = (stage(), repository());
    let (stage_path, path) = (stage.path().to_str().unwrap(), folder.path().to_str().unwrap());
    let git = |words: &str| shell(&format!("git -C {path}/remote {words}"), &[]).unwrap();
    tag(&folder, "tree", stage_path).unwrap();
    let first = git(&format!("rev-parse v{VERSION}"));
    assert_eq!(git(&format!("rev-parse v{VERSION}^")), git("rev-parse main"), "main itself stays where it is");
    let changed = git(&format!("diff --name-only main v{VERSION}"));
    let expected = "github-action/checksums.txt\ntasks/IMAGE\ntasks/stepaction/promote/promote.yaml\ntasks/task/promote/promote.yaml\n";
    assert_eq!(changed, expected);

    // Another machine, later.
    shell(&format!("git clone --quiet --branch main {path}/remote {path}/second"), &[]).unwrap();
    tag(&folder, "second", stage_path).unwrap();
    tag(&folder, "second", "moving").unwrap();
    assert_eq!(git(&format!("rev-parse v{VERSION}")), first);
    let moving = format!("v{}", VERSION.split('.').next().unwrap());
    assert_eq!(git(&format!("rev-parse {moving}")), first);

    // Another result under the same name.
    shell(&format!("git clone --quiet --branch main {path}/remote {path}/third"), &[]).unwrap();
    stage.write("image.digest", format!("sha256:{}", "56".repeat(32)));
    let said = tag(&folder, "third", stage_path).unwrap_err();
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(git(&format!("rev-parse v{VERSION}")), first);

    // Built content, too.
    shell(&format!("git clone --quiet --branch main {path}/remote {path}/fourth"), &[]).unwrap();
    folder.write("fourth/Cargo.toml", folder.read("fourth/Cargo.toml").unwrap() + "\n");
    let said = tag(&folder, "fourth", stage_path).unwrap_err();
    assert!(said.contains("would change Cargo.toml"), "{said}");
}
