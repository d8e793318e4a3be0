//! No element of an array param becomes anything but a value, whatever Tekton and the kubelet do with it.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use clap::{ArgMatches, CommandFactory as _};
use imgstep::cli::{Cli, parse, strict};
use serde_json::{Value, json};

use crate::support::tekton::{cluster, manifests, root, task_run, tektoncheck_command};
use crate::support::{Registry, images, yaml};

/// The minimal arguments of each step.
const NEEDED: [(&str, &str); 5] = [
    ("promote", r#"{"source": "src.example/a:1", "to": ["dst.example/a:1"]}"#),
    (
        "append",
        r#"{"base": "scratch", "to": ["dst.example/a:1"], "layer": ["a=/a"], "entrypoint": "--to=evil.example/x"}"#,
    ),
    ("index", r#"{"images": ["src.example/a:1"], "to": ["dst.example/a:1"]}"#),
    ("mutate", r#"{"image": "src.example/a:1", "to": ["dst.example/a:1"], "entrypoint": "--to=evil.example/x"}"#),
    ("tag", r#"{"image": "src.example/a:1", "tags": ["v1"]}"#),
];
/// The parts of random words. (Tekton itself refuses a param that doesn't exist, such as `$(params.x)`.)
const PIECES: [&str; 30] = [
    "a",
    "v1",
    "7",
    "/",
    ":",
    "@",
    "=",
    ",",
    "-",
    "--",
    "---",
    "\n",
    "\t",
    " ",
    "\"",
    "'",
    "\\",
    "é",
    "–",
    "[linux/amd64]",
    "help",
    "promote",
    "$",
    "$$",
    "$(",
    ")",
    "$(context.taskRun.uid)",
    "$(context.taskRun.name)",
    "$(HOME)",
    "$(IMGSTEP_ENTRYPOINT)",
];
/// Additional ones for Tasks only.
const OF_TASKS: [&str; 3] = ["$(params.quiet)", "$(workspaces.credentials.path)", "$(credentials.path)"];

/// The number of random words for each array of a Task.
const OF_TASK: usize = 1000;

/// Every option of a step in every notation, what ends options, and random words.
fn hostile(step: &str, random_words: usize) -> Vec<String> {
    let mut words: Vec<String> = [
        "--",
        "-",
        "-,mode=0755",
        "--strict",
        "--strict=to",
        "--strict=",
        "-h",
        "--help",
        "-V",
        "--version",
        "--=",
        "-=",
    ]
    .map(str::to_owned)
    .to_vec();
    let command = Cli::command();
    for arg in command.find_subcommand(step).unwrap().get_arguments() {
        if let Some(name) = arg.get_long() {
            words.extend([format!("--{name}"), format!("--{name}="), format!("--{name}=evil.example/x:1")]);
            words.extend([format!("-{name}"), format!("--{name}\n"), format!("--{}", &name[..name.len() - 1])]);
        }
        if let Some(name) = arg.get_short() {
            words.extend([format!("-{name}"), format!("-{name}evil.example/x:1"), format!("-{name}=evil.example/x:1")]);
        }
    }
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let pieces = if random_words == OF_TASK { [&PIECES[..], &OF_TASKS[..]].concat() } else { PIECES.to_vec() };
    for _ in 0..random_words {
        let count = random(6);
        words.push((0..count).map(|_| pieces[random(pieces.len())]).collect());
    }
    words
}

/// The array params used in the arguments of a Task or StepAction.
fn arrays(manifest: &Value) -> Vec<String> {
    let spec = &manifest["spec"];
    let args = spec["args"].as_array().or_else(|| spec["steps"][0]["args"].as_array()).unwrap();
    let array = |word: &Value| Some(word.as_str()?.strip_prefix("$(params.")?.strip_suffix("[*])")?.to_owned());
    args.iter().filter_map(array).collect()
}

fn run(kind: &str, step: &str, params: &Value) -> Value {
    let mut run = task_run(step, params, &json!([]));
    if kind == "stepaction" {
        let mut params = run["spec"]["params"].take();
        if step == "append" {
            params.as_array_mut().unwrap().push(json!({"name": "source-path", "value": "/workspace/source"}));
        }
        let step = json!({"name": step, "ref": {"name": format!("imgstep-{step}")}, "params": params});
        run["spec"] = json!({"taskSpec": {"steps": [step]}});
    } else if step == "append" {
        run["spec"]["workspaces"] = json!([{"name": "source", "emptyDir": {}}]);
    }
    run["metadata"]["uid"] = json!("8c1f6c9e-7d5e-4a7b-9d3b-2f1f0c5a4e11");
    run
}

/// The arguments that the steps of these TaskRuns are started with, all from one process.
fn started(runs: &[Value]) -> Option<Vec<(Vec<String>, Vec<String>)>> {
    let mut command = tektoncheck_command(&["words"], &manifests())?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = runs.iter().map(Value::to_string).collect::<Vec<_>>().join("\n") + "\n";
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let texts =
        |value: &Value| value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    let text = String::from_utf8(output.stdout).unwrap();
    let starts: Vec<_> = text
        .lines()
        .map(|line| {
            let start: Value = serde_json::from_str(line).unwrap();
            assert_eq!(start.get("refused"), None, "{start}");
            (texts(&start["words"]), texts(&start["environment"]))
        })
        .collect();
    assert_eq!(starts.len(), runs.len());
    Some(starts)
}

/// The values of every option and operand except one, and the values of that one.
fn apart(matches: &ArgMatches, array: &str) -> (Vec<String>, Vec<String>) {
    let (_, step) = matches.subcommand().unwrap();
    let values = |id: &str| {
        let raw = step.get_raw(id).into_iter().flatten();
        raw.map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty()).collect::<Vec<_>>()
    };
    let known = Cli::command();
    let known = known.find_subcommand(matches.subcommand_name().unwrap()).unwrap();
    let ids = known.get_arguments().map(|arg| arg.get_id().as_str()).filter(|id| !matches!(*id, "help" | "version"));
    let others = ids.filter(|id| *id != array).map(|id| format!("{id}: {:?}", values(id))).collect();
    (others, values(array))
}

#[test]
fn an_element_of_an_array_is_a_value_or_the_step_is_refused() {
    let mut places = Vec::new();
    let mut runs = Vec::new();
    for kind in ["task", "stepaction"] {
        for (step, needed) in NEEDED {
            let path = root().join(format!("tasks/{kind}/imgstep-{step}/imgstep-{step}.yaml"));
            for array in arrays(&yaml::document(&fs::read_to_string(path).unwrap())) {
                let mut params: Value = serde_json::from_str(needed).unwrap();
                params[&array] = json!(["plain"]);
                runs.push(run(kind, step, &params));
                // The arguments of a StepAction are those of the Task, except for paths.
                let elements = hostile(step, if kind == "task" { OF_TASK } else { 50 });
                let count = elements.len();
                params[&array] = json!(elements);
                runs.push(run(kind, step, &params));
                places.push((format!("{kind} {step}: {array}"), array, count));
            }
        }
    }
    assert!(places.len() > 60, "{}", places.len());
    let Some(starts) = started(&runs) else { return };
    let (mut refused, mut taken) = (0, 0);
    for ((place, array, count), pair) in places.iter().zip(starts.chunks(2)) {
        let [(plain, environment), (all, _)] = pair else { unreachable!() };
        let variable = |name: &str| {
            let found = environment.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            found.map(str::to_owned)
        };
        let at = plain.iter().position(|word| word == "plain").unwrap_or_else(|| panic!("{place}: {plain:?}"));
        assert_eq!((all.len(), &all[..at]), (plain.len() - 1 + count, &plain[..at]), "{place}");
        let elements = &all[at..at + count];
        assert!(elements.iter().any(|element| element.contains("8c1f6c9e")), "{place}: the uid is put in");
        let with = |elements: &[String]| [&plain[..at], elements, &plain[at + 1..]].concat();
        let (options, values): (Vec<String>, Vec<String>) =
            elements.iter().cloned().partition(|element| element.starts_with('-'));
        for option in options {
            let error = strict::checked(with(&["v1".to_owned(), option.clone(), "v2".to_owned()]));
            let error = error.expect_err(&format!("{place}: {option}"));
            assert_eq!(error.exit_status() as u8, 2, "{place}: {option}");
            refused += 1;
        }
        let id = if array == "list" { "line".to_owned() } else { array.replace('-', "_") };
        let parsed = |words| parse::matches(words, &variable).unwrap_or_else(|wrong| panic!("{place}: {wrong:?}"));
        let (others, _) = apart(&parsed(plain.clone()), &id);
        let (others_now, now) = apart(&parsed(with(&values)), &id);
        assert_eq!(others_now, others, "{place}");
        let values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
        assert_eq!(now, values, "{place}");
        taken += values.len();
    }
    assert!(refused > 10_000 && taken > 15_000, "{refused} refused, {taken} taken");
}

#[test]
fn a_step_that_is_given_an_option_as_a_value_writes_nothing() {
    let registry = Registry::inside();
    images::image(1, 1, 100).push(&registry, "app", "v1");
    let promote = |tags: &Value| {
        let params = json!({"source": registry.at("app:v1"), "to": [registry.at("copy:v1")], "tags": tags});
        cluster().object(task_run("promote", &params, &json!([]))).run_one()
    };
    for element in [format!("--to={}", registry.at("evil:v1")), "--help".to_owned(), "--".to_owned()] {
        let Some(report) = promote(&json!(["v2", element])) else { return };
        let step = &report["steps"][0];
        assert_eq!((&report["succeeded"], &step["exitCode"]), (&json!(false), &json!(2)), "{report:#}");
        let said = format!("`{element}` is an element of the param `tags`: a value here can't begin with `-`");
        assert!(step["log"].as_str().unwrap().contains(&said), "{step}");
    }
    for repository in ["evil", "copy"] {
        assert!(!registry.has_manifest(repository, "v1"));
    }
}
