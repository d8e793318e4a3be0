//! Parent folders of a layer's files: what they are in a container, whether or not the base has them.

use std::path::PathBuf;
use std::process::Command;

use super::append;
use crate::support::docker::{copying_docker, docker};
use crate::support::{Folder, images, registries};

/// Prints its user, a folder's mode, and which of the files it can't read.
const PROGRAM: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **words) {
    struct stat tmp = {0};
    stat("/tmp", &tmp);
    printf("user %d, /tmp %o", (int)getuid(), (unsigned)tmp.st_mode & 07777);
    for (int at = 1; at < count; at++) {
        if (open(words[at], O_RDONLY) < 0) printf(", not %s", words[at]);
    }
    puts("");
    return 0;
}
"#;

/// The program, which needs nothing from a base; `None` if it can't be built.
fn program(folder: &Folder) -> Option<PathBuf> {
    let (source, program) = (folder.write("program.c", PROGRAM), folder.join("program"));
    let built = Command::new("cc").args(["-static", "-o"]).args([&program, &source]).output();
    let is_built = built.is_ok_and(|output| output.status.success());
    if !is_built {
        eprintln!("no static program can be built here: none is run");
    }
    is_built.then_some(program)
}

const PLATFORM: &str = if cfg!(target_arch = "x86_64") { "linux/amd64" } else { "linux/arm64" };

#[test]
fn a_user_other_than_root_can_reach_all_files_on_any_base() {
    let folder = Folder::new();
    let Some(program) = program(&folder) else { return };
    let data = folder.write("data", "x").display().to_string();
    let registry = &registries()[0];
    // One base is empty, the other has all parent folders of the files.
    let few = format!("{data}=/data");
    let many = ["usr/local/bin", "opt", "srv", "etc", "home/other", "tmp/other"];
    let many: Vec<String> = many.iter().map(|at| format!("{data}=/{at}/x-of-base")).collect();
    for (base, layers) in [("few:v1", vec![few]), ("many:v1", many)] {
        append("scratch", &registry.at(base)).args(["--platform", PLATFORM, "--layer"]).args(layers).run().ended(0);
    }
    let places = ["/opt/app/x", "/srv/x", "/home/app/x", "/etc/h.txt", "/tmp/in/x"];
    let entrypoint = serde_json::to_string(&[&["/usr/local/bin/app"][..], &places].concat()).unwrap();
    for base in ["few:v1", "many:v1"] {
        let app = registry.at(&format!("on-{base}"));
        append(&registry.at(base), &app)
            .args(["--user", "65532", "--entrypoint", &entrypoint, "--layer"])
            .arg(format!("{}=/usr/local/bin/app", program.display()))
            .args(places.map(|place| format!("{data}={place}")))
            .run()
            .ended(0);
        for docker in [docker(), copying_docker()].into_iter().flatten() {
            docker.with_image(&app, PLATFORM, || assert_eq!(docker.run(&app), "user 65532, /tmp 1777", "{base}"));
        }
    }
}

#[test]
fn files_that_would_replace_a_link_by_a_folder_get_a_warning() {
    let folder = Folder::new();
    let data = folder.write("data", "x").display().to_string();
    folder.write("tree/bin/app", "x");
    let tree = folder.join("tree").display().to_string();
    for registry in registries() {
        images::image(1, 1, 300).push(&registry, "base", "v1");
        let warned = |base: &str, layer: &str| {
            let step = append(base, &registry.at("app:v1")).args(["--platform", "linux/amd64", "--layer", layer]);
            step.run().ended(0).stderr.contains("in most bases is a link to /usr/bin")
        };
        let base = registry.at("base:v1");
        assert!(warned(&base, &format!("{data}=/bin/app")) && warned(&base, &tree));
        assert!(!warned(&base, &format!("{data}=/usr/bin/app")) && !warned("scratch", &tree));
    }
}
