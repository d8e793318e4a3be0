//! A file tree as data, to compare what was packed into a layer with what came out of it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Paths relative to the tree's root, and what is there.
pub type Tree = BTreeMap<Vec<u8>, Node>;

/// A folder, a file or a symbolic link.
#[derive(Clone, PartialEq, Eq)]
pub struct Node {
    pub content: Content,
    /// The permission bits; 0777 for a link, where they have no meaning.
    pub mode: u32,
    pub owner: (u32, u32),
    /// Seconds since 1970.
    pub mtime: i64,
    /// The first of all names of the same file (hard links).
    pub same_as: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    Folder,
    File(Vec<u8>),
    Symlink(Vec<u8>),
}

/// Everything below `root`.
pub fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    collect(root, b"", &mut tree);
    let mut first: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for (path, node) in &mut tree {
        // Until here the field held the inode, which identifies hard links.
        let name = first.entry(node.same_as.clone()).or_insert_with(|| path.clone());
        node.same_as.clone_from(name);
    }
    tree
}

fn collect(folder: &Path, inside: &[u8], tree: &mut Tree) {
    for child in fs::read_dir(folder).unwrap() {
        let child = child.unwrap();
        let (on_disk, name) = (child.path(), child.file_name());
        let path = if inside.is_empty() { name.as_bytes().to_vec() } else { [inside, b"/", name.as_bytes()].concat() };
        let found = fs::symlink_metadata(&on_disk).unwrap();
        let content = if found.is_dir() {
            collect(&on_disk, &path, tree);
            Content::Folder
        } else if found.is_symlink() {
            Content::Symlink(fs::read_link(&on_disk).unwrap().as_os_str().as_bytes().to_vec())
        } else {
            Content::File(fs::read(&on_disk).unwrap())
        };
        let mode = if found.is_symlink() { 0o777 } else { found.mode() & 0o7777 };
        let (owner, mtime) = ((found.uid(), found.gid()), found.mtime());
        let same_as = format!("{}:{}", found.dev(), found.ino()).into_bytes();
        tree.insert(path, Node { content, mode, owner, mtime, same_as });
    }
}

/// The tree that `append` promises: these owners and times, and modes as on disk or normalized.
pub fn as_promised(mut tree: Tree, keep_modes: bool, owner: (u32, u32), mtime: i64) -> Tree {
    for node in tree.values_mut() {
        (node.owner, node.mtime) = (owner, mtime);
        if !keep_modes {
            node.mode = match node.content {
                Content::Symlink(_) => 0o777,
                Content::Folder => 0o755,
                Content::File(_) if node.mode & 0o100 != 0 => 0o755,
                Content::File(_) => 0o644,
            };
        }
    }
    tree
}

/// The differences between two trees, one line per path; empty if they are equal.
pub fn differences(expected: &Tree, found: &Tree) -> Vec<String> {
    let mut paths: Vec<_> = expected.keys().chain(found.keys()).collect();
    paths.sort();
    paths.dedup();
    let differs = |path: &&Vec<u8>| expected.get(*path) != found.get(*path);
    let side = |node: Option<&Node>| node.map_or_else(|| "nothing".to_owned(), described);
    let line = |path: &Vec<u8>| {
        let (expected, found) = (side(expected.get(path)), side(found.get(path)));
        format!("{}: {expected} became {found}", String::from_utf8_lossy(path))
    };
    paths.into_iter().filter(differs).map(line).collect()
}

fn described(node: &Node) -> String {
    let content = match &node.content {
        Content::Folder => "a folder".to_owned(),
        Content::File(bytes) => format!("{} bytes", bytes.len()),
        Content::Symlink(target) => format!("a link to {}", String::from_utf8_lossy(target)),
    };
    let same = String::from_utf8_lossy(&node.same_as);
    format!("{content}, {:04o}, {:?}, time {}, the same as {same}", node.mode, node.owner, node.mtime)
}
