//! CircleCI: lines at the end of `$BASH_ENV`, which the shell of every later step of the job reads first.

use std::path::Path;

use crate::error::Error;
use crate::report::github;

/// Appends `export` lines of the outputs.
///
/// # Errors
///
/// `ErrorKind::File` if `file` can't be written.
pub(super) fn append(file: &Path, variables: &[(&str, String)]) -> Result<(), Error> {
    github::append(file, &exports(variables))
}

fn exports(variables: &[(&str, String)]) -> String {
    let export = |(name, value): &(&str, String)| format!("export {name}={}\n", quoted(value));
    variables.iter().map(export).collect::<Vec<_>>().concat()
}

/// A word that a shell takes for exactly this text: between single quotes only a single quote means anything.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::report::{sample, values};

    #[test]
    fn a_shell_reads_what_was_written() {
        let mut outcome = sample::single();
        let name = "oci:it's \"$(touch /nowhere)\" `id`\\ $HOME\n;x";
        outcome.destinations[0].name = name.to_owned();
        let exports = exports(&values::variables(&outcome));
        let script = format!("{exports}printf %s \"$IMGSTEP_NAME\"");
        let run = std::process::Command::new("sh").args(["-euc", &script]).output().unwrap();
        assert_eq!(String::from_utf8(run.stdout).unwrap(), name);
        assert!(exports.starts_with("export IMGSTEP_DIGEST='sha256:"));
    }
}
