//! The tools in the comparison: where they are, their versions, and their command lines for each task.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::images::{ARCHITECTURES, Image};
use crate::work::{Places, Work};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    Imgstep,
    Crane,
    Regctl,
    Oras,
    Skopeo,
}

pub const TOOLS: [Tool; 5] = [Tool::Imgstep, Tool::Crane, Tool::Regctl, Tool::Oras, Tool::Skopeo];

/// A tool on this machine.
#[derive(Debug, Clone)]
pub struct Found {
    pub tool: Tool,
    pub program: String,
    pub version: String,
}

/// One command for a task, with its label in the tables.
#[derive(Debug, Clone)]
pub struct Contender {
    pub tool: Tool,
    pub label: String,
    pub words: Vec<String>,
    /// The OCI layout that it writes to instead of the destination.
    pub layout: Option<PathBuf>,
}

/// The row that does what a compressor does: it reads a tar, and writes a file.
pub const INTO_LAYOUT: &str = "imgstep, into a layout";

impl Contender {
    fn new(tool: Tool, label: &str, words: Vec<String>) -> Self {
        Self { tool, label: label.to_owned(), words, layout: None }
    }
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::Imgstep => "imgstep",
            Self::Crane => "crane",
            Self::Regctl => "regctl",
            Self::Oras => "oras",
            Self::Skopeo => "skopeo",
        }
    }

    /// The arguments that print the version.
    pub fn version_words(self) -> &'static [&'static str] {
        match self {
            Self::Imgstep | Self::Skopeo => &["--version"],
            Self::Crane | Self::Regctl | Self::Oras => &["version"],
        }
    }
}

/// The tools that are installed, and those that aren't.
pub fn find(imgstep: &Path) -> (Vec<Found>, Vec<Tool>) {
    let (mut found, mut missing) = (vec![], vec![]);
    for tool in TOOLS {
        let program = if tool == Tool::Imgstep { imgstep.to_owned() } else { PathBuf::from(tool.name()) };
        match first_version_line(&program, tool.version_words()) {
            Some(version) => found.push(Found { tool, program: program.display().to_string(), version }),
            None => missing.push(tool),
        }
    }
    (found, missing)
}

/// A program's version in one line; `None` if it can't be run.
pub fn first_version_line(program: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new(program).args(words).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    let name = program.file_name()?.to_string_lossy().into_owned();
    // `VCSTag: v0.11.5`, `skopeo version 1.9.3`, `nginx version: nginx/1.22.1`, `v0.22.1`: the last word is the
    // version.
    let mut words = line.split_whitespace().filter(|word| word.chars().any(|letter| letter.is_ascii_digit()));
    let version = words.next_back().unwrap_or(line).trim_end_matches(',').trim_start_matches(&format!("{name}/"));
    Some(version.trim_start_matches('v').to_owned())
}

/// The commands with which a tool does a task, or the reason why it can't.
pub fn contenders(found: &Found, work: Work, places: &Places) -> Result<Vec<Contender>, &'static str> {
    let say = |label: &str, words| Contender::new(found.tool, label, words);
    let name = found.tool.name();
    let program = found.program.as_str();
    match work {
        Work::Copy(_) | Work::Mount(_) | Work::Again(_) => {
            let (from, to) = (places.from("v1"), places.to("v1"));
            Ok(vec![say(name, copy(found.tool, program, &from, &to, places))])
        }
        Work::Many { image, .. } => {
            let (from, to) = (places.from("v$i"), places.to("v$i"));
            let each = |one: &str| format!("set -e; i=1; while [ $i -le {} ]; do {one}; i=$((i+1)); done", image.count);
            let by_loop = each(&copy(found.tool, program, &from, &to, places).join(" "));
            let by_loop = say(&format!("{name}, shell loop"), shell(&by_loop));
            let lines = each(&format!("echo {from} {to}"));
            let (all_from, all_to) = places.repositories();
            Ok(match found.tool {
                Tool::Imgstep => {
                    vec![say(name, shell(&format!("({lines}) | {program} promote -q --list -"))), by_loop]
                }
                Tool::Crane => {
                    vec![say("crane, --all-tags", words(program, &["copy", "--all-tags", &all_from, &all_to])), by_loop]
                }
                _ => vec![by_loop],
            })
        }
        Work::Index(children) => index(found, children, places).map(|words| vec![say(name, words)]),
        Work::Append(base) => append_program(found, base, places),
        Work::AppendFolder(_) => append_folder(found, places),
        Work::Version => {
            let words = found.tool.version_words().iter().map(|&word| word.to_owned());
            Ok(vec![say(name, std::iter::once(program.to_owned()).chain(words).collect())])
        }
    }
}

fn words(program: &str, rest: &[&str]) -> Vec<String> {
    std::iter::once(program).chain(rest.iter().copied()).map(str::to_owned).collect()
}

fn shell(script: &str) -> Vec<String> {
    words("sh", &["-c", script])
}

/// Copies the whole image, preserving its digest.
fn copy(tool: Tool, program: &str, from: &str, to: &str, places: &Places) -> Vec<String> {
    match tool {
        Tool::Imgstep => words(program, &["promote", "-q", from, to]),
        Tool::Crane => words(program, &["copy", from, to]),
        Tool::Regctl => regctl(program, &["image", "copy", from, to], places),
        Tool::Oras if places.tls => words(program, &["cp", from, to]),
        Tool::Oras => words(program, &["cp", "--from-plain-http", "--to-plain-http", from, to]),
        Tool::Skopeo => {
            let mut said = words(program, &["--insecure-policy", "copy", "-q", "--all", "--preserve-digests"]);
            if !places.tls {
                said.extend(["--src-tls-verify=false", "--dest-tls-verify=false"].map(str::to_owned));
            }
            said.extend([format!("docker://{from}"), format!("docker://{to}")]);
            said
        }
    }
}

fn regctl(program: &str, rest: &[&str], places: &Places) -> Vec<String> {
    let mut said = vec![program.to_owned()];
    if !places.tls {
        for host in [&places.source, &places.destination] {
            said.extend(["--host".to_owned(), format!("reg={host},tls=disabled")]);
        }
    }
    said.extend(rest.iter().map(|&word| word.to_owned()));
    said
}

/// An index of the first `children` tags in one repository, written to the same repository.
fn index(found: &Found, children: usize, places: &Places) -> Result<Vec<String>, &'static str> {
    let to = places.to("out");
    let from: Vec<String> = (1..=children).map(|number| places.to(&format!("v{number}"))).collect();
    let each = |option: &str| from.iter().flat_map(|child| [option.to_owned(), child.clone()]).collect::<Vec<_>>();
    let program = found.program.as_str();
    let mut said = match found.tool {
        Tool::Imgstep => words(program, &["index", "-q", "--to", &to]),
        Tool::Crane => words(program, &["index", "append", "-t", &to]),
        Tool::Regctl => regctl(program, &["index", "create", &to], places),
        Tool::Oras if places.tls => words(program, &["manifest", "index", "create", &to]),
        Tool::Oras => words(program, &["manifest", "index", "create", "--plain-http", &to]),
        Tool::Skopeo => return Err("has no command that makes an index"),
    };
    match found.tool {
        // The list of images would end at the next option, so it comes after `--`.
        Tool::Imgstep => said.extend(std::iter::once("--".to_owned()).chain(from)),
        Tool::Crane => said.extend(each("-m")),
        Tool::Regctl => said.extend(each("--ref")),
        Tool::Oras => said.extend((1..=children).map(|number| format!("v{number}"))),
        Tool::Skopeo => {}
    }
    Ok(said)
}

/// One program on every platform of an index.
fn append_program(found: &Found, base: Image, places: &Places) -> Result<Vec<Contender>, &'static str> {
    let say = |label: &str, words| vec![Contender::new(found.tool, label, words)];
    let (from, to) = (places.from("v1"), places.to("v1"));
    let program = found.program.as_str();
    let tar = places.files.program_tar.display();
    match found.tool {
        Tool::Imgstep => {
            let layer = format!("{}=/app", places.files.program.display());
            Ok(say("imgstep", words(program, &["append", "-q", &from, "--to", &to, "--layer", &layer])))
        }
        Tool::Crane => {
            let mut script = "set -e".to_owned();
            let mut parts = String::new();
            for (number, (architecture, variant)) in ARCHITECTURES[..base.count].iter().enumerate() {
                let slash = if variant.is_empty() { "" } else { "/" };
                let part = places.to(&format!("part{number}"));
                script.push_str(&format!(
                    "; {program} append --platform linux/{architecture}{slash}{variant} -b {from} -f {tar} -t {part}"
                ));
                parts.push_str(&format!(" -m {part}"));
            }
            script.push_str(&format!("; {program} index append{parts} -t {to}"));
            Ok(say(&format!("crane, {} commands", base.count + 1), shell(&script)))
        }
        Tool::Regctl => {
            let layer = format!("tar={tar}");
            Ok(say("regctl", regctl(program, &["image", "mod", &from, "--create", &to, "--layer-add", &layer], places)))
        }
        Tool::Oras => Err("puts no layers on images"),
        Tool::Skopeo => Err("has no command that adds layers"),
    }
}

/// Hundreds of megabytes of files, on a small base image.
fn append_folder(found: &Found, places: &Places) -> Result<Vec<Contender>, &'static str> {
    let say = |label: &str, words| Contender::new(found.tool, label, words);
    let (from, to) = (places.from("v1"), places.to("v1"));
    let program = found.program.as_str();
    let (tar, folder) = (places.files.tar.display().to_string(), places.files.folder.display().to_string());
    match found.tool {
        Tool::Imgstep => {
            // A system's files include programs for other platforms, which imgstep would refuse.
            let options = ["append", "-q", "--allow-foreign-binaries", &from];
            let into =
                |to: &str, layer: &str| [words(program, &options), words("--to", &[to, "--layer", layer])].concat();
            let append = |layer: &str| into(&to, layer);
            let layout = &places.files.layout;
            Ok(vec![
                say("imgstep", append(&format!("{folder}=/data"))),
                say("imgstep, from a tar", append(&tar)),
                Contender {
                    layout: Some(layout.clone()),
                    ..say(INTO_LAYOUT, into(&format!("oci:{}:v1", layout.display()), &tar))
                },
                say("imgstep, one core", [words("taskset", &["-c", "0"]), append(&format!("{folder}=/data"))].concat()),
                say("imgstep, zstd", [append(&format!("{folder}=/data")), words("--compression", &["zstd"])].concat()),
            ])
        }
        Tool::Crane => {
            let piped = format!("tar -C {folder} -cf - . | {program} append -b {from} -f - -t {to}");
            Ok(vec![
                say("crane", words(program, &["append", "-b", &from, "-f", &tar, "-t", &to])),
                say("crane, tar piped", shell(&piped)),
            ])
        }
        Tool::Regctl => {
            let layer = format!("tar={tar}");
            let said = regctl(program, &["image", "mod", &from, "--create", &to, "--layer-add", &layer], places);
            Ok(vec![say("regctl", said)])
        }
        Tool::Oras => Err("puts no layers on images"),
        Tool::Skopeo => Err("has no command that adds layers"),
    }
}
