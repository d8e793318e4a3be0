//! Links that stay, links that lead out, and what is no file.

use std::os::unix::fs::symlink;

use super::*;

struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("imgstep-workspace-{:x}", fastrand::u64(..)));
        fs::create_dir_all(path.join("checkout/releases/7")).unwrap();
        fs::create_dir_all(path.join("secret")).unwrap();
        fs::write(path.join("secret/key"), "topsecret").unwrap();
        fs::write(path.join("checkout/releases/7/app"), "app").unwrap();
        Self(path.canonicalize().unwrap())
    }

    fn link(&self, target: impl AsRef<Path>, name: &str) {
        symlink(target, self.0.join(name)).unwrap();
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(found: io::Result<Found>) -> String {
    found.map_or_else(|error| error.to_string(), |found| found.path.display().to_string())
}

#[test]
fn links_of_a_folder_stay_in_it() {
    let at = Temporary::new();
    at.link("releases/7", "checkout/current");
    at.link(at.0.join("checkout/current/app"), "checkout/app");
    at.link("../secret", "checkout/out");
    at.link("current/../../../secret/key", "checkout/winding");
    at.link(at.0.join("secret"), "checkout/absolute");
    at.link("/dev/zero", "checkout/zero");
    at.link("loop", "checkout/loop");
    at.link("../checkout/releases", "checkout/back");
    let work = Folder::open(&at.0.join("checkout")).unwrap();
    let app = at.0.join("checkout/releases/7/app").display().to_string();
    for good in ["current/app", "app", "./releases/../app", "releases/7/app"] {
        assert_eq!(said(work.find(Path::new(good))), app, "{good}");
    }
    for (bad, part) in [
        ("out", "/checkout/out leads to ../secret, out of "),
        ("out/key", "/checkout/out leads to ../secret"),
        ("winding", "/checkout/winding leads to current/../../../secret/key"),
        ("absolute/key", "/secret, out of "),
        ("zero", "leads to /dev/zero"),
        ("back", "leads to ../checkout/releases"),
        ("../secret/key", "leads to .."),
        ("loop", "ymbolic link"),
        ("missing", "o such file"),
    ] {
        let said = said(work.find(Path::new(bad)));
        assert!(said.contains(part), "{bad}: {said}");
    }
}

#[test]
fn elsewhere_a_link_stays_in_the_folder_that_it_lies_in() {
    let at = Temporary::new();
    at.link("releases/7", "checkout/current");
    at.link("../secret", "checkout/out");
    at.link("checkout", "moved");
    let find = |name: &str| said(find(&at.0.join(name)));
    for good in ["checkout/current/app", "moved/current/app", "moved/../checkout/current/../7/app"] {
        assert!(find(good).ends_with("checkout/releases/7/app"), "{good}: {}", find(good));
    }
    assert!(find("checkout/out").contains("out of"));
    assert!(find("moved/out/key").contains("out of"));
    assert!(find("moved").ends_with("/checkout"));
}

#[test]
fn what_has_no_end_is_not_begun() {
    let at = Temporary::new();
    assert!(read(Path::new("/dev/zero"), 10).unwrap_err().to_string().contains("a device"));
    let pipe = at.0.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(read(&pipe, 10).unwrap_err().to_string().contains("a named pipe"));
    assert_eq!(super::pipe(&pipe).unwrap(), Some(pipe));
    let app = at.0.join("checkout/releases/7/app");
    assert_eq!(super::pipe(&app).unwrap(), None);
    assert_eq!(read(&app, 3).unwrap(), b"app");
    assert!(read(&app, 2).unwrap_err().to_string().contains("more than 2 bytes"));
    assert!(read(&at.0, 2).unwrap_err().to_string().contains("a folder"));
    assert_eq!(read(Path::new("/dev/null/x"), 2).unwrap_err().kind(), io::ErrorKind::NotADirectory);
}
