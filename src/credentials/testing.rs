//! Folders, files and helpers for the tests of this module.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::helper::HelperSettings;

/// A temporary folder for one test, removed with its contents.
pub struct TestFolder(PathBuf);

impl TestFolder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("imgstep-credentials-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The text of a file; empty if it doesn't exist.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Writes an executable shell script. Another process writes it: a file that this process has open for writing
    /// while another test forks could not be executed yet ("text file busy").
    #[cfg(unix)]
    pub fn write_program(&self, name: &str, script: &str) {
        self.write("script", &format!("#!/bin/sh\n{script}\n"));
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        let status = std::process::Command::new("install")
            .args(["-m", "755"])
            .args([self.path("script"), self.path(name)])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Settings with which helpers in this folder are found.
    pub fn settings(&self) -> HelperSettings {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.0.clone()).chain(std::env::split_paths(&inherited));
        HelperSettings { search_path: Some(std::env::join_paths(folders).unwrap()), ..HelperSettings::default() }
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.0));
    }
}

/// A file with one login, whose password is `p`.
pub fn config(key: &str, username: &str) -> String {
    serde_json::json!({ "auths": { key: { "username": username, "password": "p" } } }).to_string()
}
