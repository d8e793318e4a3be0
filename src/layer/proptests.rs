//! Random trees become layers, and GNU tar makes trees of them again: the same ones, whatever is in them.

use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use proptest::collection::vec;
use proptest::prelude::*;

use super::compress::Compression;
use super::recipe::{BuildOptions, LayerSource, Recipe};
use super::tests::{Folder, files};

#[path = "../../tests/steps/support/tree.rs"]
mod tree;

/// The time that all entries get.
const MTIME: u32 = 1_234_567_890;
/// What is compressed at once, by gzip and by zstd.
const BLOCKS: [usize; 2] = [1 << 20, 2 << 20];

/// Something to be put into a tree. Numbers choose among what is there already.
#[derive(Debug, Clone)]
enum Wish {
    Folder { parent: usize, name: Vec<u8>, mode: u32 },
    File { parent: usize, name: Vec<u8>, mode: u32, size: usize, seed: u64 },
    Symlink { parent: usize, name: Vec<u8>, target: Vec<u8> },
    Hardlink { parent: usize, name: Vec<u8>, file: usize },
}

/// Names that sort strangely, that a header has no room for, that are no text.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let close = vec(prop::sample::select(b"ab-./ ~\\\n\"".to_vec()), 1..4);
    let any = vec(1_u8..=255, 1..20);
    let long =
        (prop::sample::select(vec![b'x', b'\xff']), 90_usize..=255).prop_map(|(byte, length)| vec![byte; length]);
    let edge = (98_usize..103).prop_map(|length| vec![b'e'; length]);
    prop_oneof![5 => close, 3 => any, 2 => long, 1 => edge].prop_map(|mut name| {
        name.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b'_');
        if name.starts_with(b".") {
            name.insert(0, b'n');
            name.truncate(255);
        }
        name
    })
}

fn size() -> impl Strategy<Value = usize> {
    let blocks = (prop::sample::select(BLOCKS.to_vec()), 0_usize..1030).prop_map(|(block, over)| block + over - 515);
    // The first block of a layer ends earlier than that: there is a header before.
    prop_oneof![4 => 0_usize..3, 4 => 510_usize..515, 3 => 0_usize..5000, 1 => blocks]
}

fn wish() -> impl Strategy<Value = Wish> {
    let target = prop_oneof![vec(1_u8..=255, 1..30), vec(Just(b't'), 99..103), vec(Just(b'\xfe'), 103..300)];
    let mode = 0_u32..0o10000;
    let place = || (any::<usize>(), name());
    prop_oneof![
        3 => (place(), mode.clone()).prop_map(|((parent, name), mode)| Wish::Folder { parent, name, mode }),
        5 => (place(), mode, size(), any::<u64>())
            .prop_map(|((parent, name), mode, size, seed)| Wish::File { parent, name, mode, size, seed }),
        2 => (place(), target).prop_map(|((parent, name), target)| Wish::Symlink { parent, name, target }),
        2 => (place(), any::<usize>()).prop_map(|((parent, name), file)| Wish::Hardlink { parent, name, file }),
    ]
}

/// Makes a tree below `root`; what would take a place that is taken is left out.
fn grow(root: &Path, wishes: &[Wish]) {
    let (mut folders, mut found, mut modes) = (vec![root.to_owned()], Vec::new(), Vec::new());
    for wish in wishes {
        let (Wish::Folder { parent, name, .. }
        | Wish::File { parent, name, .. }
        | Wish::Symlink { parent, name, .. }
        | Wish::Hardlink { parent, name, .. }) = wish;
        let path = folders[parent % folders.len()].join(std::ffi::OsStr::from_bytes(name));
        if path.as_os_str().len() > 3000 || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        match wish {
            Wish::Folder { mode, .. } => {
                fs::create_dir(&path).unwrap();
                modes.push((path.clone(), mode | 0o700));
                folders.push(path);
            }
            Wish::File { mode, size, seed, .. } => {
                let mut bytes = vec![0; *size];
                fastrand::Rng::with_seed(*seed).fill(&mut bytes);
                fs::write(&path, bytes).unwrap();
                modes.push((path.clone(), mode | 0o400));
                found.push(path);
            }
            Wish::Symlink { target, .. } => symlink(std::ffi::OsStr::from_bytes(target), &path).unwrap(),
            Wish::Hardlink { file, .. } if !found.is_empty() => {
                fs::hard_link(&found[file % found.len()], &path).unwrap();
            }
            Wish::Hardlink { .. } => {}
        }
    }
    for (path, mode) in modes {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// A layer of `folder` below `/x`.
fn made(folder: &Path, options: &str, compression: Compression, threads: usize) -> (Vec<u8>, String) {
    let spec = files(&format!("{}=/x{options}", folder.display()));
    let recipe = Recipe {
        source: LayerSource::Files(Box::new(spec)),
        compression,
        mtime: u64::from(MTIME),
        windows: false,
        threads,
    };
    let made = recipe.make(&mut BuildOptions { keep: u64::MAX, with_names: false, overflow: &mut |_| false }).unwrap();
    (made.kept.unwrap().concat(), made.diff_id.to_string())
}

/// Runs GNU tar with these words and an archive.
fn tar(archive: &Path, words: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").args(words).arg("-f").arg(archive).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The paths in the order of the archive.
fn listed(archive: &Path) -> Vec<Vec<u8>> {
    let lines = tar(archive, &["-t", "--quoting-style=escape"]);
    let lines = lines.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n');
    lines.map(|line| plain(line.strip_suffix(b"/").unwrap_or(line))).collect()
}

/// What `--quoting-style=escape` made of a name: C's escapes, octal where there is no shorter one.
fn plain(quoted: &[u8]) -> Vec<u8> {
    let (mut name, mut rest) = (Vec::new(), quoted);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            name.push(*byte);
            continue;
        }
        let octal = after.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        let simple = b"abtnvfr".iter().position(|letter| after[0] == *letter).map(|at| b"\x07\x08\t\n\x0b\x0c\r"[at]);
        name.push(octal.or(simple).unwrap_or(after[0]));
        rest = &after[if octal.is_some() { 3 } else { 1 }..];
    }
    name
}

/// The order of entries: as paths sort when the slash counts less than any byte, which puts folders before what is in them.
fn ordered(tree: &tree::Tree) -> Vec<Vec<u8>> {
    let mut paths: Vec<Vec<u8>> = tree.keys().cloned().collect();
    paths.sort_by(|one, other| one.split(|byte| *byte == b'/').cmp(other.split(|byte| *byte == b'/')));
    paths
}

fn check(wishes: &[Wish], keep_modes: bool) {
    let (folder, out) = (Folder::new(), Folder::new());
    grow(&folder.0, wishes);
    let options = if keep_modes { ",mode=keep" } else { "" };
    let (archive, diff_id) = made(&folder.0, options, Compression::None, 1);
    for how in [Compression::default(), Compression::Zstd(1)] {
        let one = made(&folder.0, options, how, 1);
        assert!(one == made(&folder.0, options, how, 3), "threads decide on the bytes of {how:?}");
        assert_eq!(one.1, diff_id, "{how:?}");
        let packed = out.write("packed", &one.0);
        assert_eq!(tar(&packed, &["-t"]), tar(&out.write("plain", &archive), &["-t"]), "{how:?}");
    }
    let archive = out.write("plain", &archive);
    fs::create_dir(out.0.join("tree")).unwrap();
    let into = out.0.join("tree").into_os_string().into_vec();
    tar(
        &archive,
        &["-x", "-p", "--numeric-owner", "--delay-directory-restore", "-C", &String::from_utf8(into).unwrap()],
    );
    let unpacked = tree::read(&out.0.join("tree"));
    let (root, found): (Vec<_>, Vec<_>) = unpacked.into_iter().partition(|(path, _)| path == b"x");
    let inside = |path: Vec<u8>| path.strip_prefix(b"x/").map(<[u8]>::to_vec).unwrap();
    let found = found.into_iter().map(|(path, mut node)| {
        node.same_as = inside(node.same_as);
        (inside(path), node)
    });
    let found: tree::Tree = found.collect();
    // Only root may give files to somebody else; others get their own.
    let owner = root[0].1.owner;
    let expected = tree::as_promised(tree::read(&folder.0), keep_modes, owner, i64::from(MTIME));
    let differences = tree::differences(&expected, &found);
    assert!(differences.is_empty(), "{differences:#?}");
    let mut order = listed(&archive);
    assert_eq!(order.remove(0), b"x");
    let order: Vec<Vec<u8>> = order.into_iter().map(inside).collect();
    assert!(order == ordered(&expected), "{order:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_into_a_layer_comes_out_of_it(wishes in vec(wish(), 1..25), keep_modes in any::<bool>()) {
        check(&wishes, keep_modes);
    }
}
