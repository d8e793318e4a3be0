//! GitLab CI/CD: a dotenv file that the job names under `artifacts:reports:dotenv`.

use std::path::PathBuf;
use std::process;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::system::{self, CiSystem, OutputWriter, Outputs, SourceVariables};
use crate::error::Error;
use crate::report::console::Console;
use crate::report::files;
use crate::report::level::{self, GROUP_TITLE, LogStyle};
use crate::report::results::ResultFile;
use crate::report::subject::ReportSubject;
use crate::report::values::{self, DOTENV};

/// GitLab CI/CD.
pub(super) const SYSTEM: CiSystem = CiSystem {
    name: "gitlab",
    help: "The dotenv file $CI_PROJECT_DIR/imgstep.env",
    detect: &["GITLAB_CI"],
    debug: None,
    source_variables: Some(SourceVariables {
        address: &["CI_PROJECT_URL"],
        commit: "CI_COMMIT_SHA",
        tag: "CI_COMMIT_TAG",
        tag_if: None,
        needs_commit: true,
    }),
    log: LogStyle { mark: level::plain, one_text: false, group: Some(section) },
    outputs: Outputs::Own(|variable| {
        Ok(Rc::new(DotenvFile(system::place("gitlab", "CI_PROJECT_DIR", variable)?.join(FILE))))
    }),
};

/// The file's name in `CI_PROJECT_DIR`, the root of artifact paths.
const FILE: &str = "imgstep.env";

/// GitLab's default limit for the file, in bytes (exclusive); administrators can change it.
const LIMIT: usize = 5 * 1024;

/// A file that is written together with the result files.
#[derive(Debug)]
struct DotenvFile(PathBuf);

impl OutputWriter for DotenvFile {
    fn preflight(&self) -> Result<(), Error> {
        files::preflight(&self.0)
    }

    fn result_file(&self) -> Option<ResultFile> {
        Some(ResultFile { value: DOTENV, path: self.0.clone() })
    }

    fn check(&self, subject: ReportSubject) -> Result<(), Error> {
        let variables = values::variables(subject)?;
        let length = values::dotenv(&variables)?.len();
        if length < LIMIT {
            return Ok(());
        }
        let longest = variables.iter().max_by_key(|(_, value)| value.len()).map_or("none", |(name, _)| name);
        let text = format!("{} would have {length} bytes, but GitLab takes less than {LIMIT}", self.0.display());
        let hint = format!("the longest is {longest}; use --result KEY=FILE instead of --ci");
        Err(Error::ci_output(text).with_hint(hint))
    }

    fn write(&self, _: ReportSubject, _: &Console) -> Result<(), Error> {
        Ok(())
    }
}

/// A collapsed section.
fn section(number: usize) -> (String, String) {
    let name = format!("imgstep_{}_{number}", process::id());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let mark = |what: &str| format!("\u{1b}[0Ksection_{what}\r\u{1b}[0K");
    let start = mark(&format!("start:{now}:{name}[collapsed=true]"));
    (format!("{start}{GROUP_TITLE}"), mark(&format!("end:{now}:{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn an_index_of_many_images_is_too_long() {
        let mut outcome = sample::promoted();
        let check = |subject: ReportSubject| DotenvFile(FILE.into()).check(subject);
        check(sample::subject(&outcome)).unwrap();
        let room = LIMIT - values::dotenv(&values::variables(sample::subject(&outcome)).unwrap()).unwrap().len();
        let each = format!(",registry.example/team/app@{}", sample::digest("x")).len();
        outcome.images.extend((0..room / each).map(|number| sample::digest(&number.to_string())));
        check(sample::subject(&outcome)).unwrap();
        outcome.images.push(sample::digest("one more"));
        let error = check(sample::subject(&outcome)).unwrap_err().to_string();
        assert!(error.starts_with("imgstep.env would have 5") && error.contains("less than 5120"), "{error}");
    }
}
