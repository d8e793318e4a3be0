//! Result files: `--result KEY=FILE`, exact bytes for Tekton, Argo, GitLab and plain shells.

use std::path::{Path, PathBuf};

use super::files::{self, FileContent};
use super::subject::ReportSubject;
use super::tekton;
use super::values::{Channel, ReportValue, VALUES};
use crate::error::Error;

/// A result and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultFile {
    /// The value.
    pub value: ReportValue,
    /// The file.
    pub path: PathBuf,
}

/// Parses the values of `--result`, each `KEY=FILE`; one with an empty FILE is ignored. `is_given` returns whether the
/// step has a value.
///
/// # Errors
///
/// `ErrorKind::Usage` for an argument without `=`, a key that the step doesn't have, and a file that is named twice.
pub(crate) fn parse(args: &[String], is_given: impl Fn(&ReportValue) -> bool) -> Result<Vec<ResultFile>, Error> {
    let all = || VALUES.into_iter().filter(|value| value.channels.contains(&Channel::ResultFile));
    let keys = all().filter(&is_given).map(|value| value.name).collect::<Vec<_>>().join(", ");
    let mut files: Vec<ResultFile> = Vec::new();
    for arg in args.iter().filter(|arg| !arg.is_empty()) {
        let usage = |what: String| Err(Error::usage(format!("--result {arg}: {what}")));
        let Some((name, file)) = arg.split_once('=') else {
            return usage(format!("write KEY=FILE, where KEY is one of {keys}"));
        };
        let Some(value) = all().find(|value| value.name == name) else {
            return usage(format!("unknown result `{name}`: use one of {keys}"));
        };
        if !is_given(&value) {
            return usage(format!("this step has no result `{name}`; it has {keys}"));
        }
        if file.is_empty() {
            continue;
        }
        let path = PathBuf::from(file);
        // Devices accept any number of results; a file would keep only the last one.
        if !path.starts_with("/dev") && files.iter().any(|other| other.path == path) {
            return usage("another result goes to the same file".into());
        }
        files.push(ResultFile { value, path });
    }
    Ok(files)
}

/// Checks, before anything is written to a registry, whether each file can be written, without changing anything.
///
/// # Errors
///
/// `ErrorKind::File` naming the file.
pub(crate) fn preflight(files: &[ResultFile]) -> Result<(), Error> {
    files.iter().try_for_each(|file| files::preflight(&file.path))
}

/// Writes all results or none. In a dry run only `json` is written, since no other value shows that nothing was
/// written.
///
/// # Errors
///
/// `ErrorKind::File` naming the file that can't be written, and `ErrorKind::CiOutput` if the results under `/tekton/` are too
/// long for Tekton. No result file of this run is left then.
pub(super) fn write_all(files: &[ResultFile], subject: ReportSubject) -> Result<(), Error> {
    write_within(files, subject, Path::new(tekton::ROOT))
}

/// Undoes what [`write_all`] wrote, because the step failed after all.
pub(super) fn withdraw(files: &[ResultFile], subject: ReportSubject) {
    due(files, subject).for_each(|file| files::withdraw(&file.path));
}

/// The files to write.
fn due<'a>(files: &'a [ResultFile], subject: ReportSubject) -> impl Iterator<Item = &'a ResultFile> {
    let is_plan = subject.is_plan();
    files.iter().filter(move |file| file.value.in_plan || !is_plan)
}

fn write_within(files: &[ResultFile], subject: ReportSubject, tekton_root: &Path) -> Result<(), Error> {
    let due: Vec<&ResultFile> = due(files, subject).collect();
    let values = due.iter().map(|file| file.value.text(subject)).collect::<Result<Vec<String>, Error>>()?;
    let bound: Vec<tekton::Bound> = due
        .iter()
        .zip(&values)
        .map(|(file, value)| tekton::Bound { key: file.value.name, path: &file.path, value })
        .collect();
    tekton::check(&bound, tekton_root)?;
    let contents: Vec<FileContent> = due
        .iter()
        .zip(values)
        .map(|(file, value)| FileContent { path: file.path.clone(), bytes: value.into_bytes() })
        .collect();
    files::write_all(&contents)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::files::tests::Folder;
    use super::super::sample::{self, subject};
    use super::super::values::Inputs;
    use super::super::values::tests::named;
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Vec<ResultFile>, Error> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        parse(&words, |value| value.is_given(Inputs::SOURCE, false))
    }

    fn file(name: &str, path: impl Into<PathBuf>) -> ResultFile {
        ResultFile { value: named(name), path: path.into() }
    }

    #[test]
    fn words_become_files() {
        let files = parse_words(&["digest=a", "ref=", "", "digest=b=c", "url=/dev/stdout", "ref=/dev/stdout"]).unwrap();
        let expected =
            [file("digest", "a"), file("digest", "b=c"), file("url", "/dev/stdout"), file("ref", "/dev/stdout")];
        assert_eq!(files, expected);
    }

    #[test]
    fn errors_tell_which_keys_there_are() {
        let message = |word: &str| match parse_words(&["digest=a", word]).unwrap_err().kind() {
            crate::ErrorKind::Usage(text) => text.clone(),
            other => panic!("not a usage error: {other}"),
        };
        let keys = "digest, ref, url, images, tags, source, json, dotenv";
        assert_eq!(message("digest"), format!("--result digest: write KEY=FILE, where KEY is one of {keys}"));
        assert_eq!(message("Digest=b"), format!("--result Digest=b: unknown result `Digest`: use one of {keys}"));
        assert_eq!(message("base="), format!("--result base=: this step has no result `base`; it has {keys}"));
        assert_eq!(message("ref=a"), "--result ref=a: another result goes to the same file");
    }

    #[test]
    fn results_that_tekton_would_refuse_leave_no_file() {
        let folder = Folder::new();
        fs::create_dir(folder.path("results")).unwrap();
        let mut outcome = sample::promoted();
        let files = [
            file("url", folder.path("results/IMAGE_URL")),
            file("digest", folder.path("results/IMAGE_DIGEST")),
            file("ref", folder.path("results/IMAGE_REF")),
            file("images", folder.path("results/IMAGES")),
            file("digest", folder.path("elsewhere")),
        ];
        outcome.destinations[0].name = format!("registry.example/{}", "r".repeat(38));
        outcome.destinations[0].pinned = format!("{}@{}", outcome.destinations[0].name, outcome.digest);
        outcome.images = vec![sample::digest("child"); 30];
        let error = write_within(&files[..4], subject(&outcome), &folder.0).unwrap_err().one_line();
        assert!(error.contains("the longest, `images` with 3839 bytes"), "{error}");
        assert!(error.contains("the limit is 4096"), "{error}");
        assert_eq!(fs::read_dir(folder.path("results")).unwrap().count(), 0);
        outcome.images.truncate(26);
        write_within(&files[..4], subject(&outcome), &folder.0).unwrap();
        assert_eq!(fs::read_dir(folder.path("results")).unwrap().count(), 4);
        assert_eq!(fs::read_to_string(folder.path("results/IMAGE_DIGEST")).unwrap(), outcome.digest.as_str());
    }

    #[test]
    fn a_plan_gives_its_report_alone() {
        let folder = Folder::new();
        let mut outcome = sample::promoted();
        outcome.dry_run = true;
        let files = [file("digest", folder.path("digest")), file("json", folder.path("json"))];
        write_all(&files, subject(&outcome)).unwrap();
        assert_eq!(folder.names(), ["json"]);
    }
}
