//! GitLab CI/CD: a dotenv file that the job names under `artifacts:reports:dotenv`.

use std::path::Path;

use crate::error::Error;
use crate::report::results;

/// The file's name. It stands in `CI_PROJECT_DIR`, which paths of artifacts count from.
pub(super) const FILE: &str = "imgstep.env";

/// GitLab refuses a file of this many bytes or more, unless its administrator said otherwise.
const LIMIT: usize = 5 * 1024;

/// Sees whether GitLab takes the file.
///
/// # Errors
///
/// `ErrorKind::CiOutput` if it is too long, or holds a value that it has no way to write.
pub(super) fn check(file: &Path, variables: &[(&str, String)]) -> Result<(), Error> {
    let length = results::dotenv(variables)?.len();
    if length < LIMIT {
        return Ok(());
    }
    let longest = variables.iter().max_by_key(|(_, value)| value.len()).map_or("none", |(name, _)| name);
    let text = format!("{} would have {length} bytes, but GitLab takes less than {LIMIT}", file.display());
    let hint = format!("the longest is {longest}; use --result KEY=FILE instead of --ci");
    Err(Error::ci_output(text).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{sample, values};

    #[test]
    fn an_index_of_many_images_is_too_long() {
        let mut outcome = sample::promoted();
        check(Path::new(FILE), &values::variables(&outcome)).unwrap();
        let room = LIMIT - results::dotenv(&values::variables(&outcome)).unwrap().len();
        let each = format!(",registry.example/team/app@{}", sample::digest("x")).len();
        outcome.images.extend((0..room / each).map(|number| sample::digest(&number.to_string())));
        check(Path::new(FILE), &values::variables(&outcome)).unwrap();
        outcome.images.push(sample::digest("one more"));
        let error = check(Path::new(FILE), &values::variables(&outcome)).unwrap_err().to_string();
        assert!(error.starts_with("imgstep.env would have 5") && error.contains("less than 5120"), "{error}");
    }
}
