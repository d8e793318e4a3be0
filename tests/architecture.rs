//! The layers of `src` are those of the table in ARCHITECTURE.md: no more arrows, no fewer, and no circle.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What each part of `src` uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Files of a few functions that every part may use. They use nothing above `image`.
const GROUND: [&str; 8] = ["atomic_file", "error", "exit_status", "lock", "mask", "signals", "text", "time"];
/// What is no part: the crate's root, and functions for the fuzzer.
const LEFT_OUT: [&str; 3] = ["lib", "main", "fuzzing"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The table's rows: `| src/NAME | … | uses |`.
fn table() -> Uses {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `src/"));
    rows.map(|row| {
        let name = row.split('`').next().unwrap().trim_end_matches(".rs").to_owned();
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let uses = cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (name, uses)
    })
    .collect()
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// A file's code without its unit tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let end = text.match_indices("#[cfg(test)]\n").map(|(at, _)| at);
    let end = end.chain(text.match_indices("#[cfg(all(test").map(|(at, _)| at));
    let is_module =
        |at: &usize| text[*at..].lines().nth(1).is_some_and(|line| line.contains("mod ") && line.ends_with('{'));
    let end = end.filter(is_module).min().unwrap_or(text.len());
    let lines = text[..end].lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// What the code uses, by `crate::NAME`.
fn actual() -> Uses {
    let src = root().join("src");
    let mut files = Vec::new();
    files_below(&src, &mut files);
    let mut uses = Uses::new();
    for file in files {
        let part = file.strip_prefix(&src).unwrap().iter().next().unwrap().to_str().unwrap();
        let part = part.trim_end_matches(".rs");
        let text = code(&file);
        assert!(!text.contains("crate::{"), "{}: write a `use crate::…` for each part", file.display());
        let names = text.split("crate::").skip(1).map(|rest| {
            let end = rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_').unwrap_or(rest.len());
            rest[..end].to_owned()
        });
        // `crate::Error` names no part.
        let names = names.filter(|name| !name.is_empty() && name != part);
        uses.entry(part.to_owned()).or_default().extend(names);
    }
    uses.retain(|part, _| !LEFT_OUT.contains(&part.as_str()));
    uses
}

#[test]
fn each_part_uses_what_the_table_says() {
    let table = table();
    for (part, uses) in actual() {
        let parts: BTreeSet<String> = uses.into_iter().filter(|name| !GROUND.contains(&name.as_str())).collect();
        if GROUND.contains(&part.as_str()) {
            assert!(parts.iter().all(|name| name == "image"), "src/{part} is ground floor and uses {parts:?}");
            continue;
        }
        let expected = table.get(&part).unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for src/{part}"));
        let more: Vec<_> = parts.difference(expected).collect();
        let fewer: Vec<_> = expected.difference(&parts).collect();
        assert!(more.is_empty(), "src/{part} must not use {more:?}; the table of ARCHITECTURE.md allows {expected:?}");
        assert!(fewer.is_empty(), "src/{part} doesn't use {fewer:?}; take it out of the table of ARCHITECTURE.md");
    }
}

#[test]
fn the_table_has_no_circle() {
    let mut table = table();
    while let Some(lowest) = table.iter().find(|(_, uses)| uses.is_empty()).map(|(part, _)| part.clone()) {
        table.remove(&lowest);
        for uses in table.values_mut() {
            uses.remove(&lowest);
        }
    }
    assert!(table.is_empty(), "a circle: {table:?}");
}
