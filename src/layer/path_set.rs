//! The set of files in an image: enough to tell whether its entrypoint exists. Only a hash of each path is kept, so
//! that many files take little memory; and the set is bounded, since a base is untrusted.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::interpreter::Interpreter;

/// Maximum number of links followed in a row, as in Linux.
const LINKS_LIMIT: usize = 40;

/// Maximum length of a path or link target that a system could follow, in bytes (Linux's `PATH_MAX`).
const PATH_LIMIT: usize = 4096;
/// Maximum number of distinct interpreters.
const INTERPRETERS_LIMIT: usize = 200;
/// Approximate memory per executable file in addition to its name, in bytes.
const EXECUTABLE: usize = 24;
/// Approximate memory per link or whiteout in addition to its bytes.
const OVERHEAD: usize = 128;

/// The remaining memory budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathBudget {
    files: usize,
    bytes: usize,
}

impl Default for PathBudget {
    /// Two million files, and 64 MiB of links and whiteouts: more than real multi-platform images have.
    fn default() -> Self {
        Self { files: 2_000_000, bytes: 64 << 20 }
    }
}

/// The paths in a layer, or in a stack of layers.
#[derive(Debug, Clone, Default)]
pub(crate) struct PathSet {
    files: HashSet<u64>,
    /// The executable files, and the interpreter each one needs.
    executable: HashMap<u64, Option<usize>>,
    interpreters: Vec<Interpreter>,
    links: HashMap<Vec<u8>, Vec<u8>>,
    /// Paths in lower layers that whiteouts remove.
    gone: Vec<Vec<u8>>,
    room: PathBudget,
    /// The budget was exceeded, so paths are missing.
    is_cut: bool,
}

/// How a file can be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    /// It can't: it isn't executable.
    Never,
    /// By the kernel alone.
    Alone,
    /// By an interpreter that must exist too.
    By(&'a Interpreter),
}

impl PathSet {
    /// An empty set with this budget.
    pub(crate) fn with_room(room: PathBudget) -> Self {
        Self { room, ..Self::default() }
    }

    /// The remaining budget.
    pub(crate) fn room(&self) -> PathBudget {
        self.room
    }

    /// Whether the set is complete. If not, a path that isn't found may still exist.
    pub(crate) fn are_whole(&self) -> bool {
        !self.is_cut
    }

    /// Takes room for a file, or for this many bytes, from the budget; false if there is none left.
    fn take_room(&mut self, files: usize, bytes: usize) -> bool {
        let left = (self.room.files.checked_sub(files), self.room.bytes.checked_sub(bytes));
        let (Some(files), Some(bytes)) = left else {
            self.is_cut = true;
            return false;
        };
        self.room = PathBudget { files, bytes };
        true
    }

    /// Adds a file by its path in a tar. Recognises whiteouts (image specification, layer.md).
    pub(crate) fn file(&mut self, path: &[u8]) {
        if path.len() >= PATH_LIMIT {
            return;
        }
        let path = normal(path);
        let (folder, name) = split(&path);
        match name.strip_prefix(b".wh.") {
            // Once an opaque whiteout hides a folder's lower content, what was known of it is obsolete.
            Some(b".wh..opq") => {}
            Some(gone) => {
                let gone = join(folder, gone);
                if self.take_room(0, gone.len() + OVERHEAD) {
                    self.gone.push(gone);
                }
            }
            None => {
                self.links.remove(&path);
                self.executable.remove(&hash(&path));
                if self.take_room(1, 0) {
                    self.files.insert(hash(&path));
                }
            }
        }
    }

    /// Marks an added file as executable, with its interpreter.
    pub(crate) fn executable(&mut self, path: &[u8], by: Option<Interpreter>) {
        let path = hash(&normal(path));
        let by = by.and_then(|by| self.number_of(by));
        if self.files.contains(&path) && (self.executable.contains_key(&path) || self.take_room(0, EXECUTABLE)) {
            self.executable.insert(path, by);
        }
    }

    /// Marks a file as a hard link to another.
    pub(crate) fn same_as(&mut self, path: &[u8], other: &[u8]) {
        if let Some(by) = self.executable.get(&hash(&normal(other))).copied()
            && self.take_room(0, EXECUTABLE)
        {
            self.executable.insert(hash(&normal(path)), by);
        }
    }

    /// The number of an interpreter; `None` if there are too many.
    fn number_of(&mut self, by: Interpreter) -> Option<usize> {
        if let Some(known) = self.interpreters.iter().position(|known| *known == by) {
            return Some(known);
        }
        // A layer with many interpreters is an attack.
        if self.interpreters.len() == INTERPRETERS_LIMIT || !self.take_room(0, by.path.len() + OVERHEAD) {
            self.is_cut = true;
            return None;
        }
        self.interpreters.push(by);
        Some(self.interpreters.len() - 1)
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &[u8], target: &[u8]) {
        if path.len() >= PATH_LIMIT || target.len() >= PATH_LIMIT {
            return;
        }
        let path = normal(path);
        self.forget(&path);
        if self.take_room(0, path.len() + target.len() + OVERHEAD) {
            self.links.insert(path, target.to_vec());
        }
    }

    /// Puts a layer on top.
    pub(crate) fn put_on(&mut self, layer: &Self) {
        for path in &layer.gone {
            self.forget(path);
            self.links.remove(path);
        }
        // Their budget was taken when they were first added.
        for (path, target) in &layer.links {
            self.forget(path);
            self.links.insert(path.clone(), target.clone());
        }
        self.is_cut |= layer.is_cut;
        self.links.retain(|path, _| !layer.files.contains(&hash(path)));
        let numbers: Vec<Option<usize>> = layer.interpreters.iter().map(|by| self.number_of(by.clone())).collect();
        for path in &layer.files {
            match layer.executable.get(path) {
                Some(by) => drop(self.executable.insert(*path, by.and_then(|by| numbers[by]))),
                None => drop(self.executable.remove(path)),
            }
        }
        self.files.extend(&layer.files);
    }

    fn forget(&mut self, path: &[u8]) {
        self.files.remove(&hash(path));
        self.executable.remove(&hash(path));
    }

    /// How the file at an absolute path can be executed, following links; `None` if it doesn't exist.
    pub(crate) fn start(&self, path: &[u8]) -> Option<Start<'_>> {
        let file = self.followed(path).filter(|file| self.files.contains(file))?;
        Some(match self.executable.get(&file) {
            None => Start::Never,
            Some(by) => by.and_then(|by| self.interpreters.get(by)).map_or(Start::Alone, Start::By),
        })
    }

    /// Whether an absolute path leads to a file, following links.
    #[cfg(test)]
    pub(crate) fn have(&self, path: &[u8]) -> bool {
        self.start(path).is_some()
    }

    /// The hash of the path that an absolute path resolves to.
    fn followed(&self, path: &[u8]) -> Option<u64> {
        let mut left: Vec<Vec<u8>> = words(path);
        left.reverse();
        let (mut at, mut links) = (Vec::new(), 0);
        while let Some(word) = left.pop() {
            if word == b".." {
                at = split(&at).0.to_vec();
                continue;
            }
            let next = join(&at, &word);
            let Some(target) = self.links.get(&next) else {
                at = next;
                continue;
            };
            links += 1;
            if links > LINKS_LIMIT {
                return None;
            }
            if target.starts_with(b"/") {
                at.clear();
            }
            left.extend(words(target).into_iter().rev());
        }
        Some(hash(&at))
    }
}

/// The components of a path, without empty ones and `.`.
fn words(path: &[u8]) -> Vec<Vec<u8>> {
    let words = path.split(|byte| *byte == b'/');
    words.filter(|word| !word.is_empty() && *word != b".").map(<[u8]>::to_vec).collect()
}

fn normal(path: &[u8]) -> Vec<u8> {
    words(path).join(&b'/')
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

fn hash(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_behind_links() {
        let mut names = PathSet::default();
        names.file(b"./usr/bin/python3.11");
        names.link(b"usr/bin/python3", b"python3.11");
        names.link(b"bin", b"usr/bin");
        names.link(b"opt/app", b"/usr/../bin/python3");
        names.link(b"loop", b"loop");
        names.link(b"dangling", b"nowhere");
        for path in ["/usr/bin/python3.11", "/usr/bin/python3", "/bin/python3", "/opt/app", "/bin/../bin/python3.11"] {
            assert!(names.have(path.as_bytes()), "{path}");
        }
        for path in ["/usr/bin/python", "/loop", "/dangling", "/usr/bin", "/", ""] {
            assert!(!names.have(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut names = PathSet::with_room(PathBudget { files: 2, bytes: 300 });
        names.file(b"a");
        names.link(b"l", b"a");
        assert!(names.have(b"/l") && names.are_whole());
        names.link(b"far", &vec![b'x'; PATH_LIMIT]);
        names.file(&vec![b'y'; 1 << 20]);
        assert!(names.are_whole(), "no system could follow these");
        names.link(b"m", &[b'z'; 200]);
        assert!(!names.are_whole());
        let mut below = PathSet::default();
        below.put_on(&names);
        assert!(!below.are_whole() && below.have(b"/l") && !below.have(b"/m"));
        let mut many = PathSet::with_room(PathBudget { files: 1, bytes: 0 });
        many.file(b"a");
        assert!(many.are_whole());
        many.file(b"b");
        assert!(!many.are_whole());
    }

    #[test]
    fn layers_on_top_of_each_other() {
        let mut base = PathSet::default();
        base.file(b"app");
        base.file(b"etc/old");
        base.link(b"bin/sh", b"/app");
        let mut top = PathSet::default();
        top.file(b".wh.app");
        top.file(b"etc/.wh.old");
        top.file(b"opt/.wh..wh..opq");
        top.file(b"bin/sh");
        assert!(base.have(b"/bin/sh"));
        base.put_on(&top);
        assert!(!base.have(b"/app") && !base.have(b"/etc/old"));
        assert!(base.have(b"/bin/sh"), "a file took the link's place");
        let mut link = PathSet::default();
        link.link(b"bin/sh", b"dash");
        base.put_on(&link);
        assert!(!base.have(b"/bin/sh"), "and a link the file's");
    }

    #[test]
    fn how_files_are_started() {
        let by = |path: &str| Interpreter { path: path.into(), is_script: false };
        let mut base = PathSet::default();
        for path in ["bin/a", "bin/b", "data"] {
            base.file(path.as_bytes());
        }
        base.executable(b"./bin/a", Some(by("/lib/ld")));
        base.executable(b"bin/b", None);
        base.executable(b"bin/none", None);
        base.file(b"bin/c");
        base.same_as(b"bin/c", b"bin/a");
        base.link(b"sbin", b"bin");
        let loader = by("/lib/ld");
        assert_eq!(base.start(b"/sbin/a"), Some(Start::By(&loader)));
        assert_eq!(base.start(b"/bin/c"), Some(Start::By(&loader)));
        assert_eq!((base.start(b"/bin/b"), base.start(b"/data")), (Some(Start::Alone), Some(Start::Never)));
        assert_eq!(base.start(b"/bin/none"), None);
        let mut top = PathSet::default();
        for path in ["bin/a", "bin/b"] {
            top.file(path.as_bytes());
        }
        top.executable(b"bin/b", Some(by("/lib/other")));
        base.put_on(&top);
        let other = by("/lib/other");
        assert_eq!((base.start(b"/bin/a"), base.start(b"/bin/b")), (Some(Start::Never), Some(Start::By(&other))));
        assert_eq!(base.start(b"/bin/c"), Some(Start::By(&loader)));
    }

    #[test]
    fn interpreters_without_end_are_not_kept() {
        let mut names = PathSet::default();
        names.file(b"a");
        for number in 0..100_000_u32 {
            names.executable(b"a", Some(Interpreter { path: number.to_string().into(), is_script: true }));
        }
        assert!(!names.are_whole() && names.interpreters.len() == INTERPRETERS_LIMIT);
    }
}
