//! Suggestions for commands and options of other tools that imgstep doesn't have.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::args::variable;
use crate::report::values::variable_names;
use crate::text::printable;

/// Commands of other tools, and what to use instead.
const COMMANDS: [(&[&str], &str); 18] = [
    (&["ls", "list", "tags", "catalog"], "imgstep doesn't list tags; use `crane ls REPOSITORY` or `skopeo list-tags`"),
    (
        &["login", "logout", "auth"],
        "imgstep uses the logins of docker and podman: run `docker login HOST`, or pass a folder with a config.json by \
         --auth-dir",
    ),
    (
        &["pull", "save"],
        "to keep an image in a folder, write `imgstep promote IMAGE oci:DIR`; `docker pull` is for Docker's engine",
    ),
    (
        &["push", "load"],
        "to push a layout, write `imgstep promote oci:DIR IMAGE`; `append` and `index` push what they build",
    ),
    (&["delete", "rm", "rmi", "remove"], "imgstep doesn't delete; use `crane delete` or `regctl tag delete`"),
    (&["manifest", "raw"], "write `imgstep inspect IMAGE --output json`; `crane manifest` prints the bytes"),
    (&["config", "history"], "write `imgstep inspect IMAGE`; `crane config` prints the whole config"),
    (&["export", "cat", "extract"], "imgstep doesn't extract files; use `crane export IMAGE - | tar x`"),
    (
        &["validate", "verify"],
        "`imgstep promote --repair` checks that everything is there; `crane validate` reads every layer",
    ),
    (
        &["build", "bake", "buildx"],
        "imgstep doesn't read a Dockerfile; `imgstep append BASE --layer FILES=/PATH --to IMAGE` builds an image from files",
    ),
    (&["run", "exec"], "imgstep doesn't run containers; use `docker run IMAGE`"),
    (&["sync", "mirror"], "to copy many images, write `imgstep promote --list FILE`"),
    (&["retag"], "write `imgstep tag IMAGE TAG`, or `imgstep promote` for another repository"),
    (
        &["label", "annotate", "edit"],
        "write `imgstep mutate IMAGE --label KEY=VALUE --annotation KEY=VALUE --to IMAGE`",
    ),
    (&["create", "imagetools", "join"], "write `imgstep index IMAGE... --to IMAGE`"),
    (&["serve"], "write `imgstep registry serve`"),
    (
        &["image", "images", "index-create"],
        "the steps have no prefix: `imgstep inspect IMAGE`, `imgstep promote SOURCE DESTINATION`",
    ),
    (&["completions", "complete"], "write `imgstep completion SHELL`"),
];

/// Options of other tools, and what to write here.
const OPTIONS: [(&[&str], &str); 16] = [
    (&["--all-tags"], "imgstep doesn't list tags; `crane ls REPOSITORY` does, and --list promotes many images"),
    (
        &["--authfile", "--auth-file", "--registry-config", "--config"],
        "write --auth-dir with the folder, or the file itself",
    ),
    (
        &["--digestfile", "--digest-file", "--iidfile", "--image-refs"],
        "write `--result digest=FILE`; ref=, images= and json= are there too",
    ),
    (&["--metadata-file"], "write `--result json=FILE`"),
    (&["-o", "--json", "--print-json"], "write `--output json`"),
    (
        &[
            "--dest-creds",
            "--src-creds",
            "--creds",
            "--username",
            "--user-name",
            "--password",
            "--password-stdin",
            "-u",
            "-p",
        ],
        "logins stand in no command line: run `docker login HOST`, or give a folder with a config.json by --auth-dir, and by \
         --source-auth-dir for what is read",
    ),
    (&["--tag"], "write `--tags TAG...`"),
    (
        &["--insecure", "--plain-http", "--tls-verify", "--src-tls-verify", "--dest-tls-verify", "--allow-insecure"],
        "write `--insecure-registry HOST`",
    ),
    (&["--all", "--multi-arch", "-a", "--recursive"], "all platforms are taken unless --platform names some"),
    (&["--force", "-f", "--overwrite"], "what is there is overwritten unless --if-exists says otherwise"),
    (&["--no-clobber", "-n"], "write `--if-exists fail`, or `--dry-run` to see what would be done"),
    (&["--concurrency", "--parallel"], "write `--jobs N`"),
    (&["--base", "-b"], "the base is an argument of its own: `imgstep append BASE --layer …`"),
    (&["--new-layer", "--new_layer", "--add"], "write `--layer PATH=DEST`"),
    (&["--port"], "write `--address HOST:PORT`"),
    (
        &["--cert-dir", "--src-cert-dir", "--dest-cert-dir", "--cacert", "--tlscacert"],
        "write `--ca-file FILE`, or --ca-dir",
    ),
];

/// The text for arguments that can't be parsed: clap's, with a hint if they come from another tool, and without its
/// advice to put an option after `--`.
pub fn text(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let Some((said, hint)) = hint(error) else { return without_tip(&rendered) };
    let usage = rendered.find("\n\nUsage:").map(|at| &rendered[at..]);
    format!("error: {said}; {hint}{}", usage.unwrap_or("\n\nFor more information, try '--help'.\n"))
}

fn without_tip(text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut out: Vec<&str> = Vec::new();
    for line in lines {
        let is_tip = line.trim_start().starts_with("tip: to pass '");
        // And without the empty line before it, if nothing else is between.
        let is_second_empty = line.is_empty() && out.last().is_some_and(|last| last.is_empty());
        if is_tip || is_second_empty {
            continue;
        }
        out.push(line);
    }
    out.join("\n")
}

fn hint(error: &clap::Error) -> Option<(String, &'static str)> {
    let of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = of(ContextKind::InvalidSubcommand)?;
            Some((format!("there is no step `{}`", printable(word, 60)), found(&COMMANDS, word)?))
        }
        ErrorKind::UnknownArgument => {
            let word = of(ContextKind::InvalidArg)?;
            let name = word.split('=').next().unwrap_or(word);
            let said = format!("there is no option `{}` here", printable(name, 60));
            if let Some(hint) = found(&OPTIONS, name) {
                return Some((said, hint));
            }
            let is_reference = !word.starts_with('-') && (word.contains(['/', ':']));
            let hint = "pass the destination with `--to DESTINATION`";
            is_reference.then(|| (format!("`{}` is one argument too many", printable(word, 160)), hint))
        }
        ErrorKind::ValueValidation => {
            let (option, value) = (of(ContextKind::InvalidArg)?, of(ContextKind::InvalidValue).unwrap_or_default());
            let option = option.split([' ', '[', '=']).next().unwrap_or(option);
            let reason = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            let hint = match (option, reason.as_str()) {
                (_, "value was not a boolean") => "write true or false",
                ("--max-manifest-size", text) if !text.contains("is not in") => {
                    "write a number of bytes, such as 4194304"
                }
                (_, text) if text.contains("digit") => "write a whole number",
                _ => return None,
            };
            Some((format!("{option}: invalid value `{}`", printable(value, 60)), hint))
        }
        _ => None,
    }
}

fn found(table: &[(&[&str], &'static str)], word: &str) -> Option<&'static str> {
    table.iter().find(|(words, _)| words.contains(&word)).map(|(_, hint)| *hint)
}

/// The variables `IMGSTEP_…` that nothing reads, with the one that was probably meant.
pub fn strange_variables(command: &Command, names: impl Iterator<Item = String>) -> Vec<String> {
    const OTHERS: [&str; 5] =
        ["IMGSTEP_BIN", "IMGSTEP_REGISTRY", "IMGSTEP_STEP", "IMGSTEP_DOWNLOAD_URL", "IMGSTEP_NAME"];
    let options =
        |step: &Command| step.get_arguments().map(Arg::get_id).map(|id| variable(id.as_str())).collect::<Vec<_>>();
    let known: Vec<String> = command.get_subcommands().flat_map(options).collect();
    let is_known = |name: &str| {
        OTHERS.contains(&name) || variable_names().any(|variable| variable == name) || known.iter().any(|is| is == name)
    };
    let mut strange: Vec<String> =
        names.filter(|name| name.starts_with("IMGSTEP_") && !is_known(name)).map(|name| printable(&name, 80)).collect();
    strange.sort();
    strange
        .iter()
        .map(|name| {
            // Shortened or singular forms, which people write.
            let near = known.iter().find(|is| is.strip_prefix(name.as_str()).is_some_and(|rest| rest.len() < 3));
            let near = near.or_else(|| known.iter().find(|is| name.strip_prefix(is.as_str()) == Some("S")));
            let meant = near.map_or_else(String::new, |near| format!("; {near} is one"));
            format!("{name} is set, and no option reads it{meant}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    fn said(words: &str) -> String {
        let error = Cli::command().try_get_matches_from(format!("imgstep {words}").split(' ')).unwrap_err();
        text(&error)
    }

    #[test]
    fn commands_of_other_tools_are_known() {
        let command = Cli::command();
        for (words, hint) in COMMANDS {
            for word in words {
                assert!(command.find_subcommand(word).is_none(), "{word} is a step");
                let text = said(&format!("{word} x"));
                assert!(text.starts_with(&format!("error: there is no step `{word}`; {hint}")), "{text}");
            }
        }
        assert!(said("promot").contains("promote"), "{}", said("promot"));
    }

    #[test]
    fn options_of_other_tools_are_known() {
        for (words, hint) in OPTIONS {
            for word in words.iter().filter(|word| **word != "--add") {
                let text = said(&format!("promote a b {word}"));
                assert!(text.starts_with(&format!("error: there is no option `{word}` here; {hint}")), "{text}");
                assert!(text.contains("Usage: "), "{text}");
            }
        }
        let text = said("promote a b --authfile=x");
        assert!(text.contains("`--authfile` here; write --auth-dir"), "{text}");
        for wrong in ["promote a b --no-such", "promote a b --aut"] {
            assert!(!said(wrong).contains("to pass"), "{}", said(wrong));
        }
        assert!(
            said("append a reg/b:1").contains("`reg/b:1` is one argument too many; pass the destination with `--to")
        );
    }

    #[test]
    fn wrong_values_say_what_to_write() {
        for (words, expected) in [
            ("--jobs x", "--jobs: invalid value `x`; write a whole number"),
            (
                "--max-manifest-size 4MB",
                "--max-manifest-size: invalid value `4MB`; write a number of bytes, such as 4194304",
            ),
            ("--dry-run=maybe", "--dry-run: invalid value `maybe`; write true or false"),
            ("--quiet=perhaps", "--quiet: invalid value `perhaps`; write true or false"),
        ] {
            let text = said(&format!("promote a b {words}"));
            assert!(text.contains(expected), "{text}");
        }
        assert!(said("promote a b --jobs 4096").contains("1..=1024"), "{}", said("promote a b --jobs 4096"));
    }

    #[test]
    fn variables_that_nothing_reads_are_named() {
        let names = ["IMGSTEP_TAG", "IMGSTEP_TAGS", "IMGSTEP_STRICT", "PATH", "IMGSTEP_DIGEST", "IMGSTEP_BIN"];
        let strange = strange_variables(&Cli::command(), names.into_iter().map(str::to_owned));
        assert_eq!(
            strange,
            [
                "IMGSTEP_STRICT is set, and no option reads it",
                "IMGSTEP_TAG is set, and no option reads it; IMGSTEP_TAGS is one"
            ]
        );
    }
}
