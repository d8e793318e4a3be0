//! What is read from a workspace, whose content is untrusted.

mod content;
mod layers;
mod others;

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::step::Step;
use crate::support::{Folder, Registry, imgstep};

/// A folder with a workspace, `work`, and a mount with the step's login next to it, `credentials`.
fn workspace() -> Folder {
    let folder = Folder::new();
    folder.write("credentials/.dockerconfigjson", "topsecret-token-123");
    folder.write("work/app/index.js", "app");
    folder
}

impl Folder {
    /// Creates a link in the workspace.
    fn link(&self, target: &str, name: &str) {
        symlink(target, self.work().join(name)).unwrap();
    }

    fn work(&self) -> PathBuf {
        self.join("work")
    }
}

/// `imgstep append scratch` in the workspace, with these layers.
fn layers(folder: &Folder, registry: &Registry, layers: &[&str]) -> Step {
    imgstep(["append", "scratch", "--to", &registry.at("app:v1"), "--platform", "linux/amd64", "--layer"])
        .args(layers)
        .in_folder(&folder.work())
}
