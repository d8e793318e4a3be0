//! What people write instead of an image reference: archives, folders, URLs. It would otherwise be looked up at Docker
//! Hub.

use crate::text::printable;

/// The file extensions of archives.
const ARCHIVES: [&str; 6] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2"];

/// Why a text that parses as a reference isn't meant as one, and what to write instead; `None` if it seems fine.
pub(crate) fn what_was_meant(text: &str) -> Option<String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let (scheme, rest) = (printable(scheme, 40), printable(rest, 300));
        return Some(format!("an image is named without `{scheme}://`; write `{rest}`"));
    }
    if let Some((transport, rest)) = text.split_once(':')
        && let Some(advice) = of_transport(transport, rest)
    {
        return Some(advice);
    }
    if text.starts_with(['/', '.', '~']) {
        return Some(format!("it is a path; {}", of_path(text)));
    }
    if is_archive(text) && !text.contains(['/', ':']) {
        return Some(format!("it is an archive's name; {}", of_path(text)));
    }
    None
}

/// What to write for a file or folder on disk.
pub(crate) fn of_path(path: &str) -> String {
    let path = printable(path, 300);
    if is_archive(&path) {
        return format!(
            "archives are not read: `skopeo copy docker-archive:{path} oci:DIR` (oci-archive: for an archive of a layout) \
             makes a folder of it, and `oci:DIR` names that"
        );
    }
    format!("for the OCI layout in that folder write `oci:{path}`")
}

fn is_archive(text: &str) -> bool {
    ARCHIVES.iter().any(|ending| text.ends_with(ending))
}

/// The transports of skopeo, podman and buildah. A registry may have such a name too, with a port and a repository.
fn of_transport(transport: &str, rest: &str) -> Option<String> {
    let port = rest.split('/').next().unwrap_or_default();
    if rest.contains('/') && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let path = rest.split(':').next().unwrap_or_default();
    let path = printable(if path.is_empty() { "FILE" } else { path }, 300);
    let words = match transport {
        "docker-archive" | "oci-archive" => format!(
            "archives are not read: `skopeo copy {transport}:{path} oci:DIR` makes a folder of it, and `oci:DIR` names that"
        ),
        "dir" => {
            format!("folders of skopeo's are not read: `skopeo copy dir:{path} oci:DIR`, and `oci:DIR` names that")
        }
        "docker-daemon" | "containers-storage" => format!(
            "images of a daemon are not read: push it to a registry, or `skopeo copy {transport}:{path} oci:DIR`, and \
             `oci:DIR` names that"
        ),
        _ => return None,
    };
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_folders_and_addresses_are_no_names() {
        for (text, words) in [
            ("docker-archive:x.tar", "skopeo copy docker-archive:x.tar oci:DIR"),
            ("oci-archive:/tmp/x.tar:v1", "skopeo copy oci-archive:/tmp/x.tar oci:DIR"),
            ("dir:foo", "skopeo copy dir:foo oci:DIR"),
            ("docker-daemon:app:v1", "push it to a registry"),
            ("x.tar", "archives are not read"),
            ("save.tar.gz", "archives are not read"),
            ("./images", "write `oci:./images`"),
            ("/tmp/save.tar", "skopeo copy docker-archive:/tmp/save.tar"),
            ("../out", "oci:../out"),
            ("https://ghcr.io/a/b", "write `ghcr.io/a/b`"),
        ] {
            let said = what_was_meant(text).unwrap_or_default();
            assert!(said.contains(words), "{text}: {said}");
        }
    }

    #[test]
    fn names_are_names() {
        for text in
            ["alpine", "dir", "dir/app:v1", "dir:5000/app", "oci-archive:5000/a/b", "ghcr.io/org/app.tar", "a:x.tar"]
        {
            assert_eq!(what_was_meant(text), None, "{text}");
        }
    }
}
