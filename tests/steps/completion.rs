//! `imgstep completion` and `imgstep man`, as used by shells and man.

use std::io::Write as _;
use std::process::{Command, Stdio};

use clap::CommandFactory as _;
use imgstep::cli::Cli;

use crate::support::imgstep;
use crate::support::tools::{missing, missing_optional};

/// What bash offers for the last word of a line, after sourcing the script.
fn completed_by_bash(line: &str) -> Option<Vec<String>> {
    let script = imgstep(["completion", "bash"]).run().ended(0).stdout;
    let words: Vec<&str> = line.split(' ').collect();
    let quoted = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let last = words.len() - 1;
    let (word, previous) = (words[last], words[last - 1]);
    // What bash itself does on a tab (bash(1), "Programmable Completion").
    let script = format!(
        "{script}\ncompopt() {{ :; }}\nCOMP_WORDS=({quoted}) COMP_CWORD={last} COMP_LINE='{line}'\n\
         _imgstep imgstep '{word}' '{previous}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    );
    let output = Command::new("bash").args(["--noprofile", "--norc", "-c", &script]).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn bash_completes_steps_options_and_values() {
    for (line, offered) in [
        ("imgstep pro", &["promote"][..]),
        ("imgstep promote --expect", &["--expect-digest"]),
        ("imgstep promote --if-exists ", &["overwrite", "skip", "fail"]),
        ("imgstep registry ser", &["serve"]),
        ("imgstep completion z", &["zsh"]),
    ] {
        let Some(completed) = completed_by_bash(line) else {
            return missing("bash", "completion is not tested in a shell");
        };
        assert_eq!(completed, offered, "{line}");
    }
}

#[test]
fn every_shell_has_a_script_with_every_step() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = imgstep(["completion", shell]).run().ended(0).stdout;
        for step in Cli::command().get_subcommands() {
            assert!(script.contains(step.get_name()), "{shell}: {}", step.get_name());
        }
        assert!(script.contains("if-exists"), "{shell}");
    }
    imgstep(["completion", "tcsh"]).run().ended(2);
}

#[test]
fn every_step_has_a_manual_page() {
    for (words, title) in [
        (&["man"][..], ".TH imgstep 1"),
        (&["man", "promote"], ".TH imgstep-promote 1"),
        (&["man", "registry", "serve"], ".TH imgstep-registry-serve 1"),
    ] {
        let page = imgstep(words).run().ended(0).stdout;
        assert!(page.contains(title), "{page}");
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "OPTIONS", "EXIT\\ STATUS"] {
            assert_eq!(page.lines().filter(|line| *line == format!(".SH {section}")).count(), 1, "{section}: {page}");
        }
    }
    imgstep(["man", "promoted"]).run().failed(2, &["no step `promoted`"]);
    imgstep(["man", "digest", "x"]).run().failed(2, &["`digest` has no step `x`"]);
}

#[test]
fn groff_finds_nothing_wrong_with_a_manual_page() {
    let page = imgstep(["man", "append"]).run().ended(0).stdout;
    let groff = Command::new("groff")
        .args(["-man", "-Tutf8", "-ww", "-P-cbu", "-k"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut groff) = groff else { return missing_optional("groff", "no manual page is rendered") };
    groff.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = groff.wait_with_output().unwrap();
    let (text, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    for line in ["out/app-arm64=/app,platform=linux/arm64", "--allow-foreign-binaries", "[\"/app\"]"] {
        assert!(text.contains(line), "{line}: {text}");
    }
}
