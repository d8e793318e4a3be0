//! GitHub Actions: outputs, the job summary and annotations.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::console::Console;
use super::failure::FailedStep;
use super::inspection::Inspection;
use super::list::ListOutcome;
use super::outcome::Outcome;
use super::{markdown, stdout, values};
use crate::error::Error;

/// The most that GitHub takes as one step's summary, in bytes.
const SUMMARY_LIMIT: usize = 1024 * 1024;
/// The most that a list makes of outputs, in UTF-16's units: GitHub takes 1 MB from a job, measured so.
const OUTPUTS_LIMIT: usize = 500_000;

/// What the environment says about the files of GitHub Actions, and of what is made after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CiEnvironment {
    /// The file to which outputs are appended (`GITHUB_OUTPUT`).
    pub github_output: Option<PathBuf>,
    /// The file to which the job summary is appended (`GITHUB_STEP_SUMMARY`).
    pub github_step_summary: Option<PathBuf>,
}

impl CiEnvironment {
    /// What the environment says. A variable that is empty is not set.
    pub fn new(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self { github_output: path("GITHUB_OUTPUT"), github_step_summary: path("GITHUB_STEP_SUMMARY") }
    }
}

/// How grave an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something a user should know.
    Warning,
    /// The reason why the step failed.
    Error,
}

/// A workflow command that shows `message` at the run's page: `::error title=…::…`, without a newline at its end.
///
/// `title` and `message` may hold anything; what would end the command early is escaped as the runner expects. The
/// runner reads commands from stdout and stderr alike; ours go to stderr, since stdout holds the step's answer alone.
pub fn annotation(level: Level, title: &str, message: &str) -> String {
    let name = match level {
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let title = escape(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{name} title={title}::{}", escape(message))
}

fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Tells GitHub what a step did: outputs, and a job summary.
///
/// # Errors
///
/// `ErrorKind::File` if the outputs can't be written. A job summary that can't be written is a warning: nothing depends on
/// it.
pub fn tell(environment: &CiEnvironment, outcome: &Outcome, console: &Console) -> Result<(), Error> {
    if let Some(file) = &environment.github_output {
        append_outputs(file, outcome)?;
    }
    if let Some(file) = &environment.github_step_summary
        && let Err(error) = append_summary(file, outcome)
    {
        console.warn(&format!("the job summary is missing: {error}"));
    }
    Ok(())
}

/// [`tell`], of a list of images: outputs if all of it was done, and the job summary of any.
///
/// # Errors
///
/// As [`tell`].
pub fn tell_list(environment: &CiEnvironment, list: &ListOutcome, console: &Console) -> Result<(), Error> {
    if let Some(file) = environment.github_output.as_ref().filter(|_| list.failed.is_empty()) {
        for (output, instead) in append_list_outputs(file, list)? {
            console.warn(&format!(
                "the output `{output}` {instead}: GitHub takes 1 MB; --result writes it whole to a file"
            ));
        }
    }
    if let Some(file) = &environment.github_step_summary
        && let Err(error) = append_list_summary(file, list)
    {
        console.warn(&format!("the job summary is missing: {error}"));
    }
    Ok(())
}

/// Appends the outputs `digest`, `name`, `ref`, `images`, `tags` and `json` of `outcome` to `file`; of a plan `json`
/// alone, as with result files.
///
/// # Errors
///
/// `ErrorKind::File` if `file` can't be written.
pub fn append_outputs(file: &Path, outcome: &Outcome) -> Result<(), Error> {
    let delimiter = || format!("ghadelimiter_{:032x}", fastrand::u128(..));
    append(file, &outputs(outcome, delimiter)?)
}

/// Appends the outputs `images`, `tags` and `json` of a list to `file`, as much as GitHub takes.
///
/// Returns what was not written whole, and what became of it.
///
/// # Errors
///
/// `ErrorKind::File` if `file` can't be written.
pub fn append_list_outputs(file: &Path, list: &ListOutcome) -> Result<Vec<(&'static str, &'static str)>, Error> {
    let mut forms = Vec::new();
    if !list.dry_run {
        forms.push(("images", vec![list.refs().join(",")]));
        forms.push(("tags", vec![list.tags().join("\n")]));
    }
    forms.push(("json", vec![list.json()?, list.without_contents().json()?]));
    let delimiter = || format!("ghadelimiter_{:032x}", fastrand::u128(..));
    let (text, cut) = fitting(forms, OUTPUTS_LIMIT, delimiter);
    append(file, &text)?;
    Ok(cut)
}

/// The outputs, each in the first of its forms that has room, and those that are not there in their first.
fn fitting(
    outputs: Vec<(&'static str, Vec<String>)>,
    mut room: usize,
    mut delimiter: impl FnMut() -> String,
) -> (String, Vec<(&'static str, &'static str)>) {
    let (mut text, mut cut) = (String::new(), Vec::new());
    for (key, forms) in outputs {
        let length = |form: &String| form.encode_utf16().count();
        match forms.iter().enumerate().find(|(_, form)| length(form) <= room) {
            Some((position, form)) => {
                room -= length(form);
                text.push_str(&output(key, form, &mut delimiter));
                if position > 0 {
                    cut.push((key, "has no `manifests` and `blobs`"));
                }
            }
            None => cut.push((key, "is left out")),
        }
    }
    (text, cut)
}

/// Appends a summary for people to `file`, as much as GitHub takes.
///
/// # Errors
///
/// `ErrorKind::File` if `file` can't be written.
pub fn append_summary(file: &Path, outcome: &Outcome) -> Result<(), Error> {
    append(file, &markdown::render(outcome, summary_room(file)))
}

/// [`append_summary`], of a list of images.
///
/// # Errors
///
/// As [`append_summary`].
pub fn append_list_summary(file: &Path, list: &ListOutcome) -> Result<(), Error> {
    append(file, &markdown::render_list(list, summary_room(file)))
}

/// Appends to `file`, for people, that a step failed and why.
///
/// # Errors
///
/// As [`append_summary`].
pub fn append_failure(file: &Path, failed: &FailedStep) -> Result<(), Error> {
    append(file, &markdown::render_failed(failed, summary_room(file)))
}

fn summary_room(file: &Path) -> usize {
    let there = std::fs::metadata(file).map_or(0, |found| found.len());
    SUMMARY_LIMIT.saturating_sub(usize::try_from(there).unwrap_or(usize::MAX))
}

/// [`tell`], of what an image is made of.
///
/// # Errors
///
/// As [`tell`].
pub fn tell_inspection(environment: &CiEnvironment, inspection: &Inspection, console: &Console) -> Result<(), Error> {
    if let Some(file) = &environment.github_output {
        append_inspection(file, inspection)?;
    }
    if let Some(file) = &environment.github_step_summary
        && let Err(error) = append(file, &markdown::render_inspection(inspection, summary_room(file)))
    {
        console.warn(&format!("the job summary is missing: {error}"));
    }
    Ok(())
}

/// Appends the outputs `json`, `digest`, `name` and `ref` of what was looked at to `file`.
///
/// # Errors
///
/// `ErrorKind::File` if `file` can't be written.
pub fn append_inspection(file: &Path, inspection: &Inspection) -> Result<(), Error> {
    let mut delimiter = || format!("ghadelimiter_{:032x}", fastrand::u128(..));
    let name = inspection.pinned.split_once('@').map_or("", |(name, _)| name);
    let text: String = [
        ("json", stdout::json(inspection)?.trim_end()),
        ("digest", inspection.root.digest.as_str()),
        ("name", name),
        ("ref", &inspection.pinned),
    ]
    .into_iter()
    .map(|(key, value)| output(key, value, &mut delimiter))
    .collect();
    append(file, &text)
}

/// Declares to GitHub's runner what was written, `oci://registry/repository@sha256:…` on a line each. What is in a layout
/// on disk has no name that anybody could find it by.
///
/// # Errors
///
/// `ErrorKind::File` if `file` can't be written.
pub fn append_artifacts(file: &Path, outcome: &Outcome) -> Result<(), Error> {
    if outcome.dry_run {
        return Ok(());
    }
    let mut lines = String::new();
    for destination in outcome.destinations.iter().filter(|destination| !destination.pinned.starts_with("oci:")) {
        let _ = writeln!(lines, "oci://{}", destination.pinned);
    }
    append(file, &lines)
}

fn outputs(outcome: &Outcome, mut delimiter: impl FnMut() -> String) -> Result<String, Error> {
    let mut outputs = vec![("json", values::report(outcome)?)];
    if !outcome.dry_run {
        outputs.extend([
            ("digest", outcome.digest.to_string()),
            ("name", values::name(outcome).to_owned()),
            ("ref", values::pinned(outcome)),
            ("images", values::images(outcome).join(",")),
            ("tags", values::tags(outcome).join("\n")),
        ]);
    }
    Ok(outputs.into_iter().map(|(key, value)| output(key, &value, &mut delimiter)).collect())
}

/// One output in the form that takes values of several lines. The value ends at a line that is the delimiter, so that
/// a value with the delimiter in it could say where it ends and begin an output of its own.
fn output(key: &str, value: &str, delimiter: &mut impl FnMut() -> String) -> String {
    let mut chosen = delimiter();
    while value.contains(&chosen) {
        chosen = delimiter();
    }
    format!("{key}<<{chosen}\n{value}\n{chosen}\n")
}

/// Appends `text` to a file that others write too.
///
/// # Errors
///
/// `ErrorKind::File` if `file` can't be written.
pub(super) fn append(file: &Path, text: &str) -> Result<(), Error> {
    let write = || OpenOptions::new().append(true).create(true).open(file)?.write_all(text.as_bytes());
    write().map_err(Error::file("write", file))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::files::tests::Folder;
    use super::super::sample;
    use super::*;

    #[test]
    fn annotations_end_where_they_should() {
        assert_eq!(
            annotation(Level::Error, "imgstep: promote, 100%", "denied: 50%\r\n::set-output name=x::y, z"),
            "::error title=imgstep%3A promote%2C 100%25::denied: 50%25%0D%0A::set-output name=x::y, z"
        );
        assert_eq!(annotation(Level::Warning, "imgstep", "a, b: c"), "::warning title=imgstep::a, b: c");
    }

    #[test]
    fn outputs_have_their_values() {
        let outcome = sample::promoted();
        let text = outputs(&outcome, || "END".into()).unwrap();
        let name = "registry.example/team/app";
        let index = sample::digest("index");
        let children = ["amd64", "arm64", "attestation"].map(|seed| format!("{name}@{}", sample::digest(seed)));
        assert_eq!(
            text,
            format!(
                "json<<END\n{}\nEND\ndigest<<END\n{index}\nEND\nname<<END\n{name}\nEND\nref<<END\n{name}@{index}\nEND\n\
                 images<<END\n{}\nEND\ntags<<END\n{name}:v1\n{name}:latest\nmirror.example/app:v1\nEND\n",
                serde_json::to_string(&outcome).unwrap(),
                children.join(",")
            )
        );
    }

    #[test]
    fn a_plan_has_its_report_alone() {
        let mut outcome = sample::promoted();
        outcome.dry_run = true;
        let text = outputs(&outcome, || "END".into()).unwrap();
        assert!(text.starts_with("json<<END\n") && !text.contains("digest<<"), "{text}");
    }

    #[test]
    fn outputs_of_a_list_have_the_first_form_that_fits() {
        let forms = || {
            let text = |length| "x".repeat(length);
            vec![("images", vec![text(10)]), ("tags", vec![text(50)]), ("json", vec![text(100), text(20)])]
        };
        let keys = |text: &str| text.lines().filter_map(|line| line.strip_suffix("<<E")).collect::<Vec<_>>().join(" ");
        let (text, cut) = fitting(forms(), 160, || "E".into());
        assert_eq!((keys(&text), cut.len()), ("images tags json".to_owned(), 0));
        let (text, cut) = fitting(forms(), 80, || "E".into());
        assert_eq!(keys(&text), "images tags json");
        assert_eq!(cut, [("json", "has no `manifests` and `blobs`")]);
        let (text, cut) = fitting(forms(), 40, || "E".into());
        assert_eq!(keys(&text), "images json");
        assert_eq!(cut, [("tags", "is left out"), ("json", "has no `manifests` and `blobs`")]);
        let (text, cut) = fitting(forms(), 9, || "E".into());
        assert_eq!((text.as_str(), cut.len()), ("", 3));
    }

    #[test]
    fn images_in_registries_are_declared_as_artifacts() {
        let folder = Folder::new();
        let file = folder.path("artifacts");
        let mut outcome = sample::promoted();
        let digest = outcome.digest.clone();
        outcome.destinations.push(outcome.destinations[0].clone());
        outcome.destinations[2].pinned = format!("oci:build@{digest}");
        outcome.dry_run = true;
        append_artifacts(&file, &outcome).unwrap();
        assert!(folder.names().is_empty());
        outcome.dry_run = false;
        append_artifacts(&file, &outcome).unwrap();
        let expected = format!("oci://registry.example/team/app@{digest}\noci://mirror.example/app@{digest}\n");
        assert_eq!(fs::read_to_string(file).unwrap(), expected);
    }

    #[test]
    fn a_value_can_not_hold_its_delimiter() {
        let mut delimiters = ["A", "B", "C"].into_iter().map(String::from);
        let text = output("x", "1\nA\ny<<B", &mut || delimiters.next().unwrap());
        assert_eq!(text, "x<<C\n1\nA\ny<<B\nC\n");
    }

    #[test]
    fn files_are_appended_to() {
        let folder = Folder::new();
        let (output, summary) = (folder.path("output"), folder.path("summary"));
        fs::write(&output, "before=1\n").unwrap();
        append_outputs(&output, &sample::promoted()).unwrap();
        append_summary(&summary, &sample::promoted()).unwrap();
        let text = fs::read_to_string(&output).unwrap();
        assert!(text.starts_with("before=1\njson<<ghadelimiter_"), "{text}");
        assert!(fs::read_to_string(&summary).unwrap().starts_with("### Promoted "));
        let error = append_outputs(&folder.path("missing/output"), &sample::promoted()).unwrap_err();
        assert!(matches!(error.kind(), crate::ErrorKind::File { action: "write", .. }));
    }

    #[test]
    fn a_summary_stays_under_the_limit_with_what_is_there() {
        let folder = Folder::new();
        let summary = folder.path("summary");
        fs::write(&summary, "x".repeat(SUMMARY_LIMIT - 500)).unwrap();
        append_summary(&summary, &sample::promoted()).unwrap();
        let length = fs::read(&summary).unwrap().len();
        assert!(length > SUMMARY_LIMIT - 500 && length <= SUMMARY_LIMIT, "{length}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_an_error() {
        append_outputs(Path::new("/dev/full"), &sample::promoted()).unwrap_err();
    }
}
