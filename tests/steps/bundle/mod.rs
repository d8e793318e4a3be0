//! `imgstep bundle`: one file for each topic.

mod reading;
mod refusals;
mod reproducible;
mod results;
mod writing;

use serde_json::Value;

use crate::support::step::{Run, Step};
use crate::support::{Folder, Registry, assert_complete, client, images, imgstep};

/// `imgstep bundle FILE... --to DESTINATION`, run in the files' folder.
fn bundle(folder: &Folder, files: &[&str], destination: &str) -> Step {
    imgstep(["bundle"]).args(files).args(["--to", destination]).in_folder(folder.path())
}

/// A resource with a comment, so that it differs from what a program would write.
fn resource(kind: &str, name: &str) -> String {
    let version = if kind == "StepAction" { "v1beta1" } else { "v1" };
    format!(
        "apiVersion: tekton.dev/{version}\nkind: {kind}\nmetadata:\n  name: {name} # of {kind}\nspec:\n  description: |\n    é\n"
    )
}

/// A folder with a task, a step action of the same name, and a pipeline: two files, one of them with two documents.
fn three() -> Folder {
    let folder = Folder::new();
    folder.write("tasks.yaml", format!("{}---\n{}", resource("Task", "build"), resource("StepAction", "build")));
    folder.write("more/pipeline.yml", resource("Pipeline", "all"));
    folder
}

/// The manifest that a tag points to: well formed, complete, and the one that the step printed.
fn written(run: &Run, registry: &Registry, repository: &str, tag: &str) -> Value {
    let answer = registry.manifest(repository, tag);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let digest = images::sha256(&answer.body);
    assert!(run.stdout.contains(&format!("/{repository}@{digest}\n")), "{digest}: {}", run.stdout);
    assert_complete(registry, repository, &digest);
    serde_json::from_slice(&answer.body).unwrap()
}

/// The bytes of a blob.
fn blob(registry: &Registry, repository: &str, descriptor: &Value) -> Vec<u8> {
    let url = registry.url(&format!("{repository}/blobs/{}", descriptor["digest"].as_str().unwrap()));
    client::expect(200, "GET", &url, &[], &[]).body
}
