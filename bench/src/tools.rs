//! The tools in the comparison: where they are, their versions, and their command lines for each task.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::images::{ARCHITECTURES, Image};
use crate::work::{Locations, Work};

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
pub struct InstalledTool {
    pub tool: Tool,
    pub program: String,
    pub version: String,
}

/// One command for a task, with its label in the tables.
#[derive(Debug, Clone)]
pub struct ToolCommand {
    pub tool: Tool,
    pub label: String,
    pub args: Vec<String>,
    /// The OCI layout that it writes to instead of the destination.
    pub layout: Option<PathBuf>,
}

/// The row that does what a compressor does: it reads a tar, and writes a file.
pub const TAR_TO_LAYOUT: &str = "imgstep, into a layout";

impl ToolCommand {
    fn new(tool: Tool, label: &str, args: Vec<String>) -> Self {
        Self { tool, label: label.to_owned(), args, layout: None }
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
    pub fn version_args(self) -> &'static [&'static str] {
        match self {
            Self::Imgstep | Self::Skopeo => &["--version"],
            Self::Crane | Self::Regctl | Self::Oras => &["version"],
        }
    }
}

/// The tools that are installed, and those that aren't.
pub fn find(imgstep: &Path) -> (Vec<InstalledTool>, Vec<Tool>) {
    let (mut found, mut missing) = (vec![], vec![]);
    for tool in TOOLS {
        let program = if tool == Tool::Imgstep { imgstep.to_owned() } else { PathBuf::from(tool.name()) };
        match version_of(&program, tool.version_args()) {
            Some(version) => found.push(InstalledTool { tool, program: program.display().to_string(), version }),
            None => missing.push(tool),
        }
    }
    (found, missing)
}

/// A program's version in one line; `None` if it can't be run.
pub fn version_of(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    let name = program.file_name()?.to_string_lossy().into_owned();
    // `VCSTag: v0.11.5`, `skopeo version 1.9.3`, `nginx version: nginx/1.22.1`, `v0.22.1`: the last word is the
    // version.
    let mut args = line.split_whitespace().filter(|word| word.chars().any(|letter| letter.is_ascii_digit()));
    let version = args.next_back().unwrap_or(line).trim_end_matches(',').trim_start_matches(&format!("{name}/"));
    Some(version.trim_start_matches('v').to_owned())
}

/// The commands with which a tool does a task, or the reason why it can't.
pub fn commands(found: &InstalledTool, work: Work, locations: &Locations) -> Result<Vec<ToolCommand>, &'static str> {
    let command = |label: &str, args| ToolCommand::new(found.tool, label, args);
    let name = found.tool.name();
    let program = found.program.as_str();
    match work {
        Work::Copy(_) | Work::Mount(_) | Work::Again(_) => {
            let (from, to) = (locations.from("v1"), locations.to("v1"));
            Ok(vec![command(name, copy(found.tool, program, &from, &to, locations))])
        }
        Work::Many { image, .. } => {
            let (from, to) = (locations.from("v$i"), locations.to("v$i"));
            let each = |one: &str| format!("set -e; i=1; while [ $i -le {} ]; do {one}; i=$((i+1)); done", image.count);
            let by_loop = each(&copy(found.tool, program, &from, &to, locations).join(" "));
            let by_loop = command(&format!("{name}, shell loop"), shell(&by_loop));
            let lines = each(&format!("echo {from} {to}"));
            let (all_from, all_to) = locations.repositories();
            Ok(match found.tool {
                Tool::Imgstep => {
                    vec![command(name, shell(&format!("({lines}) | {program} promote -q --list -"))), by_loop]
                }
                Tool::Crane => {
                    vec![
                        command("crane, --all-tags", args(program, &["copy", "--all-tags", &all_from, &all_to])),
                        by_loop,
                    ]
                }
                _ => vec![by_loop],
            })
        }
        Work::Index(children) => index(found, children, locations).map(|args| vec![command(name, args)]),
        Work::Append(base) => append_program(found, base, locations),
        Work::AppendFolder(_) => append_folder(found, locations),
        Work::Version => {
            let args = found.tool.version_args().iter().map(|&word| word.to_owned());
            Ok(vec![command(name, std::iter::once(program.to_owned()).chain(args).collect())])
        }
    }
}

fn args(program: &str, rest: &[&str]) -> Vec<String> {
    std::iter::once(program).chain(rest.iter().copied()).map(str::to_owned).collect()
}

fn shell(script: &str) -> Vec<String> {
    args("sh", &["-c", script])
}

/// Copies the whole image, preserving its digest.
fn copy(tool: Tool, program: &str, from: &str, to: &str, locations: &Locations) -> Vec<String> {
    match tool {
        Tool::Imgstep => args(program, &["promote", "-q", from, to]),
        Tool::Crane => args(program, &["copy", from, to]),
        Tool::Regctl => regctl(program, &["image", "copy", from, to], locations),
        Tool::Oras if locations.tls => args(program, &["cp", from, to]),
        Tool::Oras => args(program, &["cp", "--from-plain-http", "--to-plain-http", from, to]),
        Tool::Skopeo => {
            let mut args = args(program, &["--insecure-policy", "copy", "-q", "--all", "--preserve-digests"]);
            if !locations.tls {
                args.extend(["--src-tls-verify=false", "--dest-tls-verify=false"].map(str::to_owned));
            }
            args.extend([format!("docker://{from}"), format!("docker://{to}")]);
            args
        }
    }
}

fn regctl(program: &str, rest: &[&str], locations: &Locations) -> Vec<String> {
    let mut args = vec![program.to_owned()];
    if !locations.tls {
        for host in [&locations.source, &locations.destination] {
            args.extend(["--host".to_owned(), format!("reg={host},tls=disabled")]);
        }
    }
    args.extend(rest.iter().map(|&word| word.to_owned()));
    args
}

/// An index of the first `children` tags in one repository, written to the same repository.
fn index(found: &InstalledTool, children: usize, locations: &Locations) -> Result<Vec<String>, &'static str> {
    let to = locations.to("out");
    let from: Vec<String> = (1..=children).map(|number| locations.to(&format!("v{number}"))).collect();
    let each = |option: &str| from.iter().flat_map(|child| [option.to_owned(), child.clone()]).collect::<Vec<_>>();
    let program = found.program.as_str();
    let mut args = match found.tool {
        Tool::Imgstep => args(program, &["index", "-q", "--to", &to]),
        Tool::Crane => args(program, &["index", "append", "-t", &to]),
        Tool::Regctl => regctl(program, &["index", "create", &to], locations),
        Tool::Oras if locations.tls => args(program, &["manifest", "index", "create", &to]),
        Tool::Oras => args(program, &["manifest", "index", "create", "--plain-http", &to]),
        Tool::Skopeo => return Err("has no command that makes an index"),
    };
    match found.tool {
        // The list of images would end at the next option, so it comes after `--`.
        Tool::Imgstep => args.extend(std::iter::once("--".to_owned()).chain(from)),
        Tool::Crane => args.extend(each("-m")),
        Tool::Regctl => args.extend(each("--ref")),
        Tool::Oras => args.extend((1..=children).map(|number| format!("v{number}"))),
        Tool::Skopeo => {}
    }
    Ok(args)
}

/// One program on every platform of an index.
fn append_program(found: &InstalledTool, base: Image, locations: &Locations) -> Result<Vec<ToolCommand>, &'static str> {
    let command = |label: &str, args| vec![ToolCommand::new(found.tool, label, args)];
    let (from, to) = (locations.from("v1"), locations.to("v1"));
    let program = found.program.as_str();
    let tar = locations.files.program_tar.display();
    match found.tool {
        Tool::Imgstep => {
            let layer = format!("{}=/app", locations.files.program.display());
            Ok(command("imgstep", args(program, &["append", "-q", &from, "--to", &to, "--layer", &layer])))
        }
        Tool::Crane => {
            let mut script = "set -e".to_owned();
            let mut parts = String::new();
            for (number, (architecture, variant)) in ARCHITECTURES[..base.count].iter().enumerate() {
                let slash = if variant.is_empty() { "" } else { "/" };
                let part = locations.to(&format!("part{number}"));
                script.push_str(&format!(
                    "; {program} append --platform linux/{architecture}{slash}{variant} -b {from} -f {tar} -t {part}"
                ));
                parts.push_str(&format!(" -m {part}"));
            }
            script.push_str(&format!("; {program} index append{parts} -t {to}"));
            Ok(command(&format!("crane, {} commands", base.count + 1), shell(&script)))
        }
        Tool::Regctl => {
            let layer = format!("tar={tar}");
            Ok(command(
                "regctl",
                regctl(program, &["image", "mod", &from, "--create", &to, "--layer-add", &layer], locations),
            ))
        }
        Tool::Oras => Err("puts no layers on images"),
        Tool::Skopeo => Err("has no command that adds layers"),
    }
}

/// Hundreds of megabytes of files, on a small base image.
fn append_folder(found: &InstalledTool, locations: &Locations) -> Result<Vec<ToolCommand>, &'static str> {
    let command = |label: &str, args| ToolCommand::new(found.tool, label, args);
    let (from, to) = (locations.from("v1"), locations.to("v1"));
    let program = found.program.as_str();
    let (tar, folder) = (locations.files.tar.display().to_string(), locations.files.folder.display().to_string());
    match found.tool {
        Tool::Imgstep => {
            // A system's files include programs for other platforms, which imgstep would refuse.
            let options = ["append", "-q", "--allow-foreign-binaries", &from];
            let into =
                |to: &str, layer: &str| [args(program, &options), args("--to", &[to, "--layer", layer])].concat();
            let append = |layer: &str| into(&to, layer);
            let layout = &locations.files.layout;
            Ok(vec![
                command("imgstep", append(&format!("{folder}=/data"))),
                command("imgstep, from a tar", append(&tar)),
                ToolCommand {
                    layout: Some(layout.clone()),
                    ..command(TAR_TO_LAYOUT, into(&format!("oci:{}:v1", layout.display()), &tar))
                },
                command(
                    "imgstep, one core",
                    [args("taskset", &["-c", "0"]), append(&format!("{folder}=/data"))].concat(),
                ),
                command(
                    "imgstep, zstd",
                    [append(&format!("{folder}=/data")), args("--compression", &["zstd"])].concat(),
                ),
            ])
        }
        Tool::Crane => {
            let piped = format!("tar -C {folder} -cf - . | {program} append -b {from} -f - -t {to}");
            Ok(vec![
                command("crane", args(program, &["append", "-b", &from, "-f", &tar, "-t", &to])),
                command("crane, tar piped", shell(&piped)),
            ])
        }
        Tool::Regctl => {
            let layer = format!("tar={tar}");
            let args = regctl(program, &["image", "mod", &from, "--create", &to, "--layer-add", &layer], locations);
            Ok(vec![command("regctl", args)])
        }
        Tool::Oras => Err("puts no layers on images"),
        Tool::Skopeo => Err("has no command that adds layers"),
    }
}
