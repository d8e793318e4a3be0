//! Which files an image holds, as far as it was looked at: enough to tell whether its entrypoint is there. Of a file only
//! a hash of its path is kept, so that many files take little memory.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Links that lead on to further links are followed no further, as in Linux.
const LINKS_LIMIT: usize = 40;

/// The names in a layer, or in layers on top of each other.
#[derive(Debug, Clone, Default)]
pub struct Names {
    files: HashSet<u64>,
    links: HashMap<Vec<u8>, Vec<u8>>,
    /// Paths of the layers below that whiteouts let disappear.
    gone: Vec<Vec<u8>>,
}

impl Names {
    /// Notes a file, in a tar's words for its path. A whiteout (image specification, layer.md) is noted as such.
    pub fn file(&mut self, path: &[u8]) {
        let path = normal(path);
        let (folder, name) = split(&path);
        match name.strip_prefix(b".wh.") {
            // Of a folder whose old content disappears, nothing is known any more that could be wanted.
            Some(b".wh..opq") => {}
            Some(gone) => self.gone.push(join(folder, gone)),
            None => {
                self.links.remove(&path);
                self.files.insert(hash(&path));
            }
        }
    }

    /// Notes a symbolic link.
    pub fn link(&mut self, path: &[u8], target: &[u8]) {
        let path = normal(path);
        self.files.remove(&hash(&path));
        self.links.insert(path, target.to_vec());
    }

    /// Puts a layer on top.
    pub fn put_on(&mut self, layer: &Self) {
        for path in &layer.gone {
            self.files.remove(&hash(path));
            self.links.remove(path);
        }
        for (path, target) in &layer.links {
            self.link(path, target);
        }
        self.links.retain(|path, _| !layer.files.contains(&hash(path)));
        self.files.extend(&layer.files);
    }

    /// Whether a path from the root leads to a file, through whatever links.
    pub fn have(&self, path: &[u8]) -> bool {
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
                return false;
            }
            if target.starts_with(b"/") {
                at.clear();
            }
            left.extend(words(target).into_iter().rev());
        }
        self.files.contains(&hash(&at))
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
        let mut names = Names::default();
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
    fn layers_on_top_of_each_other() {
        let mut base = Names::default();
        base.file(b"app");
        base.file(b"etc/old");
        base.link(b"bin/sh", b"/app");
        let mut top = Names::default();
        top.file(b".wh.app");
        top.file(b"etc/.wh.old");
        top.file(b"opt/.wh..wh..opq");
        top.file(b"bin/sh");
        assert!(base.have(b"/bin/sh"));
        base.put_on(&top);
        assert!(!base.have(b"/app") && !base.have(b"/etc/old"));
        assert!(base.have(b"/bin/sh"), "a file took the link's place");
        let mut link = Names::default();
        link.link(b"bin/sh", b"dash");
        base.put_on(&link);
        assert!(!base.have(b"/bin/sh"), "and a link the file's");
    }
}
