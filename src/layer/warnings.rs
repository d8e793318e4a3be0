//! Warnings about a folder that becomes a layer: secrets that are seldom meant to be published, and metadata that a
//! layer drops.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use crate::text::printable;
use crate::workspace::Found;

/// How many files of each kind to name.
const NAMED: usize = 3;
/// Bytes read to recognise a private key.
const HEAD: usize = 4096;

/// What was found during the walk of a folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerWarnings {
    secrets: Files,
    left_behind: BTreeMap<&'static str, Files>,
}

#[derive(Debug, Clone, Default)]
struct Files {
    first: Vec<String>,
    count: usize,
}

impl Files {
    fn note(&mut self, path: &[u8]) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(printable(&String::from_utf8_lossy(path), 200));
        }
    }

    fn told(&self) -> String {
        let more = self.count - self.first.len();
        let named = self.first.join(", ");
        if more == 0 { named } else { format!("{named} and {more} more") }
    }
}

impl LayerWarnings {
    /// Inspects a file or folder at this path relative to the layer's folder. `keeps_modes` is whether setuid bits are
    /// kept.
    pub(crate) fn look_at(&mut self, path: &[u8], found: &Found, keeps_modes: bool) {
        let Found { file, metadata, .. } = found;
        if is_secret(path, metadata.is_dir(), file) {
            self.secrets.note(path);
        }
        if metadata.is_file() && metadata.mode() & 0o6000 != 0 && !keeps_modes {
            self.left_behind.entry("set-uid or set-gid bits").or_default().note(path);
        }
        for kind in attributes(file) {
            self.left_behind.entry(kind).or_default().note(path);
        }
    }

    /// The warnings for the layer called `layer`.
    pub(crate) fn warnings(&self, layer: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.secrets.count > 0 {
            warnings.push(format!(
                "the layer {layer} contains files that are seldom meant for an image: {}; exclude them with --exclude or .imgstepignore",
                self.secrets.told()
            ));
        }
        if !self.left_behind.is_empty() {
            let told: Vec<String> =
                self.left_behind.iter().map(|(kind, files)| format!("{kind} ({})", files.told())).collect();
            let modes = self.left_behind.keys().any(|kind| kind.starts_with("set-uid"));
            let keep = if modes { "; mode=keep keeps the bits" } else { "" };
            warnings
                .push(format!("the layer {layer} leaves out {}{keep}; a tar as the layer keeps all", told.join(", ")));
        }
        warnings
    }
}

/// Whether a file's name or first bytes suggest a secret. `.git` covers everything below it.
fn is_secret(path: &[u8], is_folder: bool, file: &File) -> bool {
    let mut words = path.rsplit(|byte| *byte == b'/');
    let name = words.next().unwrap_or_default();
    if words.any(|word| word == b".git") {
        return false;
    }
    if is_folder {
        return name == b".git";
    }
    match name {
        b".git" | b".env" | b".netrc" | b".git-credentials" | b"id_rsa" | b"id_dsa" | b"id_ecdsa" | b"id_ed25519" => {
            true
        }
        _ if name.starts_with(b".env.") => {
            // Templates, meant to be copied and filled in.
            ![&b"example"[..], b"sample", b"template", b"dist"].iter().any(|word| name.ends_with(word))
        }
        _ if name.ends_with(b".pem") => is_private_key(file),
        // As text or in DER.
        _ if name.ends_with(b".key") => is_private_key(file) || head(file).starts_with(&[0x30, 0x82]),
        _ => false,
    }
}

fn is_private_key(file: &File) -> bool {
    const MARK: &[u8] = b"PRIVATE KEY";
    head(file).windows(MARK.len()).any(|part| part == MARK)
}

fn head(file: &File) -> Vec<u8> {
    let mut head = vec![0; HEAD];
    let length = file.read_at(&mut head, 0).unwrap_or_default();
    head.truncate(length);
    head
}

/// The kinds of extended attributes that a layer drops from a file. SELinux labels and attributes that systems write
/// themselves don't matter in an image.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn attributes(file: &File) -> Vec<&'static str> {
    let mut buffer = [0; 4096];
    let length = match rustix::fs::flistxattr(file, &mut buffer) {
        Ok(length) => length,
        // Their number is unbounded.
        Err(rustix::io::Errno::RANGE) => return vec!["extended attributes"],
        Err(_) => return Vec::new(),
    };
    let kind = |name: &[u8]| match name {
        b"security.capability" => Some("capabilities"),
        b"system.posix_acl_access" | b"system.posix_acl_default" => Some("ACLs"),
        _ if name.starts_with(b"user.overlay.") => None,
        _ if name.starts_with(b"user.") => Some("extended attributes"),
        _ => None,
    };
    let mut kinds: Vec<_> = buffer[..length].split(|byte| *byte == 0).filter_map(kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn attributes(_: &File) -> Vec<&'static str> {
    Vec::new()
}
