//! What Tekton's admission and the catalog's linter report about the YAML, and whether it and the binary have the same
//! options.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::Folder;
use crate::support::tekton::{manifests, root, tektoncheck};
use crate::support::tools::{is_here, missing_optional};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn admission_and_catalogs_accept_every_yaml() {
    let Some(output) = tektoncheck(&["validate"], &[root().join("tasks")]) else { return };
    assert!(output.status.success(), "{}", said(&output));
    let seen: u32 = said(&output).split(' ').next().unwrap().parse().unwrap();
    assert!(seen >= 40, "{}", said(&output));
}

/// A file of `tasks` with one text replaced, under its own folder and name.
fn changed(folder: &Folder, path: &str, old: &str, new: &str) -> PathBuf {
    let text = fs::read_to_string(root().join("tasks").join(path)).unwrap();
    assert!(text.contains(old), "{path} has no {old}");
    folder.write(path, text.replacen(old, new, 1))
}

#[test]
fn what_is_wrong_in_a_yaml_is_found() {
    let task = "task/imgstep-promote/imgstep-promote.yaml";
    let action = "stepaction/imgstep-append/imgstep-append.yaml";
    for (path, old, new, expected) in [
        (task, "$(params.source)", "$(params.sauce)", "non-existent variable"),
        (task, "\"--tags\"", "\"--tags=$(params.tags[*])\"", "not properly isolated"),
        (task, "command: [\"/imgstep\"]", "script: imgstep", "script"),
        (task, "      type: object", "      type: objekt", "objekt"),
        (task, "Image Build", "Image Bild", "there is no category"),
        (task, "linux/arm64", "linux/arm/v7", "is no platform"),
        (task, "runAsNonRoot: true", "runAsUser: 65532", "security context"),
        (action, "org/imgstep:v", "org/imgstep:latest", "not pinned"),
        (action, "  params:\n", "  workspaces: []\n  params:\n", "workspaces"),
    ] {
        let folder = Folder::new();
        let file = changed(&folder, path, old, new);
        let Some(output) = tektoncheck(&["validate"], &[file]) else { return };
        let said = said(&output);
        assert!(!output.status.success() && said.contains(expected), "{old} -> {new}: {said}");
    }
    // The params that a Pipeline passes and that a Task declares.
    for (old, new, expected) in [
        ("name: release\n      description", "name: relase\n      description", "non-existent variable"),
        ("        - name: layer\n", "        - name: layers\n", "has no param layers"),
        ("imgstep-index\n", "imgstep-indx\n", "there is no Task imgstep-indx"),
        (
            "        - name: source\n          workspace: source\n        - name: cred",
            "        - name: cred",
            "missing",
        ),
    ] {
        let folder = Folder::new();
        let mut files = manifests();
        files.push(changed(&folder, "pipeline/go.yaml", old, new));
        let Some(output) = tektoncheck(&["validate"], &files) else { return };
        let said = said(&output);
        assert!(!output.status.success() && said.contains(expected), "{new}: {said}");
    }
}

#[test]
fn params_are_the_options_of_the_binary() {
    let binary = env!("CARGO_BIN_EXE_imgstep");
    let Some(output) = tektoncheck(&["options", binary], &manifests()) else { return };
    assert!(output.status.success(), "{}", said(&output));
    let task = "task/imgstep-promote/imgstep-promote.yaml";
    for (old, new, expected) in [
        ("\"--repair=$(params.repair)\"", "\"--repare=$(params.repair)\"", "promote has no option --repare"),
        ("        - \"--repair=$(params.repair)\"\n", "", "the param repair is not used"),
        ("name: repair\n", "name: repairs\n", "the option --repair is no param, and no exception"),
        ("$(params.tags[*])", "$(params.to[*])", "the param to is given to --tags"),
        ("--strict=to,tags,", "--strict=to,", "the first word behind the step is --strict=to,platform"),
    ] {
        let folder = Folder::new();
        let file = changed(&folder, task, old, new);
        let Some(output) = tektoncheck(&["options", binary], &[file]) else { return };
        assert!(!output.status.success() && said(&output).contains(expected), "{new}: {}", said(&output));
    }
}

#[test]
fn the_examples_of_every_page_are_admitted() {
    let mut seen = 0;
    for manifest in manifests() {
        let page = fs::read_to_string(manifest.with_file_name("README.md")).unwrap();
        let example = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
        // A StepAction's example is the steps of a Task.
        let example = if manifest.starts_with(root().join("tasks/stepaction")) {
            let steps = example.replace('\n', "\n    ");
            format!(
                "apiVersion: tekton.dev/v1\nkind: TaskRun\nmetadata:\n  generateName: x-\nspec:\n  \
                 taskSpec:\n    workspaces:\n    - name: source\n      optional: true\n    {steps}"
            )
        } else {
            example.to_owned()
        };
        let folder = Folder::new();
        let mut files = manifests();
        files.push(folder.write("example.yaml", &example));
        let Some(output) = tektoncheck(&["validate"], &files) else { return };
        assert!(output.status.success(), "{example}\n{}", said(&output));
        // The name in the bundle is checked.
        let other = example.replace("value: imgstep-", "value: imgstop-");
        files.push(folder.write("example.yaml", &other));
        let output = tektoncheck(&["validate"], &files).unwrap();
        assert!(said(&output).contains("imgstop-"), "{other}\n{}", said(&output));
        seen += 1;
    }
    assert!(seen >= 10);
}

/// The categories that catlin fetches from the network: here from loopback, in the format that it reads.
fn categories() -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/config.yaml", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = "categories:\n  - Image Build\n";
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        }
    });
    address
}

#[test]
fn catlin_has_nothing_to_say() {
    if !is_here("catlin") {
        return missing_optional("catlin", "its rules are also those of `tektoncheck validate`");
    }
    let folder = Folder::new();
    folder.write(".env", format!("CONFIG_FILE_URL={}\n", categories()));
    for path in manifests().into_iter().filter(|path| path.starts_with(root().join("tasks/task"))) {
        let words = ["validate", "--versioning", "git"];
        let output = Command::new("catlin").args(words).arg(&path).current_dir(folder.path()).output().unwrap();
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        assert!(!["ERROR", "WARN", "HINT"].iter().any(|word| said.contains(word)), "{said}");
    }
}
