//! The input of `append`: a folder of a Linux system's files, and a program.

use anyhow::{Result, anyhow};

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Size of the folder, in bytes. If /usr is smaller, all of it is used.
const FOLDER_BYTES: u64 = 700_000_000;
const PROGRAM_BYTES: u64 = 10_000_000;
/// Maximum file size, so that a few large files don't dominate the mixture.
const FILE_LIMIT: u64 = 60_000_000;

#[derive(Debug, Default)]
pub struct Files {
    pub folder: PathBuf,
    pub tar: PathBuf,
    /// Where an image can be written next to the tar, like the output of compressors.
    pub layout: PathBuf,
    pub bytes: u64,
    pub count: usize,
    pub program: PathBuf,
    pub program_tar: PathBuf,
    pub program_bytes: u64,
}

impl Files {
    /// Copies files from /usr into `work`.
    pub fn gather(work: &Path, with_folder: bool) -> Result<Self> {
        let mut found = vec![];
        for root in ["/usr/bin", "/usr/lib", "/usr/share", "/usr/local/lib", "/usr/include"] {
            walk(Path::new(root), &mut found)?;
        }
        // Mixed: libraries, programs, texts, sources. The same machine gives the same files in the same order.
        found.sort_by_key(|(path, _)| mixed(path));
        let [folder, tar_path, layout] = ["folder", "folder.tar", "layout"].map(|name| work.join(name));
        let mut files = Self { folder, tar: tar_path, layout, ..Self::default() };
        fresh(&files.folder)?;
        if with_folder {
            files.copy_folder(&found)?;
            tar(&files.folder, &files.tar)?;
        }
        files.make_program(work, &found)?;
        Ok(files)
    }

    fn copy_folder(&mut self, found: &[(PathBuf, u64)]) -> Result<()> {
        for (path, size) in found {
            if self.bytes + size > FOLDER_BYTES {
                continue;
            }
            let place = self.folder.join(path.strip_prefix("/").unwrap_or(path));
            fs::create_dir_all(place.parent().unwrap_or(&self.folder))?;
            // An unreadable file is skipped; one that grew counts with its new size.
            if let Ok(copied) = fs::copy(path, &place) {
                self.bytes += copied;
                self.count += 1;
            }
        }
        Ok(())
    }

    /// Ten megabytes of concatenated programs; not an ELF file, which would fit only one platform.
    fn make_program(&mut self, work: &Path, found: &[(PathBuf, u64)]) -> Result<()> {
        let folder = work.join("program");
        fresh(&folder)?;
        self.program = folder.join("app");
        self.program_tar = work.join("program.tar");
        let mut content = b"a program for every platform\n".to_vec();
        let programs = found.iter().filter(|(path, size)| path.starts_with("/usr/bin") && *size > 20_000);
        for (path, _) in programs {
            if content.len() as u64 >= PROGRAM_BYTES {
                break;
            }
            content.extend(fs::read(path).unwrap_or_default());
        }
        content.truncate(PROGRAM_BYTES as usize);
        self.program_bytes = content.len() as u64;
        File::create(&self.program)?.write_all(&content)?;
        tar(&folder, &self.program_tar)
    }
}

fn fresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

fn tar(folder: &Path, to: &Path) -> Result<()> {
    let made = Command::new("tar").arg("--sort=name").arg("-C").arg(folder).arg("-cf").arg(to).arg(".").status()?;
    if made.success() { Ok(()) } else { Err(anyhow!("tar failed")) }
}

/// Readable regular files with their sizes.
fn walk(folder: &Path, found: &mut Vec<(PathBuf, u64)>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        let path = entry.path();
        // Skip names that would need quoting in shells and tables.
        if path.to_str().is_none_or(|text| text.contains(['\'', '\n'])) {
            continue;
        }
        if kind.is_dir() {
            walk(&path, found)?;
        } else if kind.is_file() && entry.metadata()?.len() <= FILE_LIMIT {
            found.push((path, entry.metadata()?.len()));
        }
    }
    Ok(())
}

/// FNV-1a of the path: an order independent of the files' kinds.
fn mixed(path: &Path) -> u64 {
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Reads a file to its end, so that it is in the page cache; returns its size.
pub fn warm(path: &Path) -> Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes += read as u64,
        }
    }
}
