//! The pages of `docs/ci` and the components in `templates`: their blocks, validated against the systems' schemas.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::tools::{is_here, missing};
use crate::support::{Folder, yaml};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A block that a user copies: the fence has its language and the name of its file.
struct Block {
    language: String,
    file: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let text = read(&format!("docs/ci/{page}.md"));
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let (language, file) = info.split_once(' ').unwrap_or_else(|| panic!("{page}: a block of no file: {line}"));
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(Block { language: language.to_owned(), file: file.to_owned(), text: inside.join("\n") + "\n" });
    }
    blocks
}

/// The block of a page for this file.
pub fn block(page: &str, file: &str) -> String {
    let found = blocks(page).into_iter().find(|block| block.file == file);
    found.unwrap_or_else(|| panic!("docs/ci/{page}.md has no block for {file}")).text
}

/// A program of the Python environment that `tests/setup.sh` made; `None`, with a note on stderr, if it isn't there.
pub fn python(program: &str) -> Option<PathBuf> {
    let path = root().join("target/tools/python/bin").join(program);
    if !path.exists() {
        missing(program, "the examples of docs/ci are not tested; tests/setup.sh installs it");
        return None;
    }
    Some(path)
}

fn fed(command: &mut Command, input: &str) -> std::process::Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The output of check-jsonschema for a text; `None` if it isn't installed.
fn schema_errors(schema: &[&str], text: &str) -> Option<Result<(), String>> {
    let checker = python("check-jsonschema")?;
    let folder = Folder::new();
    let file = folder.write("file.yaml", text);
    let output = Command::new(checker).args(schema).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some(if output.status.success() { Ok(()) } else { Err(said) })
}

/// Asserts that the text matches the schema, and that the schema is strict enough: it refuses the text with `whole`
/// replaced by `broken`.
fn assert_schema(schema: &[&str], what: &str, text: &str, (whole, broken): (&str, &str)) {
    let Some(found) = schema_errors(schema, text) else { return };
    found.unwrap_or_else(|said| panic!("{what}: {said}"));
    assert!(text.contains(whole), "{what} has no {whole}");
    let refused = schema_errors(schema, &text.replacen(whole, broken, 1)).unwrap();
    let said = refused.expect_err(&format!("{what}: {broken} was not noticed"));
    assert!(said.contains("Schema validation errors"), "{what}: {said}");
}

#[test]
fn examples_match_the_systems_schemas() {
    for (page, file, schema, change) in [
        ("gitlab", ".gitlab-ci.yml", "vendor.gitlab-ci", ("reports:", "report:")),
        ("gitlab", "component/.gitlab-ci.yml", "vendor.gitlab-ci", ("component:", "components:")),
        ("azure-pipelines", "azure-pipelines.yml", "vendor.azure-pipelines", ("dependsOn:", "dependOn:")),
        ("buildkite", ".buildkite/pipeline.yml", "vendor.buildkite", ("command:", "commmand:")),
        (
            "circleci",
            ".circleci/config.yml",
            "vendor.circle-ci",
            ("persist_to_workspace:\n          root", "persist_to_workspace:\n          rot"),
        ),
        ("cloud-build", "cloudbuild.yaml", "vendor.cloudbuild", ("secretEnv: [", "secretsEnv: [")),
        ("woodpecker", ".woodpecker.yaml", "vendor.woodpecker-ci", ("image:", "imag:")),
    ] {
        // Azure's has an escape that isn't valid in Unicode regular expressions.
        assert_schema(&["--regex-variant", "nonunicode", "--builtin-schema", schema], page, &block(page, file), change);
    }
}

#[test]
fn the_example_for_argo_matches_its_own_schema() {
    let folder = root().join("target/tools/argo");
    let schema = std::fs::read_dir(&folder).ok().and_then(|mut files| files.next()).map(|file| file.unwrap().path());
    let Some(schema) = schema else {
        return missing("the schema of Argo Workflows", "its example is not checked; tests/setup.sh downloads it");
    };
    // Argo refuses unknown fields, but its schema allows them.
    let mut schema: Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    for definition in schema["definitions"].as_object_mut().unwrap().values_mut() {
        if definition.get("properties").is_some() {
            definition["additionalProperties"] = false.into();
        }
    }
    let strict = Folder::new();
    let path = strict.write("schema.json", schema.to_string());
    let arguments = ["--schemafile", path.to_str().unwrap()];
    let text = block("argo-workflows", "workflow.yaml");
    assert_schema(&arguments, "argo-workflows", &text, ("emptyDir: {}", "emptyDir: []"));
    assert_schema(&arguments, "argo-workflows", &text, ("valueFrom:", "valuesFrom:"));
}

#[test]
fn components_match_gitlabs_schema() {
    for name in ["promote", "append", "index"] {
        let text = read(&format!("templates/{name}.yml"));
        let Some((spec, job)) = text.split_once("\n---\n") else { panic!("{name}: no spec") };
        let schema = ["--builtin-schema", "vendor.gitlab-ci"];
        assert_schema(&schema, name, spec, ("default: ", "default: null\n      type: "));
        assert_schema(&schema, name, job, ("reports:", "report:"));
        // Every input is used, no undeclared input is used, and each input of the program is an option of the step.
        let documents = yaml::documents(&text);
        let help = crate::support::imgstep([name, "--help"]).run().ended(0).stdout;
        let inputs = documents[0]["spec"]["inputs"].as_object().unwrap();
        for (input, about) in inputs {
            assert!(job.contains(&format!("$[[ inputs.{input} ]]")), "{name}: {input} is not used");
            let known = ["description", "default", "options"];
            assert!(about.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{name}: {about}");
            assert!(about["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}: {input}");
            let variable = format!("IMGSTEP_{}: $[[ inputs.{input} ]]", input.to_uppercase().replace('-', "_"));
            if job.contains(&variable) {
                let positional = ["source", "base", "images"].contains(&input.as_str());
                assert!(positional || help.contains(&format!("--{input} ")), "{name} has no option {input}: {help}");
            } else {
                assert!(["job", "stage", "image"].contains(&input.as_str()), "{name}: {input} reaches no program");
            }
        }
        for used in job.split("$[[ inputs.").skip(1) {
            assert!(inputs.contains_key(used.split(' ').next().unwrap()), "{name}: {used}");
        }
    }
}

#[test]
fn the_jenkinsfile_is_groovy() {
    let Some(python) = python("python") else { return };
    let parse = |text: &str| {
        let script = "import sys, tree_sitter_groovy\nfrom tree_sitter import Language, Parser\n\
                      parser = Parser(Language(tree_sitter_groovy.language()))\n\
                      sys.exit(parser.parse(sys.stdin.buffer.read()).root_node.has_error)";
        fed(Command::new(&python).args(["-c", script]), text).status.success()
    };
    let text = block("jenkins", "Jenkinsfile");
    assert!(parse(&text));
    assert!(!parse(&text.replacen("returnStdout: true,", "returnStdout: true", 1)));
}

#[test]
fn shellcheck_accepts_the_scripts() {
    if !is_here("shellcheck") {
        return missing("shellcheck", "the scripts of docs/ci are not checked");
    }
    let mut checked = 0;
    for page in pages() {
        for block in blocks(&page).into_iter().filter(|block| block.language == "sh") {
            let output = fed(Command::new("shellcheck").args(["--shell=sh", "-"]), &block.text);
            assert!(output.status.success(), "{page} {}: {}", block.file, String::from_utf8_lossy(&output.stdout));
            checked += 1;
        }
    }
    assert_eq!(checked, 5);
}

/// The pages, without the index.
fn pages() -> Vec<String> {
    let names = std::fs::read_dir(root().join("docs/ci")).unwrap();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "README.md");
    names.sort();
    names.iter().map(|name| name.strip_suffix(".md").unwrap().to_owned()).collect()
}

#[test]
fn every_page_is_listed_and_every_block_is_tested() {
    let index = read("docs/ci/README.md");
    let tests =
        ["containers", "gitlab", "hosted", "scripts"].map(|name| read(&format!("tests/steps/ci/{name}.rs"))).concat();
    let pages = pages();
    assert_eq!(pages.len(), 10, "{pages:?}");
    for page in pages {
        assert!(index.contains(&format!("]({page}.md)")), "{page}");
        let blocks = blocks(&page);
        assert!(!blocks.is_empty(), "{page}");
        for block in blocks {
            assert!(tests.contains(&format!("\"{page}\", \"{}\"", block.file)), "nothing runs {page} {}", block.file);
        }
    }
}

#[test]
fn links_of_the_pages_lead_somewhere() {
    for page in pages().into_iter().chain(["README".to_owned()]) {
        let text = read(&format!("docs/ci/{page}.md"));
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = root().join("docs/ci").join(path);
            assert!(target.exists(), "{page}: {link}");
            let is_heading = |line: &str| {
                let kept = |one: char| one.is_ascii_alphanumeric() || one == '-' || one == ' ';
                let words: String =
                    line.trim_start_matches('#').trim().to_lowercase().chars().filter(|one| kept(*one)).collect();
                line.starts_with('#') && words.replace(' ', "-") == anchor
            };
            if !anchor.is_empty() {
                assert!(std::fs::read_to_string(&target).unwrap().lines().any(is_heading), "{page}: {link}");
            }
        }
    }
}
