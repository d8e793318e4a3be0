//! Result files: `--result KEY=FILE`, exact bytes for Tekton, Argo, GitLab and plain shells.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::files::{self, FileContent};
use super::list::ListOutcome;
use super::outcome::Outcome;
use super::{tekton, values};
use crate::error::Error;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultKey {
    /// The digest of the result.
    Digest,
    /// `registry/repository:tag` of the first destination, never with a digest.
    Url,
    /// `registry/repository@sha256:…` of the first destination.
    Ref,
    /// The children of an index by name and digest, with commas between; a single image names itself.
    Images,
    /// Every tag that names the result, in full, with commas between.
    Tags,
    /// What was read, as `{"uri":…,"digest":…}`.
    Source,
    /// The base, in the same shape.
    Base,
    /// The whole report.
    Json,
    /// Lines `IMGSTEP_…=…`.
    Dotenv,
}

/// One result and the file that it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultFile {
    /// What is wanted.
    pub key: ResultKey,
    /// Where it goes.
    pub path: PathBuf,
}

impl ResultKey {
    /// Every key, in the order in which users are told of them.
    pub const ALL: [Self; 9] = [
        Self::Digest,
        Self::Url,
        Self::Ref,
        Self::Images,
        Self::Tags,
        Self::Source,
        Self::Base,
        Self::Json,
        Self::Dotenv,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Url => "url",
            Self::Ref => "ref",
            Self::Images => "images",
            Self::Tags => "tags",
            Self::Source => "source",
            Self::Base => "base",
            Self::Json => "json",
            Self::Dotenv => "dotenv",
        }
    }
}

/// Reads the words of `--result`, each `KEY=FILE`; one whose FILE is empty is left out. `allowed` is what the step has.
///
/// # Errors
///
/// `ErrorKind::Usage` for a word without `=`, a key that is not in `allowed`, and a file that is named twice.
pub fn parse(words: &[String], allowed: &[ResultKey]) -> Result<Vec<ResultFile>, Error> {
    let keys = allowed.iter().map(|key| key.name()).collect::<Vec<_>>().join(", ");
    let mut files: Vec<ResultFile> = Vec::new();
    for word in words.iter().filter(|word| !word.is_empty()) {
        let usage = |what: String| Err(Error::usage(format!("--result {word}: {what}")));
        let Some((name, file)) = word.split_once('=') else {
            return usage(format!("write KEY=FILE, where KEY is one of {keys}"));
        };
        let Some(key) = ResultKey::ALL.into_iter().find(|key| key.name() == name) else {
            return usage(format!("unknown result `{name}`: use one of {keys}"));
        };
        if !allowed.contains(&key) {
            return usage(format!("this step has no result `{name}`; it has {keys}"));
        }
        if file.is_empty() {
            continue;
        }
        let path = PathBuf::from(file);
        // Devices take any number of results; a file would keep the last alone.
        if !path.starts_with("/dev") && files.iter().any(|other| other.path == path) {
            return usage("another result goes to the same file".into());
        }
        files.push(ResultFile { key, path });
    }
    Ok(files)
}

/// Sees, before anything is written to a registry, whether each file can be written; leaves everything as it is.
///
/// # Errors
///
/// `ErrorKind::File` naming the file.
pub fn preflight(files: &[ResultFile]) -> Result<(), Error> {
    files.iter().try_for_each(|file| files::preflight(&file.path))
}

/// Writes all results, or none. Of a plan (`dry_run`) only `json` is written: nothing else says that it is none yet.
///
/// # Errors
///
/// `ErrorKind::File` naming the file that can't be written, and `ErrorKind::CiOutput` if the results under `/tekton/` are too
/// long for Tekton. No result file of this run is left then.
pub fn write_all(files: &[ResultFile], outcome: &Outcome) -> Result<(), Error> {
    write_within(files, outcome, Path::new(tekton::ROOT))
}

/// [`write_all`], of a list of images.
///
/// # Errors
///
/// As [`write_all`].
pub fn write_list(files: &[ResultFile], list: &ListOutcome) -> Result<(), Error> {
    write_due(files, list.dry_run, Path::new(tekton::ROOT), &|key| render_list(key, list))
}

/// Takes back what [`write_all`] or [`write_list`] wrote, since the step fails after all.
pub(super) fn withdraw(files: &[ResultFile], dry_run: bool) {
    files.iter().filter(|file| is_due(file, dry_run)).for_each(|file| files::withdraw(&file.path));
}

fn write_within(files: &[ResultFile], outcome: &Outcome, tekton_root: &Path) -> Result<(), Error> {
    write_due(files, outcome.dry_run, tekton_root, &|key| render(key, outcome))
}

fn write_due(
    files: &[ResultFile],
    dry_run: bool,
    tekton_root: &Path,
    render: &dyn Fn(ResultKey) -> Result<String, Error>,
) -> Result<(), Error> {
    let due: Vec<&ResultFile> = files.iter().filter(|file| is_due(file, dry_run)).collect();
    let values = due.iter().map(|file| render(file.key)).collect::<Result<Vec<String>, Error>>()?;
    let bound: Vec<tekton::Bound> = due
        .iter()
        .zip(&values)
        .map(|(file, value)| tekton::Bound { key: file.key.name(), path: &file.path, value })
        .collect();
    tekton::check(&bound, tekton_root)?;
    let contents: Vec<FileContent> = due
        .iter()
        .zip(values)
        .map(|(file, value)| FileContent { path: file.path.clone(), bytes: value.into_bytes() })
        .collect();
    files::write_all(&contents)
}

fn is_due(file: &ResultFile, dry_run: bool) -> bool {
    !dry_run || file.key == ResultKey::Json
}

/// Of several images there is no such thing as the digest.
fn render_list(key: ResultKey, list: &ListOutcome) -> Result<String, Error> {
    match key {
        ResultKey::Images => Ok(list.refs().join(",")),
        ResultKey::Tags => Ok(list.tags().join(",")),
        ResultKey::Json => list.json(),
        ResultKey::Dotenv => dotenv(&values::list_variables(list)),
        _ => Err(Error::bug(format!("a list has no result `{}`", key.name()))),
    }
}

fn render(key: ResultKey, outcome: &Outcome) -> Result<String, Error> {
    let missing = || Error::bug(format!("the step reported no {}", key.name()));
    Ok(match key {
        ResultKey::Digest => outcome.digest.to_string(),
        ResultKey::Url => values::url(outcome),
        ResultKey::Ref => values::pinned(outcome),
        ResultKey::Images => values::images(outcome).join(","),
        ResultKey::Tags => values::tags(outcome).join(","),
        ResultKey::Source => values::input(outcome.source.as_ref().ok_or_else(missing)?),
        ResultKey::Base => values::input(outcome.base.as_ref().ok_or_else(missing)?),
        ResultKey::Json => values::report(outcome)?,
        ResultKey::Dotenv => dotenv(&values::variables(outcome))?,
    })
}

/// Lines as GitLab reads them: no quotes, no empty lines; a value ends where its line ends, loses the blanks around it,
/// and `$` in it begins the name of another variable.
///
/// # Errors
///
/// `ErrorKind::CiOutput` for a value that can't be written so.
pub(super) fn dotenv(variables: &[(&str, String)]) -> Result<String, Error> {
    let mut lines = String::new();
    for (name, value) in variables {
        // The path of a layout may hold anything.
        if value.chars().any(char::is_control) || value.contains('$') || value.trim() != *value {
            return Err(Error::ci_output(format!(
                "the result `dotenv` can't hold {value:?}: the format has no way to write it"
            )));
        }
        let _ = writeln!(lines, "{name}={value}");
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::files::tests::Folder;
    use super::super::sample;
    use super::*;

    const PROMOTE: [ResultKey; 8] = [
        ResultKey::Digest,
        ResultKey::Url,
        ResultKey::Ref,
        ResultKey::Images,
        ResultKey::Tags,
        ResultKey::Source,
        ResultKey::Json,
        ResultKey::Dotenv,
    ];

    fn parse_words(words: &[&str]) -> Result<Vec<ResultFile>, Error> {
        parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>(), &PROMOTE)
    }

    fn file(key: ResultKey, path: impl Into<PathBuf>) -> ResultFile {
        ResultFile { key, path: path.into() }
    }

    #[test]
    fn words_become_files() {
        let files = parse_words(&["digest=a", "ref=", "", "digest=b=c", "url=/dev/stdout", "ref=/dev/stdout"]).unwrap();
        let expected = [
            file(ResultKey::Digest, "a"),
            file(ResultKey::Digest, "b=c"),
            file(ResultKey::Url, "/dev/stdout"),
            file(ResultKey::Ref, "/dev/stdout"),
        ];
        assert_eq!(files, expected);
    }

    #[test]
    fn errors_tell_which_keys_there_are() {
        let message = |word: &str| match parse_words(&["digest=a", word]).unwrap_err().kind() {
            crate::ErrorKind::Usage(text) => text.clone(),
            other => panic!("not a usage error: {other}"),
        };
        let keys = "digest, url, ref, images, tags, source, json, dotenv";
        assert_eq!(message("digest"), format!("--result digest: write KEY=FILE, where KEY is one of {keys}"));
        assert_eq!(message("Digest=b"), format!("--result Digest=b: unknown result `Digest`: use one of {keys}"));
        assert_eq!(message("base="), format!("--result base=: this step has no result `base`; it has {keys}"));
        assert_eq!(message("ref=a"), "--result ref=a: another result goes to the same file");
    }

    #[test]
    fn each_key_has_its_exact_bytes() {
        let outcome = sample::promoted();
        let (index, amd64) = (sample::digest("index"), sample::digest("amd64"));
        let (arm64, attestation) = (sample::digest("arm64"), sample::digest("attestation"));
        let name = "registry.example/team/app";
        let images = format!("{name}@{amd64},{name}@{arm64},{name}@{attestation}");
        let rendered = |key| render(key, &outcome).unwrap();
        assert_eq!(rendered(ResultKey::Digest), index.as_str());
        assert_eq!(rendered(ResultKey::Url), "registry.example/team/app:v1");
        assert_eq!(rendered(ResultKey::Ref), format!("{name}@{index}"));
        assert_eq!(rendered(ResultKey::Images), images);
        assert_eq!(rendered(ResultKey::Tags), format!("{name}:v1,{name}:latest,mirror.example/app:v1"));
        assert_eq!(rendered(ResultKey::Source), format!(r#"{{"uri":"ghcr.io/org/build","digest":"{index}"}}"#));
        assert_eq!(
            rendered(ResultKey::Dotenv),
            format!(
                "IMGSTEP_DIGEST={index}\nIMGSTEP_REF={name}@{index}\nIMGSTEP_URL={name}:v1\nIMGSTEP_NAME={name}\n\
                 IMGSTEP_IMAGE_REFS={images}\n"
            )
        );
        assert_eq!(rendered(ResultKey::Json), serde_json::to_string(&outcome).unwrap());
        render(ResultKey::Base, &outcome).unwrap_err();
    }

    #[test]
    fn a_base_is_told_where_there_is_one() {
        let mut outcome = sample::single();
        outcome.base = Some(sample::source("docker.io/library/alpine", "3.22"));
        let expected = format!(r#"{{"uri":"docker.io/library/alpine","digest":"{}"}}"#, sample::digest("index"));
        assert_eq!(render(ResultKey::Base, &outcome).unwrap(), expected);
    }

    #[test]
    fn a_line_break_in_a_path_can_not_make_a_variable() {
        let mut outcome = sample::single();
        outcome.destinations[0].name = "oci:dir\nPATH=/evil".into();
        render(ResultKey::Dotenv, &outcome).unwrap_err();
    }

    #[test]
    fn results_that_tekton_would_refuse_leave_no_file() {
        let folder = Folder::new();
        fs::create_dir(folder.path("results")).unwrap();
        let mut outcome = sample::promoted();
        let files = [
            file(ResultKey::Url, folder.path("results/IMAGE_URL")),
            file(ResultKey::Digest, folder.path("results/IMAGE_DIGEST")),
            file(ResultKey::Ref, folder.path("results/IMAGE_REF")),
            file(ResultKey::Images, folder.path("results/IMAGES")),
            file(ResultKey::Digest, folder.path("elsewhere")),
        ];
        outcome.destinations[0].name = format!("registry.example/{}", "r".repeat(38));
        outcome.destinations[0].pinned = format!("{}@{}", outcome.destinations[0].name, outcome.digest);
        outcome.images = vec![sample::digest("child"); 30];
        let error = write_within(&files[..4], &outcome, &folder.0).unwrap_err().one_line();
        assert!(error.contains("the longest, `images` with 3839 bytes"), "{error}");
        assert!(error.contains("the limit is 4096"), "{error}");
        assert_eq!(fs::read_dir(folder.path("results")).unwrap().count(), 0);
        outcome.images.truncate(26);
        write_within(&files[..4], &outcome, &folder.0).unwrap();
        assert_eq!(fs::read_dir(folder.path("results")).unwrap().count(), 4);
        assert_eq!(fs::read_to_string(folder.path("results/IMAGE_DIGEST")).unwrap(), outcome.digest.as_str());
    }

    #[test]
    fn a_plan_gives_its_report_alone() {
        let folder = Folder::new();
        let mut outcome = sample::promoted();
        outcome.dry_run = true;
        let files = [file(ResultKey::Digest, folder.path("digest")), file(ResultKey::Json, folder.path("json"))];
        write_all(&files, &outcome).unwrap();
        assert_eq!(folder.names(), ["json"]);
    }
}
