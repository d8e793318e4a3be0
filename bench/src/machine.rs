//! Describes this machine and the versions of other programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::tools::version_of;

/// Names and values for the report.
pub fn describe() -> Vec<(&'static str, String)> {
    let memory = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    vec![
        ("processor", field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned())),
        ("cores", cores().to_string()),
        ("memory", memory.map_or_else(|| "unknown".to_owned(), |kilobytes| format!("{} GB", kilobytes / 1_000_000))),
        ("kernel", output_of("uname", &["-sr"])),
        (
            "system",
            field_of(&fs::read_to_string("/etc/os-release").unwrap_or_default(), "PRETTY_NAME", '=')
                .map_or_else(|| "unknown".to_owned(), |name| name.trim_matches('"').to_owned()),
        ),
    ]
}

/// The servers and compressors, each with its version or "missing".
pub fn helpers() -> Vec<(&'static str, String)> {
    let programs: [(&str, &str, &[&str]); 6] = [
        ("docker-registry", "docker-registry", &["--version"]),
        ("nginx", "/usr/sbin/nginx", &["-v"]),
        ("pigz", "pigz", &["--version"]),
        ("libdeflate-gzip", "libdeflate-gzip", &["-V"]),
        ("zstd", "zstd", &["--version"]),
        ("GNU time", "/usr/bin/time", &["--version"]),
    ];
    let version = |program: &str, args: &[&str]| version_of(Path::new(program), args);
    programs
        .into_iter()
        .map(|(name, program, args)| (name, version(program, args).unwrap_or_else(|| "missing".to_owned())))
        .collect()
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

pub fn today() -> String {
    output_of("date", &["-u", "+%Y-%m-%d"])
}

fn output_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    field_of(&fs::read_to_string(path).ok()?, name, ':')
}

fn field_of(text: &str, name: &str, separator: char) -> Option<String> {
    let pairs = text.lines().filter_map(|line| line.split_once(separator));
    pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned()).next()
}
