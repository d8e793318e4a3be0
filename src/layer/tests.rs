//! Layers of real folders: what is in them, and that nothing but the input decides their bytes.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::compress::Compression;
use super::make::{Made, Recipe, Source};
use super::tarfile::Form;
use super::walk::{self, Content, Surroundings};
use crate::image::digest::Digest;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("imgstep-layer-{:x}", fastrand::u64(..)));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SURROUNDINGS: Surroundings<'_> = Surroundings { exclude: &[], is_scratch: true, is_windows: false };

fn recipe(spec: &str, surroundings: &Surroundings<'_>, threads: usize) -> Recipe {
    let entries = walk::entries(&spec.parse().unwrap(), surroundings).unwrap();
    let source = Source::Entries(entries);
    Recipe { source, compression: Compression::default(), mtime: 0, windows: false, threads }
}

fn made(spec: &str) -> Made {
    recipe(spec, &SURROUNDINGS, 2).make(1 << 30).unwrap()
}

fn paths(spec: &str, surroundings: &Surroundings<'_>) -> Vec<String> {
    let entries = walk::entries(&spec.parse().unwrap(), surroundings).unwrap();
    entries.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect()
}

/// A folder with everything in it, its files made in this order.
fn everything(reversed: bool) -> Folder {
    let folder = Folder::new();
    let mut names = vec!["b/c/deep", "a", "z-last", "b-side", "b.txt"];
    names.push("n/a-name-that-is-much-longer-than-a-header-of-tar-has-room-for/a-name-that-is-much-longer-than-a-header-of-tar-has-room-for");
    if reversed {
        names.reverse();
    }
    for name in names {
        folder.write(name, name.as_bytes());
    }
    folder.write("large", &vec![7; 3_000_000]);
    fs::set_permissions(folder.write("run.sh", b"#!/bin/sh\n"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(folder.0.join("empty")).unwrap();
    symlink("../a", folder.0.join("b/link")).unwrap();
    fs::hard_link(folder.0.join("a"), folder.0.join("same-as-a")).unwrap();
    fs::write(folder.0.join(std::ffi::OsStr::from_bytes(b"not-\xff-utf8")), b"x").unwrap();
    folder
}

/// If this fails, layers get other digests than they had: that is a breaking change.
#[test]
fn golden_layer() {
    let folder = everything(false);
    let spec = format!("{}=/opt/app", folder.0.display());
    let layer = made(&spec);
    assert_eq!(layer.diff_id.as_str(), "sha256:364e4073f0c3e9a8bcb23b5e55f2105f1f1ba0754fecd53bbf55941ab94f2d09");
    assert_eq!(layer.digest.as_str(), "sha256:f7b824787f49a5124abe946eb6b1ff82208ef079fc352703f99ccb0988ba73e4");
}

#[test]
fn neither_order_nor_times_nor_threads_decide() {
    let (one, other) = (everything(false), everything(true));
    let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(other.0.join("a")).unwrap().set_modified(past).unwrap();
    fs::set_permissions(other.0.join("b.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let first = made(&one.0.display().to_string());
    for threads in [1, 2, 5] {
        let again = recipe(&other.0.display().to_string(), &SURROUNDINGS, threads).make(0).unwrap();
        assert_eq!((&again.digest, &again.diff_id, again.size), (&first.digest, &first.diff_id, first.size));
        assert!(again.kept.is_none());
    }
    let kept = first.kept.unwrap().concat();
    assert_eq!(Digest::of(&kept), first.digest);
}

#[test]
fn a_sparse_file_is_as_any_other() {
    let (sparse, dense) = (Folder::new(), Folder::new());
    fs::File::create(sparse.0.join("f")).unwrap().set_len(5_000_000).unwrap();
    dense.write("f", &vec![0; 5_000_000]);
    assert_eq!(made(&sparse.0.display().to_string()).digest, made(&dense.0.display().to_string()).digest);
}

#[test]
fn entries_and_their_parents() {
    let folder = Folder::new();
    folder.write("usr/bin/app", b"x");
    folder.write("srv/site/index", b"x");
    let plain = folder.0.display().to_string();
    let base = Surroundings { is_scratch: false, ..SURROUNDINGS };
    assert_eq!(paths(&plain, &SURROUNDINGS), ["srv", "srv/site", "srv/site/index", "usr", "usr/bin", "usr/bin/app"]);
    // What every base has, perhaps as a link, is not put in its place.
    assert_eq!(paths(&plain, &base), ["srv/site", "srv/site/index", "usr/bin/app"]);
    let file = folder.0.join("usr/bin/app").display().to_string();
    assert_eq!(paths(&format!("{file}=/opt/x/y"), &base), ["opt/x", "opt/x/y"]);
    assert_eq!(paths(&format!("{file}=/opt/x/"), &base), ["opt/x", "opt/x/app"]);
    assert_eq!(paths(&file, &base), ["app"]);
}

#[test]
fn modes_and_owners() {
    let folder = Folder::new();
    let file = folder.write("f", b"x");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4750)).unwrap();
    let only = |options: &str| {
        let spec = format!("{}=/f{options}", file.display());
        walk::entries(&spec.parse().unwrap(), &SURROUNDINGS).unwrap().remove(0)
    };
    assert_eq!((only("").mode, only("").owner), (0o755, (0, 0)));
    assert_eq!(only(",mode=keep").mode, 0o4750);
    assert_eq!((only(",mode=0400,owner=7:8").mode, only(",owner=7:8").owner), (0o400, (7, 8)));
}

#[test]
fn what_stays_out() {
    let folder = everything(false);
    folder.write(walk_ignore(), b"b/\n*.sh\n");
    let exclude = ["n".to_owned(), "large".to_owned()];
    let surroundings = Surroundings { exclude: &exclude, ..SURROUNDINGS };
    let found = paths(&folder.0.display().to_string(), &surroundings);
    assert_eq!(found, ["a", "b-side", "b.txt", "empty", "not-\u{fffd}-utf8", "same-as-a", "z-last"]);
}

fn walk_ignore() -> &'static str {
    super::ignore::IGNORE_FILE
}

#[test]
fn what_no_layer_can_hold_is_refused_by_name() {
    let refused = |folder: &Folder| {
        let spec = folder.0.display().to_string().parse().unwrap();
        walk::entries(&spec, &SURROUNDINGS).unwrap_err().to_string()
    };
    let folder = Folder::new();
    let _socket = std::os::unix::net::UnixListener::bind(folder.0.join("s")).unwrap();
    assert!(refused(&folder).contains("/s is a socket"), "{}", refused(&folder));
    let folder = Folder::new();
    folder.write(".wh.x", b"");
    assert!(refused(&folder).contains(".wh.x is named like a mark of deletion"));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let folder = Folder::new();
    let file = folder.write("f", &[1; 1000]);
    let recipe = recipe(&folder.0.display().to_string(), &SURROUNDINGS, 1);
    fs::write(&file, [1; 1001]).unwrap();
    assert!(recipe.make(0).unwrap_err().to_string().contains("f grew while it was read; it had 1000 bytes"));
    fs::write(&file, [1; 999]).unwrap();
    assert!(recipe.make(0).unwrap_err().to_string().contains("shrank"));
    fs::remove_file(&file).unwrap();
    assert!(recipe.make(0).is_err());
}

#[test]
fn deletions_and_windows() {
    let whiteouts = walk::whiteouts(&["etc/motd".to_owned(), "app".to_owned()]);
    let names: Vec<_> = whiteouts.iter().map(|entry| String::from_utf8_lossy(&entry.path)).collect();
    assert_eq!(names, [".wh.app", "etc/.wh.motd"]);
    assert!(whiteouts.iter().all(|entry| entry.content == Content::Empty));
    let windows = walk::for_windows(whiteouts);
    let names: Vec<_> = windows.iter().map(|entry| String::from_utf8_lossy(&entry.path)).collect();
    assert_eq!(names, ["Files", "Files/.wh.app", "Files/etc/.wh.motd", "Hives"]);
}

fn tar(path: &Path, form: Form) -> crate::Result<Made> {
    let source = Source::Tar(path.to_owned(), form);
    Recipe { source, compression: Compression::None, mtime: 0, windows: false, threads: 1 }.make(1 << 20)
}

#[test]
fn tars_of_others_go_on_as_they_are() {
    let folder = everything(false);
    let Made { digest, diff_id, kept, .. } = made(&folder.0.display().to_string());
    let out = Folder::new();
    let packed = out.write("l.tar.gz", &kept.unwrap().concat());
    let again = tar(&packed, super::tarfile::form(&packed).unwrap()).unwrap();
    assert_eq!((again.digest, again.diff_id, again.is_gzip), (digest, diff_id, true));
}

#[test]
fn tars_that_lie_are_refused() {
    let folder = Folder::new();
    folder.write("f", &[9; 2000]);
    let source =
        Source::Entries(walk::entries(&folder.0.display().to_string().parse().unwrap(), &SURROUNDINGS).unwrap());
    let whole = Recipe { source, compression: Compression::None, mtime: 0, windows: false, threads: 1 };
    let bytes = whole.make(1 << 20).unwrap().kept.unwrap().concat();
    let out = Folder::new();
    let said = |bytes: &[u8], form| match tar(&out.write("t.tar", bytes), form) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    assert_eq!(said(&bytes, Form::Plain), "");
    assert!(said(&bytes[..1500], Form::Plain).contains("ends in the middle of f"));
    assert!(said(b"no tar at all", Form::Plain).contains("it is not a tar"));
    let mut shorter = bytes.clone();
    shorter.drain(512..2048);
    assert!(said(&shorter, Form::Plain).contains("ends in the middle of f"));
    // The header says less than a block: what follows is no header.
    let mut lying = bytes.clone();
    lying[124..135].copy_from_slice(b"00000000777");
    let sum: u64 = lying[..512].iter().map(|byte| u64::from(*byte)).sum::<u64>()
        - lying[148..156].iter().map(|byte| u64::from(*byte)).sum::<u64>()
        + 8 * 32;
    lying[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    assert!(said(&lying, Form::Plain).contains("sizes in it are wrong"));
    assert!(said(b"\x1f\x8b\x08\x00garbage", Form::Gzip).contains("gzip:"));
    assert!(
        super::tarfile::form(&out.write("t.tar", b"\x28\xb5\x2f\xfd...")).unwrap_err().to_string().contains("zstd")
    );
    let upward = super::tarball::header(&super::tarball::Header {
        path: b"../x",
        kind: super::tarball::Kind::File,
        mode: 0o644,
        owner: (0, 0),
        size: 0,
        mtime: 0,
        windows: false,
    });
    assert!(said(&upward, Form::Plain).contains("lead out of the image"));
}
