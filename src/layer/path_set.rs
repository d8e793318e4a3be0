//! Which files an image holds, as far as it was looked at: enough to tell whether its entrypoint is there. Of a file only
//! a hash of its path is kept, so that many files take little memory; and there is an end to what is kept, since a base is
//! somebody else's.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::interpreter::Interpreter;

/// Links that lead on to further links are followed no further, as in Linux.
const LINKS_LIMIT: usize = 40;

/// A path or a link's target of so many bytes is none that a system could follow (`PATH_MAX` of Linux).
const PATH_LIMIT: usize = 4096;
/// No image has so many interpreters.
const INTERPRETERS_LIMIT: usize = 200;
/// What an executable file takes beside its name, about.
const EXECUTABLE: usize = 24;
/// What a link or a whiteout takes beside its bytes, about.
const OVERHEAD: usize = 128;

/// How much is still noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathBudget {
    files: usize,
    bytes: usize,
}

impl Default for PathBudget {
    /// Two million files, and 64 MiB of links and whiteouts: images of many platforms have less.
    fn default() -> Self {
        Self { files: 2_000_000, bytes: 64 << 20 }
    }
}

/// The names in a layer, or in layers on top of each other.
#[derive(Debug, Clone, Default)]
pub struct PathSet {
    files: HashSet<u64>,
    /// Those of the files that are executable, and by which of the interpreters.
    executable: HashMap<u64, Option<usize>>,
    interpreters: Vec<Interpreter>,
    links: HashMap<Vec<u8>, Vec<u8>>,
    /// Paths of the layers below that whiteouts let disappear.
    gone: Vec<Vec<u8>>,
    room: PathBudget,
    /// There were more names than there was room for.
    is_cut: bool,
}

/// How a file is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<'a> {
    /// It is not: nobody may execute it.
    Never,
    /// By the system alone.
    Alone,
    /// By means of a program that must be there too.
    By(&'a Interpreter),
}

impl PathSet {
    /// None yet, and room for so many.
    pub fn with_room(room: PathBudget) -> Self {
        Self { room, ..Self::default() }
    }

    /// The room that is left.
    pub fn room(&self) -> PathBudget {
        self.room
    }

    /// Whether all names were noted. Otherwise nothing is certain of what was not found.
    pub fn are_whole(&self) -> bool {
        !self.is_cut
    }

    /// Whether there is room for a file, or for this many bytes; then it is taken.
    fn take_room(&mut self, files: usize, bytes: usize) -> bool {
        let left = (self.room.files.checked_sub(files), self.room.bytes.checked_sub(bytes));
        let (Some(files), Some(bytes)) = left else {
            self.is_cut = true;
            return false;
        };
        self.room = PathBudget { files, bytes };
        true
    }

    /// Notes a file, in a tar's words for its path. A whiteout (image specification, layer.md) is noted as such.
    pub fn file(&mut self, path: &[u8]) {
        if path.len() >= PATH_LIMIT {
            return;
        }
        let path = normal(path);
        let (folder, name) = split(&path);
        match name.strip_prefix(b".wh.") {
            // Of a folder whose old content disappears, nothing is known any more that could be wanted.
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

    /// Notes of a file that was noted that it is executable, and what starts it.
    pub fn executable(&mut self, path: &[u8], by: Option<Interpreter>) {
        let path = hash(&normal(path));
        let by = by.and_then(|by| self.number_of(by));
        if self.files.contains(&path) && (self.executable.contains_key(&path) || self.take_room(0, EXECUTABLE)) {
            self.executable.insert(path, by);
        }
    }

    /// Notes of a file that it is the same as another.
    pub fn same_as(&mut self, path: &[u8], other: &[u8]) {
        if let Some(by) = self.executable.get(&hash(&normal(other))).copied()
            && self.take_room(0, EXECUTABLE)
        {
            self.executable.insert(hash(&normal(path)), by);
        }
    }

    /// The number of an interpreter; `None` if there is no room for one more.
    fn number_of(&mut self, by: Interpreter) -> Option<usize> {
        if let Some(known) = self.interpreters.iter().position(|known| *known == by) {
            return Some(known);
        }
        // Who makes many of them has something else in mind than to start programs.
        if self.interpreters.len() == INTERPRETERS_LIMIT || !self.take_room(0, by.path.len() + OVERHEAD) {
            self.is_cut = true;
            return None;
        }
        self.interpreters.push(by);
        Some(self.interpreters.len() - 1)
    }

    /// Notes a symbolic link.
    pub fn link(&mut self, path: &[u8], target: &[u8]) {
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
    pub fn put_on(&mut self, layer: &Self) {
        for path in &layer.gone {
            self.forget(path);
            self.links.remove(path);
        }
        // Room was taken when they were noted first.
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

    /// How the file is started that a path from the root leads to, through whatever links; `None` if there is none.
    pub fn start(&self, path: &[u8]) -> Option<Start<'_>> {
        let file = self.followed(path).filter(|file| self.files.contains(file))?;
        Some(match self.executable.get(&file) {
            None => Start::Never,
            Some(by) => by.and_then(|by| self.interpreters.get(by)).map_or(Start::Alone, Start::By),
        })
    }

    /// Whether a path from the root leads to a file, through whatever links.
    pub fn have(&self, path: &[u8]) -> bool {
        self.start(path).is_some()
    }

    /// The hash of the path that a path from the root leads to.
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

/// The words between slashes, without those that say nothing.
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
