//! The resources of a bundle: read from files, checked, and sorted.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::document::{self, ResourceIdentity};
use crate::error::{Error, Result};
use crate::text::printable;
use crate::workspace;

/// Maximum number of resources that Tekton's resolver reads from a bundle (`MaximumBundleObjects`).
const LIMIT: usize = 20;
/// Maximum size of a file, in bytes. A cluster accepts no resource larger than 1.5 MiB.
const FILE_LIMIT: u64 = 32 * 1024 * 1024;
/// The group of Tekton's own kinds.
const TEKTON: &str = "tekton.dev/";

/// A resource of a bundle.
#[derive(Debug)]
pub(crate) struct Resource {
    /// Its kind and name.
    pub identity: ResourceIdentity,
    /// Its document in the file, without the `---` before it, and with line ends of `\n`.
    pub text: String,
    /// Where it was found, for messages.
    location: String,
}

/// Reads the resources of `paths`: files, folders, `-` for standard input.
///
/// # Errors
/// A file can't be read, or can't be in a bundle (`ErrorKind::Usage`).
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Resource>> {
    let mut resources: Vec<Resource> = Vec::new();
    for file in files(paths)? {
        let (name, text) = text_of(&file)?;
        let found = resources_of(&name, &text)?;
        if found.is_empty() {
            return Err(Error::usage(format!("{name} contains no resource")).with_hint("leave it out"));
        }
        resources.extend(found);
    }
    // Tekton finds them by kind and name, so the order is by these, not by file.
    resources.sort_by_cached_key(key);
    if let Some([first, second]) = resources.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
        let (called, kind) = (first.title(), &first.identity.kind);
        let text = format!(
            "{called} is in {} and in {}, and a bundle can hold only one {kind} of a name",
            first.location, second.location
        );
        return Err(Error::usage(text).with_hint("leave one out"));
    }
    if resources.len() > LIMIT {
        let text = format!("{} resources are given, but Tekton reads at most {LIMIT} from a bundle", resources.len());
        return Err(Error::usage(text).with_hint("split them into several bundles"));
    }
    Ok(resources)
}

/// Warnings about resources that a bundle isn't for.
pub(crate) fn warnings(resources: &[Resource]) -> Vec<String> {
    let strange = resources.iter().filter(|resource| !resource.identity.api_version.starts_with(TEKTON));
    let warning = |resource: &Resource| {
        format!(
            "{} in {} is none of Tekton's kinds, which are all that a bundle is for",
            resource.title(),
            resource.location
        )
    };
    strange.map(warning).collect()
}

/// What Tekton finds a resource by. The version of its API isn't part of it.
fn key(resource: &Resource) -> (String, String) {
    (resource.identity.kind.to_ascii_lowercase(), resource.identity.name.clone())
}

impl Resource {
    fn title(&self) -> String {
        format!("the {} `{}`", self.identity.kind, self.identity.name)
    }
}

/// The files of `paths`: for a folder, its files that end in `.yaml` or `.yml`.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if is_stdin(path) || !workspace::find(path).is_ok_and(|found| found.metadata.is_dir()) {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        for entry in fs::read_dir(path).map_err(Error::file("read", path))? {
            let file = entry.map_err(Error::file("read", path))?.path();
            let is_yaml = file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
            if is_yaml && file.is_file() {
                files.push(file);
            }
        }
        if files.len() == before {
            let name = shown(path);
            let error = Error::usage(format!("the folder {name} has no .yaml or .yml file"));
            return Err(error.with_hint("name the files themselves"));
        }
        files[before..].sort();
    }
    if files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(Error::usage("`-` is given twice, but standard input can be read only once"));
    }
    Ok(files)
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy(), 300)
}

/// The name and the text of a file, without a byte order mark, and with line ends of `\n`. To YAML these are the same, and
/// so a checkout on Windows gives the same bundle.
fn text_of(file: &Path) -> Result<(String, String)> {
    let name = if is_stdin(file) { "standard input".to_owned() } else { shown(file) };
    let mut bytes = Vec::new();
    let read = if is_stdin(file) {
        io::stdin().take(FILE_LIMIT + 1).read_to_end(&mut bytes)
    } else {
        workspace::open(file).and_then(|open| open.take(FILE_LIMIT + 1).read_to_end(&mut bytes))
    };
    read.map_err(Error::file("read", file))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(Error::usage(format!(
            "{name} is larger than {FILE_LIMIT} bytes, the limit for a file of resources"
        )));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::usage(format!("{name}: not valid YAML (the text is not UTF-8)")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok((name, text.replace("\r\n", "\n")))
}

/// The resources in the text of one file.
pub(crate) fn resources_of(name: &str, text: &str) -> Result<Vec<Resource>> {
    let documents = document::documents(text)
        .map_err(|error| Error::usage(format!("{name}:{}: not valid YAML: {}", error.line, error.reason)))?;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut resources = Vec::new();
    for document in documents {
        let location = format!("{name}:{}", document.line + 1);
        let identity = document.identity.map_err(|reason| {
            Error::usage(format!("{location} can't be in a bundle: {reason}")).with_hint("correct it, or leave it out")
        })?;
        let lines = lines.get(document.line..document.end).unwrap_or_default();
        // The `---` before it isn't part of it: one file for each and one file for all give the same bundle.
        let own = if lines.first().is_some_and(|line| line.trim_end() == "---") { &lines[1..] } else { lines };
        let text = own.concat();
        // It is alone in its layer: what it needs from other documents, such as a directive, would be missing there.
        let alone = document::documents(&text).ok().filter(|alone| alone.len() == 1);
        let alone = alone.and_then(|mut alone| alone.remove(0).identity.ok());
        if alone.as_ref() != Some(&identity) {
            return Err(Error::usage(format!("{location} can't be read without the rest of its file"))
                .with_hint("put it into a file of its own"));
        }
        resources.push(Resource { identity, text, location });
    }
    Ok(resources)
}
