//! Whole output, compared with the files in `tests/steps/snapshots`, so that wording is reviewed in diffs.
//! `UPDATE_SNAPSHOTS=1` writes the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Compares texts by name with the folder's `NAME.txt` files. A file without a text is stale.
#[track_caller]
pub fn assert_snapshots(folder: &str, texts: &BTreeMap<String, String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/steps/snapshots").join(folder);
    let wanted: BTreeSet<String> = texts.keys().map(|name| format!("{name}.txt")).collect();
    let stale: Vec<String> = files(&folder).difference(&wanted).cloned().collect();
    let differs = |(name, text): &(&String, &String)| {
        fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap_or_default() != **text
    };
    let changed: Vec<(&String, &String)> = texts.iter().filter(differs).collect();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some_and(|value| !value.is_empty()) {
        fs::create_dir_all(&folder).unwrap();
        for name in &stale {
            fs::remove_file(folder.join(name)).unwrap();
        }
        for (name, text) in &changed {
            fs::write(folder.join(format!("{name}.txt")), text).unwrap();
        }
        return;
    }
    assert!(stale.is_empty(), "{}: nothing prints {stale:?}; {HOW}", folder.display());
    if let Some((name, text)) = changed.first() {
        let known = fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap_or_default();
        let names: Vec<&String> = changed.iter().map(|(name, _)| *name).collect();
        panic!("{}: {names:?} differ; in {name}\n{}{HOW}", folder.display(), first_difference(&known, text));
    }
}

const HOW: &str = "run `UPDATE_SNAPSHOTS=1 cargo test --test steps snapshot`, and review the diff";

fn files(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn first_difference(known: &str, text: &str) -> String {
    let lines = text.lines().map(Some).chain(std::iter::repeat(None));
    let known = known.lines().map(Some).chain(std::iter::repeat(None));
    let differs = known.zip(lines).take(100_000).find(|(known, line)| known != line);
    let (known, line) = differs.unwrap_or((None, None));
    format!("- {}\n+ {}\n", known.unwrap_or_default(), line.unwrap_or_default())
}
