//! `imgstep github-action`: inputs become a step's arguments verbatim, or an error that names them.

use serde_json::Value;

use super::HOSTILE;
use crate::support::step::Step;
use crate::support::{Folder, Registry, Style, assert_image, images, imgstep, pairs, registries};

/// A step of the action with these inputs.
fn action(inputs: &[(&str, &str)]) -> Step {
    let name = |input: &str| format!("IMGSTEP_{}", input.to_ascii_uppercase().replace('-', "_"));
    let begin = imgstep(["github-action"]).env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", "/dev/null");
    inputs.iter().fold(begin, |step, (input, value)| step.env(&name(input), value))
}

/// Asserts its annotation, and that it did nothing.
fn refused(inputs: &[(&str, &str)], words: &[&str]) {
    let run = action(inputs).run().ended(2);
    assert!(run.stderr.starts_with("::error title=imgstep::") && run.stderr.lines().count() == 1, "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
    assert_eq!(run.stdout, "");
}

#[test]
fn inputs_run_a_step() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        // What docker/metadata-action writes; and a YAML block ends with a newline.
        let tags = format!("{}\n{}\n", destination.at("app:1.2.3"), destination.at("app:latest"));
        let inputs = [("step", "promote"), ("source", &source.at("app:v1")), ("tags", &tags), ("if-exists", "fail\n")];
        action(&inputs).env("IMGSTEP_LAYER", "").env("IMGSTEP_TO", "\n").run().ended(0);
        for tag in ["1.2.3", "latest"] {
            assert_image(&destination, "app", tag, &image);
        }
    }
}

/// The config of a tag's only image.
fn config(registry: &Registry, repository: &str) -> (Value, Value) {
    let manifest: Value = serde_json::from_slice(&registry.manifest_bytes(repository, "latest")).unwrap();
    let url = registry.url(&format!("{repository}/blobs/{}", manifest["config"]["digest"].as_str().unwrap()));
    let config = crate::support::client::request("GET", &url, &[], b"");
    (serde_json::from_slice::<Value>(&config.body).unwrap()["config"].clone(), manifest["annotations"].clone())
}

#[test]
fn hostile_values_arrive_as_they_are() {
    for registry in registries() {
        let folder = Folder::new();
        folder.write_program("app", "a program");
        let output = folder.write("output", "");
        let entrypoint = serde_json::to_string(&["/app", HOSTILE, "two\nlines"]).unwrap();
        let pairs = format!("A={HOSTILE}\nB=x\n");
        let inputs = [
            ("step", "append"),
            ("base", "scratch"),
            ("to", &registry.at("app")),
            ("platform", "linux/amd64"),
            ("layer", "app=/app"),
            ("entrypoint", &entrypoint),
            ("env", &pairs),
            ("label", &pairs),
            ("annotation", &format!("manifest:org.example.a={HOSTILE}\n")),
            ("workdir", HOSTILE),
        ];
        let run = action(&inputs).env("GITHUB_OUTPUT", &output).in_folder(folder.path()).run().ended(0);
        let (config, annotations) = config(&registry, "app");
        assert_eq!(config["Entrypoint"], serde_json::json!(["/app", HOSTILE, "two\nlines"]));
        assert_eq!(config["Env"], serde_json::json!([format!("A={HOSTILE}"), "B=x"]));
        assert_eq!(config["Labels"], serde_json::json!({"A": HOSTILE, "B": "x"}));
        assert_eq!(config["WorkingDir"], HOSTILE);
        assert_eq!(annotations, serde_json::json!({"org.example.a": HOSTILE}));
        assert!(folder.read("pwned").is_none());
        speaks_no_commands(&run.stdout);
        speaks_no_commands(&run.stderr);
        assert_eq!(folder.read("output").unwrap().matches("\ndigest<<").count(), 1);
    }
}

/// No line starts with a command, and none contains one of the older form, except our own annotations.
fn speaks_no_commands(log: &str) {
    for line in log.lines() {
        let rest = line.strip_prefix("::error title=imgstep::").unwrap_or(line);
        assert!(!rest.trim_start().starts_with("::") && !rest.contains("##["), "{log}");
    }
}

#[test]
fn hostile_values_issue_no_commands_in_errors() {
    let hostile = format!("{HOSTILE}\n::set-output name=digest::x\n::stop-commands::y");
    let reachable = [("base", "localhost:1/a"), ("to", "localhost:1/b"), ("layer", "a"), ("retries", "0")];
    let inputs = [&[("step", "append")], &reachable[..]].concat();
    for input in
        ["step", "base", "to", "layer", "if-exists", "jobs", "dry-run", "entrypoint", "label", "created", "result"]
    {
        let mut inputs = inputs.clone();
        inputs.retain(|(own, _)| *own != input);
        inputs.push((input, &hostile));
        let run = action(&inputs).run();
        assert!([1, 2, 5, 6].contains(&run.status), "{input}: {run:?}");
        assert!(run.stderr.contains("::error title=imgstep::"), "{input}: {run:?}");
        speaks_no_commands(&run.stderr);
        speaks_no_commands(&run.stdout);
    }
}

#[test]
fn an_input_that_the_step_does_not_have_is_an_error_that_names_it() {
    let given = [("step", "digest"), ("image", "localhost:1/a")];
    refused(&[&given[..], &[("layer", "x")]].concat(), &["layer: the step `digest` has no such input", "`append`"]);
    refused(&[&given[..], &[("if-exists", "fail")]].concat(), &["if-exists: the step `digest`"]);
    refused(&[("step", "setup"), ("to", "x")], &["to: the step `setup` has no such input"]);
}

#[test]
fn an_input_that_is_missing_is_named() {
    refused(&[], &["set `step:` under `with:`", "promote", "setup"]);
    refused(&[("step", "deploy")], &["unknown step `deploy`"]);
    refused(&[("step", "promote"), ("to", "a")], &["source: the step `promote` requires this input"]);
    refused(&[("step", "promote"), ("source", "a")], &["to: the step `promote` requires this input", "under `with:`"]);
    refused(&[("step", "promote"), ("source", "a"), ("tags", "v1")], &["to: "]);
    refused(&[("step", "append"), ("to", "a"), ("layer", "x")], &["base: "]);
    refused(&[("step", "tag"), ("image", "a")], &["tags: "]);
}

#[test]
fn inspect_gives_outputs_and_its_log_issues_no_commands() {
    let mut image = images::image(1, 1, 100);
    let mut manifest: Value = serde_json::from_slice(&image.root().bytes).unwrap();
    manifest["annotations"] = serde_json::json!({"a": HOSTILE, "##[set-output name=digest]": "##vso[x]"});
    *image.manifests.last_mut().unwrap() = images::Content::json(images::OCI_MANIFEST, &manifest);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        for form in ["text", "json"] {
            let folder = Folder::new();
            let output = folder.write("output", "");
            let inputs = [("step", "inspect"), ("image", &registry.at("app:v1")), ("output", form)];
            let run = action(&inputs).env("GITHUB_OUTPUT", &output).run().ended(0);
            speaks_no_commands(&run.stdout);
            let output = folder.read("output").unwrap();
            let value = |name: &str| {
                let (_, rest) = output.split_once(&format!("{name}<<")).unwrap();
                rest.lines().nth(1).unwrap().to_owned()
            };
            assert_eq!(value("\ndigest"), image.digest());
            assert_eq!(value("\nname"), registry.at("app"));
            assert_eq!(value("\nref"), format!("{}@{}", registry.at("app"), image.digest()));
            let json: Value = serde_json::from_str(&value("json")).unwrap();
            assert_eq!(json["annotations"], manifest["annotations"]);
        }
    }
}

#[test]
fn debug_logging_shows_every_request() {
    let image = images::image(1, 1, 100);
    for registry in registries() {
        image.push(&registry, "app", "v1");
        let inputs = [("step", "digest"), ("image", &registry.at("app:v1")), ("quiet", "true")];
        assert_eq!(action(&inputs).run().ended(0).stderr, "");
        let said = action(&inputs).env("RUNNER_DEBUG", "1").run().ended(0).stderr;
        assert!(said.contains("/v2/app/manifests/v1"), "{said}");
    }
}

#[test]
fn artifacts_are_declared_when_asked() {
    let image = images::image(1, 1, 100);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let folder = Folder::new();
        let file = folder.write("artifacts", "");
        let layout = format!("oci:{}:v1", folder.join("layout").display());
        let to = format!("{}\n{}\n{layout}", destination.at("app:v1"), destination.at("other:v1"));
        let inputs = [("step", "promote"), ("source", &source.at("app:v1")), ("to", &to)];
        action(&inputs).env("GITHUB_ARTIFACTS", &file).run().ended(0);
        assert_eq!(folder.read("artifacts").unwrap(), "");
        let inputs = [&inputs[..], &[("github-artifacts", "true")]].concat();
        action(&inputs).env("GITHUB_ARTIFACTS", &file).run().ended(0);
        let line = |name: &str| format!("oci://{}@{}\n", destination.at(name), image.digest());
        assert_eq!(folder.read("artifacts").unwrap(), line("app") + &line("other"));
        // For a list: all images; and none if one of them failed.
        let list = folder.write("list", format!("{} {}\n", source.at("app:v1"), destination.at("listed:v1")));
        let listed = [("step", "promote"), ("list", list.to_str().unwrap()), ("github-artifacts", "true")];
        action(&listed).env("GITHUB_ARTIFACTS", &file).run().ended(0);
        assert_eq!(folder.read("artifacts").unwrap(), line("app") + &line("other") + &line("listed"));
        let missing = format!("{} {0}\n{} {}\n", source.at("app:v1"), source.at("none:v1"), destination.at("none:v1"));
        folder.write("list", missing);
        action(&listed).env("GITHUB_ARTIFACTS", &file).run().ended(5);
        assert_eq!(folder.read("artifacts").unwrap().lines().count(), 3);
        // A runner without that file; nothing is written then.
        let to = destination.at("late:v1");
        let inputs = [inputs[0], inputs[1], ("to", &to), ("github-artifacts", "true")];
        refused(&inputs, &["GITHUB_ARTIFACTS is not set", "leave out the option"]);
        assert!(!destination.has_manifest("late", "v1"));
    }
}

#[test]
fn setup_puts_the_program_on_the_path() {
    let folder = Folder::new();
    let file = folder.write("path", "/before\n");
    action(&[("step", "setup")]).env("GITHUB_PATH", &file).run().ended(0);
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_imgstep"));
    assert_eq!(folder.read("path").unwrap(), format!("/before\n{}\n", program.parent().unwrap().display()));
    action(&[("step", "setup")]).run().ended(1);
}
