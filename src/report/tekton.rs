//! Tekton's limit on results: the length of the termination message that they add up to.
//!
//! After a step has ended, Tekton's entrypoint writes every result that it finds on disk, and the start time of the
//! step, as one JSON array to the container's termination message, and fails the step if that is longer than 4096 bytes
//! (tektoncd/pipeline, `pkg/termination/write.go`, `pkg/entrypoint/entrypointer.go`). Its message is only in the step's
//! log and doesn't name the result. If a cluster reads results from a sidecar's log, or compresses the message, the
//! limit doesn't apply.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, ExitStatus};

/// Maximum length of the termination message, in bytes.
const LIMIT: usize = 4096;
/// Tekton's folder for a TaskRun.
pub(super) const ROOT: &str = "/tekton";
/// The longest form of a start time: milliseconds, and an offset instead of `Z`.
const STARTED_AT: (&str, &str) = ("StartedAt", "2006-01-02T15:04:05.000+07:00");

/// Whether this is a Tekton step.
pub(crate) fn is_here() -> bool {
    Path::new(ROOT).is_dir()
}

/// What a Tekton step can see of the cluster's credentials, for a refused request.
fn logins() -> Option<&'static str> {
    Path::new(ROOT).is_dir().then_some(
        "Tekton steps don't use imagePullSecrets: add the login to the `secrets` of the TaskRun's ServiceAccount, or \
         bind the workspace `credentials`",
    )
}

/// Adds a hint for Tekton steps to an error, if there is one.
pub(crate) fn hinted(error: Error) -> Error {
    let Some(hint) = hint(&error) else { return error };
    let hint = error.hint().map_or_else(|| hint.to_owned(), |own| format!("{own}; {hint}"));
    error.with_hint(hint)
}

fn hint(error: &Error) -> Option<&'static str> {
    if error.exit_status() == ExitStatus::Credentials {
        return logins();
    }
    Path::new(ROOT).is_dir().then(|| volume(error)).flatten()
}

/// The hint for a file that can't be read or written, about the volumes of a step.
fn volume(error: &Error) -> Option<&'static str> {
    let crate::ErrorKind::File { source, .. } = error.kind() else { return None };
    match source.kind() {
        ErrorKind::ReadOnlyFilesystem => Some(
            "in a Tekton step, the container and the workspace `source` are read-only: bind the workspace `layouts` to a \
             writable volume, and put `oci:` paths there",
        ),
        ErrorKind::PermissionDenied => Some(
            "the user of a Tekton step may not own the volume: set `fsGroup: 65532` in the `securityContext` of the \
             TaskRun's `podTemplate` for access to the workspaces `layouts` and `source`",
        ),
        _ => None,
    }
}

/// A result to be written.
pub(super) struct Bound<'a> {
    /// Its name for the user, such as `images`.
    pub(super) key: &'a str,
    /// Its file.
    pub(super) path: &'a Path,
    /// Its value.
    pub(super) value: &'a str,
}

/// Measures all results under `root`, including those that earlier steps of the same Task left there, since the
/// entrypoint of every step reads them all.
///
/// # Errors
///
/// `ErrorKind::CiOutput` if they are too long; names the longest.
pub(super) fn check(results: &[Bound], root: &Path) -> Result<(), Error> {
    let bound: Vec<&Bound> = results.iter().filter(|result| is_result(result.path, root)).collect();
    let Some(longest) = bound.iter().max_by_key(|result| result.value.len()) else {
        return Ok(());
    };
    let own: usize = bound.iter().map(|result| entry(&file_name(result.path), result.value)).sum();
    let earlier = others(&bound, root);
    let others: usize = earlier.iter().map(|(name, value)| entry(name, value)).sum();
    // Each entry includes its comma; the last one has none, but there are two brackets.
    let total = own + others + entry(STARTED_AT.0, STARTED_AT.1) + 1;
    if total <= LIMIT || is_more_carried(&entrypoint()) {
        return Ok(());
    }
    let shared = match earlier.len() {
        0 => String::new(),
        count => format!(" (with {count} of earlier steps)"),
    };
    let text = format!(
        "the results are too long for Tekton: together{shared} they make a message of {total} bytes, but the limit is \
         {LIMIT}"
    );
    let hint = format!(
        "leave out the longest, `{}` with {} bytes in {}, or write it to a workspace",
        longest.key,
        longest.value.len(),
        longest.path.display(),
    );
    Err(Error::ci_output(text).with_hint(hint))
}

/// The command line of the parent process: under Tekton, its entrypoint.
fn entrypoint() -> Vec<u8> {
    #[cfg(unix)]
    let line = fs::read(format!("/proc/{}/cmdline", std::os::unix::process::parent_id()));
    #[cfg(not(unix))]
    let line = Ok::<_, std::io::Error>(Vec::new());
    line.unwrap_or_default()
}

/// Whether the entrypoint's arguments, those before `--`, select a way to return results that carries more.
fn is_more_carried(command_line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(command_line);
    let mut words = line.split('\0');
    if words.next().is_none_or(|program| program.rsplit('/').next() != Some("entrypoint")) {
        return false;
    }
    let own: Vec<&str> = words.take_while(|word| *word != "--").map(|word| word.trim_start_matches('-')).collect();
    own.iter().any(|word| {
        matches!(
            *word,
            "result_from=sidecar-logs" | "compress_termination_message" | "compress_termination_message=true"
        )
    }) || own.windows(2).any(|pair| pair == ["result_from", "sidecar-logs"])
}

/// Whether Tekton reads `path` as a result: `/tekton/results/…` or `/tekton/steps/…/results/…`, but not its home.
fn is_result(path: &Path, root: &Path) -> bool {
    path.starts_with(root) && !path.starts_with(root.join("home")) && !path.starts_with(root.join("creds"))
}

/// Existing results that stay: their names and values.
fn others(bound: &[&Bound], root: &Path) -> Vec<(String, String)> {
    let mut folders: BTreeSet<PathBuf> =
        bound.iter().filter_map(|result| result.path.parent().map(Path::to_owned)).collect();
    folders.insert(root.join("results"));
    let mut found = Vec::new();
    for folder in folders {
        // Nothing is known about a folder that can't be listed.
        for file in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = file.path();
            let replaced = bound.iter().any(|result| result.path == path);
            if replaced || !path.is_file() {
                continue;
            }
            let mut bytes = Vec::new();
            // A larger one doesn't fit anyway.
            if fs::File::open(&path).and_then(|file| file.take(1 << 20).read_to_end(&mut bytes)).is_ok() {
                found.push((file_name(&path), String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }
    found
}

/// The bytes of `{"key":…,"value":…,"type":1}` and a comma; every type has one digit.
fn entry(key: &str, value: &str) -> usize {
    r#"{"key":"","value":"","type":1},"#.len() + escaped_length(key) + escaped_length(value)
}

/// The length of a quoted text as written by Go's `encoding/json`, which also escapes for HTML.
fn escaped_length(text: &str) -> usize {
    let length = |character| match character {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    };
    text.chars().map(length).sum()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::Folder;
    use super::*;

    /// The termination message that the entrypoint would write.
    fn message(results: &[(&str, &str)]) -> String {
        let mut entries: Vec<_> =
            results.iter().map(|(key, value)| serde_json::json!({"key": key, "value": value, "type": 1})).collect();
        entries.push(serde_json::json!({"key": STARTED_AT.0, "value": STARTED_AT.1, "type": 3}));
        serde_json::to_string(&entries).unwrap()
    }

    fn check_one(value: &str, folder: &Folder) -> Result<(), Error> {
        let path = folder.path("results/IMAGES");
        check(&[Bound { key: "images", path: &path, value }], &folder.0)
    }

    #[test]
    fn a_file_that_can_not_be_had_is_a_matter_of_workspaces() {
        let hint = |kind: ErrorKind| volume(&Error::file("write", "images/index.json")(kind.into()));
        assert!(hint(ErrorKind::ReadOnlyFilesystem).unwrap().contains("workspace `layouts`"));
        assert!(hint(ErrorKind::PermissionDenied).unwrap().contains("`fsGroup: 65532`"));
        assert_eq!(hint(ErrorKind::NotFound), None);
        assert_eq!(volume(&Error::usage("no")), None);
    }

    #[test]
    fn the_limit_is_that_of_the_whole_message() {
        let folder = Folder::new();
        let overhead = message(&[("IMAGES", "")]).len();
        let fits = "x".repeat(LIMIT - overhead);
        assert_eq!(message(&[("IMAGES", &fits)]).len(), LIMIT);
        check_one(&fits, &folder).unwrap();
        let error = check_one(&format!("{fits}x"), &folder).unwrap_err().one_line();
        assert_eq!(
            error,
            format!(
                "the results are too long for Tekton: together they make a message of 4097 bytes, but the limit is 4096; \
                 leave out the longest, `images` with {} bytes in {}, or write it to a workspace",
                fits.len() + 1,
                folder.path("results/IMAGES").display()
            )
        );
    }

    #[test]
    fn several_results_are_measured_together() {
        let folder = Folder::new();
        let (one, other) = (folder.path("results/A"), folder.path("steps/x/results/B"));
        let half = "x".repeat(2000);
        let bound = |path, value| Bound { key: "ref", path, value };
        check(&[bound(&one, &half)], &folder.0).unwrap();
        check(&[bound(&one, &half), bound(&other, &half)], &folder.0).unwrap_err();
    }

    #[test]
    fn results_of_earlier_steps_count_and_those_written_anew_do_not() {
        let folder = Folder::new();
        fs::create_dir(folder.path("results")).unwrap();
        fs::write(folder.path("results/IMAGES"), "y".repeat(4000)).unwrap();
        check_one("x", &folder).unwrap();
        fs::write(folder.path("results/EARLIER"), "y".repeat(4000)).unwrap();
        let error = check_one("x", &folder).unwrap_err().to_string();
        assert!(error.contains("together (with 1 of earlier steps) they make"), "{error}");
    }

    #[test]
    fn the_entrypoint_says_whether_more_is_carried() {
        let carries = |line: &str| is_more_carried(line.replace(' ', "\0").as_bytes());
        assert!(carries("/tekton/bin/entrypoint -result_from sidecar-logs -entrypoint /imgstep -- promote"));
        assert!(carries("/tekton/bin/entrypoint -compress_termination_message -entrypoint /imgstep -- promote"));
        for line in [
            "",
            "/tekton/bin/entrypoint -results A -entrypoint /imgstep -- promote -result_from sidecar-logs",
            "/tekton/bin/entrypoint -result_from termination-message -entrypoint /imgstep --",
            "/tekton/bin/entrypoint -compress_termination_message=false --",
            "/bin/sh -result_from sidecar-logs --",
        ] {
            assert!(!carries(line), "{line}");
        }
    }

    #[test]
    fn other_paths_have_no_limit() {
        let folder = Folder::new();
        let value = "x".repeat(5000);
        for path in [PathBuf::from("report.json"), folder.path("home/report.json")] {
            check(&[Bound { key: "json", path: &path, value: &value }], &folder.0).unwrap();
        }
    }

    #[test]
    fn escapes_count_as_go_writes_them() {
        assert_eq!(escaped_length("a\"\\\n"), 7);
        assert_eq!(escaped_length("<&>\u{1}\u{2028}é"), 32);
    }
}
