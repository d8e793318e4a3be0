//! `--ci SYSTEM`: a step's outputs, and how the system's next step reads them.

use std::process::Command;

use super::{azure_agent, buildkite_agent, gitlab_dotenv, value, with_path};
use crate::support::step::Step;
use crate::support::{Folder, Image, Registry, Style, images, imgstep, pairs};

const SYSTEMS: [&str; 5] = ["github", "gitlab", "azure", "buildkite", "circleci"];

fn promote(source: &Registry, destination: &Registry, system: &str) -> Step {
    imgstep(["promote", &source.at("app:v1"), &destination.at("copy:v1"), "--tags", "v2", "--ci", system])
}

/// An environment in which every system finds its files, in one folder.
fn everywhere(step: Step, folder: &Folder) -> Step {
    buildkite_agent(folder);
    let step = with_path(step, folder.path());
    step.env("GITHUB_OUTPUT", folder.join("github-output"))
        .env("GITHUB_STEP_SUMMARY", folder.join("github-summary"))
        .env("CI_PROJECT_DIR", folder.path())
        .env("BASH_ENV", folder.join("bash-env"))
}

/// The names of the written files, without those of the stand-in.
fn written(folder: &Folder) -> Vec<String> {
    let names = |path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = names(folder.path().to_owned()).collect();
    found.retain(|name| !["buildkite-agent", "meta-data", "annotations"].contains(&name.as_str()));
    found.extend(names(folder.join("meta-data")));
    found.extend(names(folder.join("annotations")).map(|_| "an annotation".to_owned()));
    found.sort();
    found
}

const META_DATA: [&str; 7] =
    ["an annotation", "imgstep-digest", "imgstep-images", "imgstep-name", "imgstep-ref", "imgstep-tags", "imgstep-url"];

#[test]
fn each_system_gets_its_own_outputs_and_no_other() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let pinned = format!("{}@{}", destination.at("copy"), image.digest());
        for system in SYSTEMS {
            let folder = Folder::new();
            // The system that the environment indicates makes no difference if one is given.
            let step = everywhere(promote(&source, &destination, system), &folder).env("CIRCLECI", "true");
            let run = step.run().printed(std::slice::from_ref(&pinned));
            let expected: &[&str] = match system {
                "github" => &["github-output", "github-summary"],
                "gitlab" => &["imgstep.env"],
                "buildkite" => &META_DATA,
                "circleci" => &["bash-env"],
                _ => &[],
            };
            assert_eq!(written(&folder), expected, "{system}");
            assert_eq!(run.stderr.contains("##vso[task.setvariable"), system == "azure", "{}", run.stderr);
        }
    }
}

#[test]
fn auto_writes_only_for_github_and_none_never_writes() {
    let image = images::image(1, 1, 100);
    let source = Registry::inside();
    image.push(&source, "app", "v1");
    let detected = [("GITLAB_CI", "true"), ("TF_BUILD", "True"), ("BUILDKITE", "true"), ("CIRCLECI", "true")];
    for choice in ["auto", "none", ""] {
        for (variable, set) in detected {
            let folder = Folder::new();
            let step = everywhere(promote(&source, &source, choice), &folder).env(variable, set);
            let run = step.run().ended(0);
            let expected: &[&str] = if choice == "none" { &[] } else { &["github-output", "github-summary"] };
            assert_eq!(written(&folder), expected, "{choice} {variable}");
            assert!(!run.stderr.contains("##vso["), "{}", run.stderr);
        }
    }
    // From the environment, like every option.
    let folder = Folder::new();
    let step = imgstep(["promote", &source.at("app:v1"), &source.at("copy:v1")]).env("IMGSTEP_CI", "none");
    everywhere(step, &folder).run().ended(0);
    assert!(written(&folder).is_empty());
}

#[test]
fn every_step_that_writes_has_outputs() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    let registry = Registry::inside();
    image.push(&registry, "app", "v1");
    let (from, files) = (registry.at("app:v1"), Folder::new());
    files.write("hello", "hello");
    let layer = format!("{}=/hello", files.join("hello").display());
    let to = registry.at("made:v1");
    for words in [
        vec!["promote", &from, &to],
        vec!["append", &from, "--to", &to, "--layer", &layer],
        vec!["index", &from, "--to", &to],
        vec!["mutate", &from, "--to", &to, "--label", "a=b"],
        vec!["tag", &from, "v3"],
        vec!["digest", &from],
    ] {
        let folder = Folder::new();
        let run = everywhere(imgstep(&words).args(["--ci", "gitlab"]), &folder).run().ended(0);
        let variables = gitlab_dotenv(&folder.read("imgstep.env").unwrap());
        let reference = value(&variables, "IMGSTEP_REF");
        if words[0] == "digest" {
            assert!(reference.ends_with(run.stdout.trim()), "{reference}");
        } else {
            assert_eq!(format!("{reference}\n"), run.stdout, "{words:?}");
        }
    }
}

/// What each system's next step reads: digest, reference, URL.
fn read_back(system: &str, folder: &Folder, stderr: &str) -> [String; 3] {
    let names = |names: [&str; 3], pairs: &[(String, String)]| names.map(|name| value(pairs, name).to_owned());
    match system {
        "gitlab" => {
            let variables = gitlab_dotenv(&folder.read("imgstep.env").unwrap());
            names(["IMGSTEP_DIGEST", "IMGSTEP_REF", "IMGSTEP_URL"], &variables)
        }
        "azure" => names(["digest", "ref", "url"], &azure_agent(stderr).0),
        "buildkite" => ["digest", "ref", "url"].map(|name| folder.read(&format!("meta-data/imgstep-{name}")).unwrap()),
        _ => {
            // As CircleCI starts each step: bash reads the file named by BASH_ENV.
            let script = r#"printf '%s\n%s\n%s' "$IMGSTEP_DIGEST" "$IMGSTEP_REF" "$IMGSTEP_URL""#;
            let run = Command::new("bash").args(["-euc", script]).env("BASH_ENV", folder.join("bash-env")).output();
            let text = String::from_utf8(run.unwrap().stdout).unwrap();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.try_into().unwrap()
        }
    }
}

#[test]
fn the_next_step_reads_what_was_written() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    for (source, destination) in pairs() {
        image.push(&source, "app", "v1");
        let name = destination.at("copy");
        let expected = [image.digest().to_owned(), format!("{name}@{}", image.digest()), format!("{name}:v1")];
        for system in &SYSTEMS[1..] {
            let folder = Folder::new();
            folder.write("bash-env", "export EARLIER=1\n");
            let run = everywhere(promote(&source, &destination, system), &folder).args(["-q"]).run().ended(0);
            assert_eq!(read_back(system, &folder, &run.stderr), expected, "{system}");
            if *system == "circleci" {
                assert!(folder.read("bash-env").unwrap().starts_with("export EARLIER=1\nexport IMGSTEP_DIGEST="));
            }
        }
    }
}

#[test]
fn a_list_passes_on_the_outputs_of_many_images() {
    let (image, registry) = (images::image(1, 1, 100), Registry::inside());
    image.push(&registry, "app", "v1");
    let text = |from: &str| {
        let line = |from: &str, to: &str| format!("{} {}\n", registry.at(from), registry.at(to));
        line("app:v1", "a:v1") + &line(from, "b:v1")
    };
    let all = ["a", "b"].map(|name| format!("{}@{}", registry.at(name), image.digest())).join(",");
    let tags = ["a:v1", "b:v1"].map(|name| registry.at(name)).join(",");
    let start = |folder: &Folder, from: &str, system: &str| {
        let list = folder.write("meta-data/list", text(from));
        everywhere(imgstep(["promote", "--list", list.to_str().unwrap(), "--ci", system]), folder).run()
    };
    for system in SYSTEMS {
        let folder = Folder::new();
        let run = start(&folder, "app:v1", system).ended(0);
        let read = |name: &str| folder.read(name).unwrap_or_else(|| panic!("{system}: no {name}"));
        match system {
            "gitlab" => assert_eq!(read("imgstep.env"), format!("IMGSTEP_IMAGE_REFS={all}\n")),
            "circleci" => assert_eq!(read("bash-env"), format!("export IMGSTEP_IMAGE_REFS='{all}'\n")),
            "buildkite" => {
                assert_eq!(
                    [read("meta-data/imgstep-images"), read("meta-data/imgstep-tags")],
                    [all.clone(), tags.clone()]
                );
            }
            "azure" => {
                let (variables, _) = azure_agent(&run.stderr);
                assert_eq!(variables, [("images".to_owned(), all.clone()), ("tags".to_owned(), tags.clone())]);
            }
            _ => assert!(read("github-output").contains(&all)),
        }
    }
    for system in SYSTEMS {
        let folder = Folder::new();
        let run = start(&folder, "app:none", system).ended(5);
        // A failed line leaves no outputs, and people get a message.
        let told: &[&str] = match system {
            "github" => &["github-summary"],
            "buildkite" => &["an annotation", "list"],
            _ => &[],
        };
        let mut found = written(&folder);
        found.retain(|name| name != "list" || system == "buildkite");
        assert_eq!(found, told, "{system}");
        assert!(!run.stderr.contains("setvariable"), "{}", run.stderr);
    }
}

#[test]
fn a_later_step_takes_no_output_for_an_option() {
    let image = images::index(Style::Oci, 1, 2, 1, 500);
    let registry = Registry::inside();
    image.push(&registry, "app", "v1");
    let folder = Folder::new();
    everywhere(promote(&registry, &registry, "circleci"), &folder).run().ended(0);
    let script = format!("env | grep -c ^IMGSTEP_ && {} index", env!("CARGO_BIN_EXE_imgstep"));
    let run = Command::new("bash").args(["-c", &script]).env("BASH_ENV", folder.join("bash-env")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&run.stdout), "5\n");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(said.contains("no image\nhint: write `imgstep index IMAGE... --to DESTINATION`"), "{said}");
}

#[test]
fn a_system_without_its_files_is_refused_before_anything_is_written() {
    let image = images::image(1, 1, 100);
    let registry = Registry::inside();
    image.push(&registry, "app", "v1");
    for (system, parts) in [
        ("github", ["--ci github: GITHUB_OUTPUT is not set", "use --result KEY=FILE"]),
        ("gitlab", ["--ci gitlab: CI_PROJECT_DIR is not set", "use --result KEY=FILE"]),
        ("circleci", ["--ci circleci: BASH_ENV is not set", "use --result KEY=FILE"]),
        ("buildkite", ["--ci buildkite: buildkite-agent is not in PATH", "use --result KEY=FILE"]),
        ("jenkins", ["", ""]),
    ] {
        promote(&registry, &registry, system).env("PATH", "/nowhere").run().failed(2, &parts);
        assert!(!registry.has_manifest("copy", "v1"), "{system}");
    }
    let folder = Folder::new();
    for (system, variable) in [("github", "GITHUB_OUTPUT"), ("gitlab", "CI_PROJECT_DIR"), ("circleci", "BASH_ENV")] {
        let missing = folder.join("missing/there");
        let run = promote(&registry, &registry, system).env(variable, &missing).run();
        run.failed(1, &[&missing.display().to_string(), "does not exist"]);
        assert!(!registry.has_manifest("copy", "v1"), "{system}");
    }
}

#[test]
fn failing_outputs_leave_no_result() {
    let image = images::image(1, 1, 100);
    let registry = Registry::inside();
    image.push(&registry, "app", "v1");
    let folder = Folder::new();
    folder
        .write_program("buildkite-agent", "#!/bin/sh\n[ \"$1\" = --version ] || { echo 'no such job' >&2; exit 3; }\n");
    let result = format!("digest={}", folder.join("digest").display());
    let step = with_path(promote(&registry, &registry, "buildkite"), folder.path()).args(["--result", &result]);
    step.run().failed(1, &["buildkite-agent meta-data set imgstep-digest: exit status: 3: no such job"]);
    assert_eq!(folder.read("digest"), None);
    // The agent exits well after it has changed a value.
    let script = "#!/bin/sh\n[ \"$3\" != imgstep-ref ] || echo 'WARN Meta-data value contained secrets that have been redacted' >&2\n";
    folder.write_program("buildkite-agent", script);
    let step = with_path(promote(&registry, &registry, "buildkite"), folder.path()).args(["--result", &result]);
    step.run().failed(1, &["buildkite-agent changed the value of imgstep-ref", "BUILDKITE_REDACTED_VARS"]);
    assert_eq!(folder.read("digest"), None);
    let step = promote(&registry, &registry, "circleci").env("BASH_ENV", "/dev/full").args(["--result", &result]);
    step.run().failed(1, &["write /dev/full"]);
    assert_eq!(folder.read("digest"), None);
}

#[test]
fn a_build_without_its_annotation_does_not_fail() {
    let image = images::image(1, 1, 100);
    let registry = Registry::inside();
    image.push(&registry, "app", "v1");
    let folder = Folder::new();
    folder.write_program("buildkite-agent", "#!/bin/sh\n[ \"$1\" != annotate ] || { echo 'too many' >&2; exit 1; }\n");
    let run = with_path(promote(&registry, &registry, "buildkite"), folder.path()).run().ended(0);
    assert!(run.stderr.contains("warning: the build has no annotation: buildkite-agent annotate"), "{}", run.stderr);
    buildkite_agent(&folder);
    with_path(promote(&registry, &registry, "buildkite"), folder.path()).run().ended(0);
    with_path(promote(&registry, &registry, "buildkite"), folder.path()).run().ended(0);
    // The same destination again replaces the old outputs.
    let names: Vec<_> = std::fs::read_dir(folder.join("annotations")).unwrap().map(|one| one.unwrap().path()).collect();
    assert_eq!(names.len(), 1);
    let text = std::fs::read_to_string(&names[0]).unwrap();
    assert!(text.contains(image.digest()) && text.contains(&registry.at("copy:v1")), "{text}");
}

#[test]
fn a_plan_has_no_outputs() {
    let image: Image = images::image(1, 1, 100);
    let registry = Registry::inside();
    image.push(&registry, "app", "v1");
    for system in &SYSTEMS[1..] {
        let folder = Folder::new();
        let run = everywhere(promote(&registry, &registry, system), &folder).args(["--dry-run"]).run().ended(0);
        assert!(written(&folder).is_empty(), "{system}");
        assert!(!run.stderr.contains("##vso["), "{}", run.stderr);
    }
}

#[test]
fn too_many_images_for_gitlab_are_reported() {
    let children = (0..60).map(|seed| {
        let platform = serde_json::json!({"platform": {"os": "linux", "architecture": format!("p{seed}")}});
        (images::image(seed, 1, 10), platform)
    });
    let image = images::index_of(Style::Oci, children.collect());
    let registry = Registry::inside();
    image.push(&registry, "app", "v1");
    let folder = Folder::new();
    everywhere(promote(&registry, &registry, "gitlab"), &folder)
        .run()
        .failed(1, &["imgstep.env would have", "GitLab takes less than 5120", "the longest is IMGSTEP_IMAGE_REFS"]);
    assert!(written(&folder).is_empty());
}
