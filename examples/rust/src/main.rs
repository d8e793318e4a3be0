//! Prints what it is and where it runs, and reads the file that it was shipped with.

use std::env::{consts, current_dir};
use std::fs;
use std::os::unix::fs::MetadataExt;

fn main() -> Result<(), std::io::Error> {
    println!("program: Rust on {}/{}", consts::OS, consts::ARCH);
    // std knows no getuid; a process's entry in /proc belongs to its user.
    println!("user: {}", fs::metadata("/proc/self")?.uid());
    println!("folder: {}", current_dir()?.display());
    print!("file: {}", fs::read_to_string("greeting.txt")?);
    Ok(())
}
