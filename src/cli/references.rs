//! Parses references among the arguments, and recognises files and folders.

use std::path::Path;

use super::args::list;
use crate::error::Error;
use crate::image::reference::Reference;
use crate::image::reference_mistakes;
use crate::text::printable;

/// Parses a required reference.
///
/// # Errors
/// It is empty, invalid, or the name of a file (`ErrorKind::Usage`).
pub fn reference(name: &str, word: &str) -> Result<Reference, Error> {
    let word = word.trim();
    let reference: Reference = word.parse().map_err(|error| Error::usage(format!("{name}: {error}")))?;
    if let Some(meant) = on_disk(word, &reference) {
        return Err(Error::usage(format!("{name}: {meant}")));
    }
    Ok(reference)
}

/// Parses all references of a list, ignoring empty ones.
///
/// # Errors
/// As for [`reference()`].
pub fn references(name: &str, words: &[String]) -> Result<Vec<Reference>, Error> {
    list(words).iter().map(|word| reference(name, word)).collect()
}

/// What to write instead of a file or folder that would be looked up at Docker Hub.
fn on_disk(word: &str, reference: &Reference) -> Option<String> {
    let Reference::Registry(named) = reference else { return None };
    let registry = word.split('/').next().unwrap_or_default();
    // Only a name without a registry can be a relative path.
    if !named.counts_pulls() || registry.contains(['.', ':']) && word.contains('/') {
        return None;
    }
    let path = Path::new(word);
    let kind = if path.is_dir() {
        "folder"
    } else if path.is_file() {
        "file"
    } else {
        return None;
    };
    let shown = printable(word, 300);
    Some(format!(
        "`{shown}` is a {kind} here; {}; for the image at Docker Hub write `{reference}`",
        reference_mistakes::of_path(word)
    ))
}
