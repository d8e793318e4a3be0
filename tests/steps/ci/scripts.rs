//! `docs/ci/jenkins.md`, `dagger.md` and `shell.md`: scripts in shells and other languages.

use std::collections::BTreeMap;
use std::fs;

use super::pages::{block, python};
use super::pipeline::{COMMIT, Pipeline, USER, variables};
use crate::support::images;
use crate::support::tools::{is_here, missing};

#[test]
fn jenkins_takes_stdout() {
    let pipeline = Pipeline::new();
    let text = pipeline.named(&block("jenkins", "Jenkinsfile"));
    assert!(text.contains("image 'ghcr.io/org/imgstep:v1.0.0-shell'") && text.contains("args '--entrypoint='"));
    assert!(text.contains("DOCKER_AUTH_CONFIG = credentials("));
    let logins = pipeline.logins();
    let mut environment = variables([
        ("JENKINS_URL", "https://ci.example/"),
        ("BUILD_ID", "1"),
        ("GIT_COMMIT", COMMIT),
        ("DOCKER_AUTH_CONFIG", &logins),
    ]);
    // Groovy leaves everything in single quotes to the shell.
    let quoted = |line: &str| {
        let inside = line.split('\'').nth(1).unwrap_or_else(|| panic!("{line} has no single quotes"));
        assert_eq!(line.matches('\'').count(), 2, "{line}");
        inside.to_owned()
    };
    let mut ran = 0;
    for line in text.lines().map(str::trim) {
        let takes_stdout = line.starts_with("script: ");
        if takes_stdout || line.starts_with("sh '") {
            let run =
                pipeline.in_image(&format!("set -x\n{}", quoted(line)), &environment).printed(&[pipeline.promoted()]);
            if takes_stdout {
                assert!(
                    text.contains("env.REF = sh(") && text.contains("returnStdout: true") && text.contains(").trim()")
                );
                environment.insert("REF".to_owned(), run.stdout.trim().to_owned());
            }
            ran += 1;
        }
    }
    assert_eq!(ran, 2);
    pipeline.assert_promoted(&["v1", "stable"]);
}

#[test]
fn dagger_takes_stdout() {
    let Some(python) = python("python") else { return };
    let pipeline = Pipeline::new();
    pipeline.write("workspace/src/release/main.py", &block("dagger", "src/release/main.py"));
    pipeline.write("home/.docker/config.json", &pipeline.logins());
    let call = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/steps/ci/dagger_stand_in/call.py");
    pipeline.folder().write_program("dagger", format!("#!/bin/sh\nexec {} -B {call} \"$@\"\n", python.display()));
    let environment = variables([("PROGRAM_UNDER_TEST", env!("CARGO_BIN_EXE_imgstep"))]);
    let script = pipeline.named(&block("dagger", "release.sh"));
    pipeline.on_machine(&["sh", "-c"], &script, &environment).printed(&[pipeline.promoted()]);
    pipeline.assert_promoted(&["v1", "stable"]);
}

#[test]
fn a_shell_installs_builds_joins_and_promotes() {
    if !is_here("curl") {
        return missing("curl", "the example that downloads imgstep is not run");
    }
    let pipeline = Pipeline::new();
    let install = pipeline.named(&block("shell", "install.sh"));
    let run = pipeline.on_machine(&["sh", "-c"], &install, &BTreeMap::new()).ended(0);
    assert!(run.stdout.contains(": OK\n") && run.stdout.ends_with(&format!("imgstep {}\n", env!("CARGO_PKG_VERSION"))));
    for arch in ["amd64", "arm64"] {
        pipeline.folder().write_program(&format!("workspace/build/{arch}/app"), format!("a program for {arch}"));
    }
    let release = pipeline.named(&block("shell", "release.sh"));
    // As `docker login` writes it.
    pipeline.write("home/.docker/config.json", &pipeline.logins());
    let run = pipeline.on_machine(&["sh", "-c"], &release, &BTreeMap::new()).ended(0);
    let [stable, v1] = ["stable", "v1"].map(|tag| pipeline.destination.manifest("org/app", tag).body);
    assert_eq!(stable, v1);
    let digest = images::sha256(&v1);
    let index: serde_json::Value = serde_json::from_slice(&v1).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    let name = pipeline.destination.at("org/app");
    assert!(run.stdout.ends_with(&format!("released {name}@{digest}, {digest}\n")), "{}", run.stdout);
    assert_eq!(fs::read_to_string(pipeline.path("workspace/digest.txt")).unwrap(), digest);
}

#[test]
fn cloud_tokens_are_credentials() {
    let pipeline = Pipeline::new();
    let script = block("shell", "login.sh")
        .replace("123456789012.dkr.ecr.eu-central-1.amazonaws.com", &pipeline.destination.host)
        .replace("\"AWS\"", &format!("\"{}\"", USER.0));
    pipeline
        .folder()
        .write_program("aws", format!("#!/bin/sh\n[ \"$*\" = \"ecr get-login-password\" ] && echo {}\n", USER.1));
    pipeline
        .folder()
        .write_program("gcloud", "#!/bin/sh\n[ \"$*\" = \"auth print-access-token\" ] && echo ya29.token\n");
    pipeline.write("workspace/login.sh", &script);
    let promote = pipeline.named("promote ghcr.io/org/app:main registry.example/org/app:v1");
    let script = format!("set -eu\n. ./login.sh\n{} {promote}", env!("CARGO_BIN_EXE_imgstep"));
    pipeline.on_machine(&["sh", "-c"], &script, &BTreeMap::new()).printed(&[pipeline.promoted()]);
}
