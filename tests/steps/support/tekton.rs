//! Tekton without a cluster: its admission, its controller's Pods, its entrypoint. See `tests/tekton`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::folder::Folder;
use super::tools::{missing, missing_optional};

/// The registry host in each Task's `tests/run.yaml`.
pub const REGISTRY: &str = "imgstep-registry:5000";

/// Where `tests/setup.sh` builds the Go programs; `None`, with a note, if they can't be built.
fn tools() -> Option<PathBuf> {
    let tools = root().join("target/tools/tekton");
    if tools.join("tektoncheck").is_file() {
        return Some(tools);
    }
    let what = "what tests/setup.sh builds of Tekton";
    let why = "the Tasks are not run, nor judged by Tekton";
    if builds_tekton() {
        missing(what, why);
    } else {
        missing_optional(&format!("{what}, since Go 1.24 is not"), why);
    }
    None
}

/// Whether this machine's Go is new enough. Debian's may not be, which isn't a failure.
fn builds_tekton() -> bool {
    let asked = Command::new("go").arg("version").output();
    let said = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let minor = said.strip_prefix("go version go1.").and_then(|rest| rest.split(['.', ' ']).next());
    minor.and_then(|minor| minor.parse::<u32>().ok()).is_some_and(|minor| minor >= 24)
}

/// The repository's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The YAML of every Task and StepAction.
pub fn manifests() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for kind in ["task", "stepaction"] {
        for entry in fs::read_dir(root().join("tasks").join(kind)).unwrap() {
            let folder = entry.unwrap().path();
            if folder.is_dir() {
                let name = folder.file_name().unwrap().to_string_lossy().into_owned();
                found.push(folder.join(format!("{name}.yaml")));
            }
        }
    }
    found.sort();
    found
}

/// Runs `tektoncheck`; `None` if it isn't built.
pub fn tektoncheck(words: &[&str], paths: &[PathBuf]) -> Option<Output> {
    Some(tektoncheck_command(words, paths)?.output().unwrap())
}

/// A `tektoncheck` command; `None` if it isn't built.
pub fn tektoncheck_command(words: &[&str], paths: &[PathBuf]) -> Option<Command> {
    let mut command = Command::new(tools()?.join("tektoncheck"));
    command.args(words).args(paths);
    Some(command)
}

/// A run of `tektoncheck run`: the result of each TaskRun and PipelineRun in `files` and `objects`.
pub struct Run {
    words: Vec<String>,
    files: Vec<PathBuf>,
    objects: Vec<Value>,
}

/// A run without objects, with every Task and StepAction installed.
pub fn cluster() -> Run {
    Run { words: Vec::new(), files: manifests(), objects: Vec::new() }
}

impl Run {
    pub fn file(mut self, path: &str) -> Self {
        self.files.push(root().join(path));
        self
    }

    pub fn object(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    pub fn replace(mut self, old: &str, new: &str) -> Self {
        self.words.extend(["-replace".to_owned(), format!("{old}={new}")]);
        self
    }

    /// Sets a feature flag of the cluster.
    pub fn results_from(mut self, way: &str) -> Self {
        self.words.extend(["-results-from".to_owned(), way.to_owned()]);
        self
    }

    /// A folder that acts as a PersistentVolumeClaim.
    pub fn claim(mut self, name: &str, folder: &Path) -> Self {
        self.words.extend(["-claim".to_owned(), format!("{name}={}", folder.display())]);
        self
    }

    /// Runs it; `None`, with a note, if the programs are missing or the machine can't run containers.
    pub fn run(self) -> Option<Vec<Value>> {
        let tools = tools()?;
        let folder = Folder::new();
        let documents: Vec<String> = self.objects.iter().map(ToString::to_string).collect();
        let objects = folder.write("objects.yaml", documents.join("\n---\n"));
        let output = Command::new(tools.join("tektoncheck"))
            .args(["run", "-binary", env!("CARGO_BIN_EXE_imgstep"), "-tools"])
            .arg(&tools)
            .args(self.words)
            .args(self.files)
            .arg(objects)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("a container can't be made on this machine") {
            missing_optional("the right to make containers", "the Tasks are not run");
            return None;
        }
        assert!(output.status.success(), "{}{said}", String::from_utf8_lossy(&output.stderr));
        Some(serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}")))
    }

    /// The same, for exactly one run.
    pub fn run_one(self) -> Option<Value> {
        let mut reports = self.run()?;
        assert_eq!(reports.len(), 1, "{reports:?}");
        reports.pop()
    }
}

/// A TaskRun of an `imgstep-` Task.
pub fn task_run(step: &str, params: &Value, workspaces: &Value) -> Value {
    let params: Vec<Value> =
        params.as_object().unwrap().iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": step},
        "spec": {"taskRef": {"name": format!("imgstep-{step}")}, "params": params, "workspaces": workspaces},
    })
}

/// Asserts that it succeeded, and returns its results.
pub fn results(report: &Value) -> &Value {
    assert_eq!(report["succeeded"], true, "{report:#}");
    &report["results"]
}
