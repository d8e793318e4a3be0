//! Layers of real folders: what is in them, and that nothing but the input decides their bytes.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::compress::Compression;
use super::recipe::{BuildOptions, BuiltLayer, LayerSource, Recipe, TarOrigin};
use super::tar_writer::{self, EntryType, Header};
use super::walk::{self, EntryContent, FileTree, LayerEntry};
use crate::image::digest::Digest;
use crate::image::format::LayerCompression;

pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("imgstep-layer-{:x}", fastrand::u64(..)));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
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

/// A layer on scratch.
pub fn files(spec: &str) -> FileTree {
    FileTree {
        spec: spec.parse().unwrap(),
        exclude: Vec::new(),
        logins: super::credential_paths::CredentialPaths::default(),
        is_scratch: true,
        is_windows: false,
    }
}

fn boxed(spec: &str) -> Box<FileTree> {
    Box::new(files(spec))
}

/// A layer on something.
fn on_base(spec: &str) -> FileTree {
    FileTree { is_scratch: false, ..files(spec) }
}

fn recipe(source: LayerSource, threads: usize) -> Recipe {
    Recipe { source, compression: Compression::default(), mtime: 0, windows: false, threads }
}

fn make(recipe: &Recipe, keep: u64) -> crate::Result<BuiltLayer> {
    recipe.make(&mut BuildOptions { keep, with_names: false, overflow: &mut |_| false })
}

fn made(spec: &str) -> BuiltLayer {
    make(&recipe(LayerSource::Files(boxed(spec)), 2), 1 << 30).unwrap()
}

fn entries(files: &FileTree) -> crate::Result<Vec<LayerEntry>> {
    let mut found = Vec::new();
    walk::walk(files, &mut |entry| {
        found.push(entry);
        Ok(())
    })?;
    Ok(found)
}

fn paths(files: &FileTree) -> Vec<String> {
    let entries = entries(files).unwrap();
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
    assert_eq!(layer.diff_id.as_str(), "sha256:6b51271e263ecf09097448cf55b52aa95b778b76a952bf4315157a32058933bd");
    assert_eq!(layer.digest.as_str(), "sha256:e772778a6b5146c3e9bf76ff3df567f0afea2058d416a910c0e63e93d7e376e2");
}

#[test]
fn neither_order_nor_times_nor_threads_decide() {
    let (one, other) = (everything(false), everything(true));
    let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::open(other.0.join("a")).unwrap().set_modified(past).unwrap();
    fs::set_permissions(other.0.join("b.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let first = made(&one.0.display().to_string());
    for threads in [1, 2, 5] {
        let source = LayerSource::Files(boxed(&other.0.display().to_string()));
        let again = make(&recipe(source, threads), 0).unwrap();
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
fn a_file_of_more_than_8_gib_is_found_whole_by_gnu_tar() {
    const SIZE: u64 = 9 << 30;
    let folder = Folder::new();
    fs::File::create(folder.0.join("large")).unwrap().set_len(SIZE).unwrap();
    let recipe = Recipe {
        compression: Compression::None,
        ..recipe(LayerSource::Files(boxed(&folder.0.join("large").display().to_string())), 1)
    };
    // All but the beginning is zeros, which take no time where nobody writes them.
    let mut beginning = None;
    let stopped = recipe.stream_to(|piece| {
        beginning.get_or_insert(piece);
        Err(crate::Error::bug("enough"))
    });
    assert_eq!(stopped.unwrap_err().to_string(), "enough");
    let archive = folder.write("archive", &beginning.unwrap());
    fs::File::options().write(true).open(&archive).unwrap().set_len(3 * 512 + SIZE + 1024).unwrap();
    let output = std::process::Command::new("tar").arg("-tvf").arg(&archive).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && listed.contains(&format!(" {SIZE} ")), "{listed}");
}

#[test]
fn entries_and_their_parents() {
    let folder = Folder::new();
    folder.write("usr/bin/app", b"x");
    folder.write("srv/site/index", b"x");
    let plain = folder.0.display().to_string();
    assert_eq!(paths(&files(&plain)), ["srv", "srv/site", "srv/site/index", "usr", "usr/bin", "usr/bin/app"]);
    // What a base has is written as it has it there; what may be a link is not put in its place.
    assert_eq!(paths(&on_base(&plain)), ["srv", "srv/site", "srv/site/index", "usr", "usr/bin", "usr/bin/app"]);
    let file = folder.0.join("usr/bin/app").display().to_string();
    assert_eq!(paths(&on_base(&format!("{file}=/opt/x/y"))), ["opt", "opt/x", "opt/x/y"]);
    assert_eq!(paths(&on_base(&format!("{file}=/opt/x/"))), ["opt", "opt/x", "opt/x/app"]);
    for link in ["bin", "lib64", "usr/sbin", "var/run"] {
        let path = format!("{link}/app");
        let found = paths(&on_base(&format!("{file}=/{path}")));
        assert!(!found.contains(&link.to_owned()) && found.contains(&path), "{found:?}");
    }
    let modes = |dest: &str, options: &str| -> Vec<(u32, (u64, u64))> {
        let found = entries(&on_base(&format!("{file}=/{dest}{options}"))).unwrap();
        found.iter().map(|entry| (entry.mode, entry.owner)).collect()
    };
    let options = ",mode=0600,owner=7:8";
    assert_eq!(modes("tmp/f", options), [(0o1777, (0, 0)), (0o600, (7, 8))]);
    assert_eq!(modes("root/f", options), [(0o700, (0, 0)), (0o600, (7, 8))]);
    fs::set_permissions(folder.0.join("srv"), fs::Permissions::from_mode(0o700)).unwrap();
    let kept = entries(&on_base(&format!("{plain},mode=keep,owner=7:8"))).unwrap();
    assert_eq!((kept[0].mode, kept[0].owner), (0o755, (0, 0)), "the base's own");
    assert_eq!(paths(&on_base(&file)), ["app"]);
}

#[test]
fn modes_and_owners() {
    let folder = Folder::new();
    let file = folder.write("f", b"x");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4750)).unwrap();
    let only = |options: &str| entries(&files(&format!("{}=/f{options}", file.display()))).unwrap().remove(0);
    assert_eq!((only("").mode, only("").owner), (0o755, (0, 0)));
    assert_eq!(only(",mode=keep").mode, 0o4750);
    assert_eq!((only(",mode=0400,owner=7:8").mode, only(",owner=7:8").owner), (0o400, (7, 8)));
}

#[test]
fn what_stays_out() {
    let folder = everything(false);
    folder.write(walk_ignore(), b"b/\n*.sh\n");
    let exclude = vec!["n".to_owned(), "large".to_owned()];
    let found = paths(&FileTree { exclude, ..files(&folder.0.display().to_string()) });
    assert_eq!(found, ["a", "b-side", "b.txt", "empty", "not-\u{fffd}-utf8", "same-as-a", "z-last"]);
}

fn walk_ignore() -> &'static str {
    super::ignore::IGNORE_FILE
}

#[test]
fn what_no_layer_can_hold_is_refused_by_name() {
    let refused = |folder: &Folder| entries(&files(&folder.0.display().to_string())).unwrap_err().to_string();
    let folder = Folder::new();
    let _socket = std::os::unix::net::UnixListener::bind(folder.0.join("s")).unwrap();
    assert!(refused(&folder).contains("/s is a socket"), "{}", refused(&folder));
    let folder = Folder::new();
    folder.write(".wh.x", b"");
    assert!(refused(&folder).contains(".wh.x is named like a whiteout"));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let folder = Folder::new();
    let file = folder.write("f", &[1; 1000]);
    // As the walk found it: the file changes before it is read.
    let found = entries(&files(&folder.0.display().to_string())).unwrap();
    let recipe = recipe(LayerSource::Entries(found), 1);
    fs::write(&file, [1; 1001]).unwrap();
    assert!(make(&recipe, 0).unwrap_err().to_string().contains("f grew while it was read; it had 1000 bytes"));
    fs::write(&file, [1; 999]).unwrap();
    assert!(make(&recipe, 0).unwrap_err().to_string().contains("shrank"));
    // What was opened stays what it was, whatever takes its name.
    fs::write(&file, [1; 1000]).unwrap();
    fs::remove_file(&file).unwrap();
    symlink("/dev/zero", &file).unwrap();
    assert!(make(&recipe, 0).is_ok());
}

/// The names in a tar that nobody compressed.
fn names_in(recipe: &Recipe) -> Vec<String> {
    let plain = Recipe { compression: Compression::None, ..recipe.clone() };
    let bytes = make(&plain, 1 << 20).unwrap().kept.unwrap().concat();
    let headers = bytes.chunks(512).filter(|block| block.len() == 512 && &block[257..262] == b"ustar");
    let name =
        |block: &[u8]| String::from_utf8_lossy(block[..100].split(|byte| *byte == 0).next().unwrap()).into_owned();
    headers.map(name).filter(|name| name != "PaxHeaders/entry").collect()
}

#[test]
fn deletions_and_windows() {
    let whiteouts = walk::whiteouts(&["etc/motd".to_owned(), "app".to_owned()]);
    assert!(whiteouts.iter().all(|entry| entry.content == EntryContent::Bytes(Vec::new())));
    let recipe = recipe(LayerSource::Entries(whiteouts), 1);
    assert_eq!(names_in(&recipe), [".wh.app", "etc/.wh.motd"]);
    let windows = Recipe { windows: true, ..recipe };
    assert_eq!(names_in(&windows), ["Files/", "Files/.wh.app", "Files/etc/.wh.motd", "Hives/"]);
}

#[test]
fn folders_stand_before_what_is_in_them_and_hard_links_behind_what_they_name() {
    let folder = Folder::new();
    for name in ["a/z", "a-b", "a.c", "b/a"] {
        folder.write(name, b"x");
    }
    fs::hard_link(folder.0.join("b/a"), folder.0.join("a/y")).unwrap();
    let found = entries(&files(&folder.0.display().to_string())).unwrap();
    let paths: Vec<_> = found.iter().map(|entry| String::from_utf8_lossy(&entry.path)).collect();
    assert_eq!(paths, ["a", "a/y", "a/z", "a-b", "a.c", "b", "b/a"]);
    assert_eq!(found[6].content, EntryContent::Hardlink(b"a/y".to_vec()));
}

#[test]
fn what_is_too_large_to_keep_is_handed_on_from_its_first_byte() {
    let folder = Folder::new();
    let mut noise = vec![0; 5 << 20];
    fastrand::Rng::with_seed(3).fill(&mut noise);
    folder.write("f", &noise);
    let recipe = recipe(LayerSource::Files(boxed(&folder.0.display().to_string())), 2);
    let whole = make(&recipe, 1 << 30).unwrap().kept.unwrap().concat();
    let mut taken = Vec::new();
    let mut overflow = |piece: bytes::Bytes| {
        taken.extend_from_slice(&piece);
        true
    };
    let made = recipe.make(&mut BuildOptions { keep: 2 << 20, with_names: false, overflow: &mut overflow }).unwrap();
    assert!(made.kept.is_none());
    assert!(taken == whole);
    let mut calls = 0;
    let mut unwilling = |_| {
        calls += 1;
        calls < 2
    };
    recipe.make(&mut BuildOptions { keep: 0, with_names: false, overflow: &mut unwilling }).unwrap();
    assert_eq!(calls, 2, "nothing more is offered to who takes no more");
}

fn tar(path: &Path) -> crate::Result<BuiltLayer> {
    let source = LayerSource::Tar(TarOrigin::new(path));
    make(&Recipe { compression: Compression::None, ..recipe(source, 1) }, 1 << 20)
}

#[test]
fn tars_of_others_go_on_as_they_are() {
    let folder = everything(false);
    let spec = folder.0.display().to_string();
    for (how, name, packing) in [
        (Compression::Gzip(6), "l.tar.gz", LayerCompression::Gzip),
        (Compression::Zstd(3), "l.tar.zst", LayerCompression::Zstd),
    ] {
        let layer = Recipe { compression: how, ..recipe(LayerSource::Files(boxed(&spec)), 2) };
        let BuiltLayer { digest, diff_id, kept, .. } = make(&layer, 1 << 30).unwrap();
        let out = Folder::new();
        let again = tar(&out.write(name, &kept.unwrap().concat())).unwrap();
        assert_eq!((again.digest, again.diff_id, again.packing), (digest, diff_id, packing));
    }
}

#[test]
fn tars_that_lie_are_refused() {
    let folder = Folder::new();
    folder.write("f", &[9; 2000]);
    let source = LayerSource::Files(boxed(&folder.0.display().to_string()));
    let whole = Recipe { compression: Compression::None, ..recipe(source, 1) };
    let bytes = make(&whole, 1 << 20).unwrap().kept.unwrap().concat();
    let out = Folder::new();
    let said = |bytes: &[u8]| match tar(&out.write("t.tar", bytes)) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    assert_eq!(said(&bytes), "");
    assert!(said(&bytes[..1500]).contains("ends in the middle of f"));
    assert!(said(b"no tar at all").contains("it is not a tar"));
    let mut shorter = bytes.clone();
    shorter.drain(512..2048);
    assert!(said(&shorter).contains("ends in the middle of f"));
    // The header says less than a block: what follows is no header.
    let mut lying = bytes.clone();
    lying[124..135].copy_from_slice(b"00000000777");
    let sum: u64 = lying[..512].iter().map(|byte| u64::from(*byte)).sum::<u64>()
        - lying[148..156].iter().map(|byte| u64::from(*byte)).sum::<u64>()
        + 8 * 32;
    lying[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    assert!(said(&lying).contains("sizes in it are wrong"));
    assert!(said(b"\x1f\x8b\x08\x00garbage").contains("gzip:"));
    assert!(said(b"\x28\xb5\x2f\xfdgarbage").contains("zstd:"));
    let upward =
        Header { path: b"../x", kind: EntryType::File, mode: 0o644, owner: (0, 0), size: 0, mtime: 0, windows: false };
    assert!(said(&tar_writer::header(&upward)).contains("../x has a `..` in it, and could lead out of the image"));
    let link = |kind| tar_writer::header(&Header { path: b"x", kind, ..upward });
    assert!(said(&link(EntryType::Hardlink(b"a/../../y"))).contains("x is a link to a path with a `..`"));
    assert_eq!(said(&link(EntryType::Symlink(b"../y"))), "", "followed within the image");
    let apart = [&bytes[..bytes.len() - 1024], &[0; 512], &bytes].concat();
    assert!(said(&apart).contains("a single zero block before its end"));
    assert_eq!(said(&bytes[..bytes.len() - 512]), "", "one is enough at the end");
}

/// As GNU tar writes it: in its old format, whose maps may be longer than a header, and in PAX.
#[test]
fn sparse_tars_of_others_are_read_to_their_end() {
    let folder = Folder::new();
    let file = fs::File::create(folder.0.join("holes")).unwrap();
    for hole in 0..60 {
        file.write_all_at(&[b'x'; 4096], hole << 20).unwrap();
    }
    folder.write("last", b"x");
    for words in [&["--format=gnu"][..], &["--format=posix"], &["--format=posix", "--sparse-version=0.1"]] {
        let path = folder.0.join("t.tar");
        let mut command = std::process::Command::new("tar");
        command.args(["--sparse", "-cf"]).arg(&path).args(words).arg("-C").arg(&folder.0).args(["holes", "last"]);
        assert!(command.status().unwrap().success());
        assert!(fs::metadata(&path).unwrap().len() < 1 << 20, "a tar that is not sparse proves nothing");
        let recipe = recipe(LayerSource::Tar(TarOrigin::new(&path)), 1);
        let made = recipe.make(&mut BuildOptions { keep: 0, with_names: true, overflow: &mut |_| false }).unwrap();
        let names = made.findings.names.unwrap();
        assert!(names.have(b"/holes") && names.have(b"/last"), "{words:?}");
    }
}
