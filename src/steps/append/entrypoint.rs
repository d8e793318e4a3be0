//! Checks that the program that an image starts with exists and can be started: in the given layers, or, where the base is
//! read too, in the base.

use std::collections::HashMap;

use serde_json::Value;

use super::Request;
use super::base::{Base, BaseImage};
use super::build::BuiltImages;
use super::layers::{self, Layer};
use crate::error::{Error, GuardKind, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::Content;
use crate::layer::decompress::{Decompressor, packing};
use crate::layer::interpreter::Interpreter;
use crate::layer::path_set::{PathBudget, PathSet, Start};
use crate::layer::scan::LayerScan;
use crate::layer::tar_inspector::TarInspector;
use crate::text::printable;
use crate::transfer::read_attempts::ReadAttempts;
use crate::transfer::store::Store;
use crate::transfer::verified::Verified;

/// The `PATH` of images that set none, as container engines have it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Maximum number of scripts that are interpreters of each other (about Linux's `BINPRM_MAX_RECURSION`).
const SCRIPTS_LIMIT: usize = 5;

impl Request {
    /// Whether entrypoints are looked for in the base too. On scratch that costs nothing; otherwise every layer of the base
    /// must be read.
    pub(super) fn looks_for_entrypoint(&self) -> bool {
        self.check_entrypoint.unwrap_or(self.base.is_none())
    }

    /// Whether the files of the given layers are checked at all.
    pub(super) fn looks_at_names(&self) -> bool {
        self.check_entrypoint != Some(false)
    }
}

/// The program that an image starts with.
struct Entrypoint<'a> {
    image: &'a BaseImage,
    program: String,
    /// The paths where it is looked for.
    paths: Vec<String>,
}

/// What happens when a program is started.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It runs, as far as is known.
    Starts,
    /// It doesn't exist.
    Absent,
    /// The file at this path isn't executable.
    NotExecutable(String),
    /// The interpreter or loader of the file at this path doesn't exist.
    Lacks(String, Interpreter),
}

/// Refuses, before anything is sent, an image whose entrypoint is set to a given file that isn't executable.
///
/// # Errors
/// `ErrorKind::Guard`, as of [`check`].
pub(super) fn check_given(request: &Request, base: &Base, layers: &[Layer]) -> Result<()> {
    let images = base.images.iter().filter(|image| request.looks_at_names() && image.platform.os != "windows");
    for image in images {
        let first = image.changes.entrypoint.as_ref().and_then(|words| words.first());
        let Some(program) = first.filter(|program| program.starts_with('/')) else { continue };
        let entrypoint = Entrypoint { image, program: program.clone(), paths: vec![program.clone()] };
        let verdict = entrypoint.judge(&own_names(layers, image));
        if matches!(verdict, Verdict::NotExecutable(_)) {
            return Err(entrypoint.refused(&verdict, ""));
        }
    }
    Ok(())
}

/// Refuses an image whose first program can't start: it doesn't exist, isn't executable, or its interpreter doesn't exist.
/// Returns warnings about what can't be checked. If the base isn't read, only programs in the given layers are refused, and
/// only those that aren't executable.
///
/// Such a program isn't made executable instead: its mode is part of the layer's digest, and a layer must not depend on the
/// entrypoint of its image.
///
/// # Errors
/// `ErrorKind::Guard`, naming the platform and where the program was looked for; a layer of the base that can't be read.
pub(super) async fn check(
    request: &Request,
    base: &Base,
    images: &BuiltImages,
    layers: &[Layer],
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if !request.looks_at_names() {
        return Ok(warnings);
    }
    let (mut read, mut room) = (HashMap::new(), PathBudget::default());
    for (image, (_, config)) in base.images.iter().zip(&images.configs) {
        let Some(entrypoint) = Entrypoint::of(image, config) else { continue };
        let names = own_names(layers, image);
        let verdict = entrypoint.judge(&names);
        if verdict == Verdict::Starts {
            continue;
        }
        let store = base.store.as_ref().filter(|_| request.looks_for_entrypoint());
        let Some(store) = store else {
            if base.store.is_none() && !names.are_whole() {
                warnings.push(entrypoint.not_known("what was given"));
            } else if base.store.is_none() || matches!(verdict, Verdict::NotExecutable(_)) {
                return Err(entrypoint.refused(&verdict, ""));
            }
            continue;
        };
        let Some(mut names) = names_in_base(store, image, &mut read, &mut room).await? else {
            warnings.push(format!(
                "the base of {} has layers that are not in the registry: whether it holds {} is not known",
                image.platform,
                printable(&entrypoint.program, 200)
            ));
            continue;
        };
        put_own(&mut names, layers, image);
        match entrypoint.judge(&names) {
            Verdict::Starts => {}
            _ if !names.are_whole() => warnings.push(entrypoint.not_known("the base")),
            verdict => return Err(entrypoint.refused(&verdict, " and not in the base")),
        }
    }
    Ok(warnings)
}

impl<'a> Entrypoint<'a> {
    /// The entrypoint in a config; `None` if there is none, and for Windows, which has rules of its own.
    fn of(image: &'a BaseImage, config: &[u8]) -> Option<Self> {
        if image.platform.os == "windows" {
            return None;
        }
        let config: Value = serde_json::from_slice(config).unwrap_or_default();
        let program = first_argument(&config["config"])?;
        let paths = paths(&program, &config["config"]);
        Some(Self { image, program, paths })
    }

    /// What happens if it is started with these files. The first that is executable is used, as in engines.
    fn judge(&self, names: &PathSet) -> Verdict {
        let mut verdict = Verdict::Absent;
        for place in &self.paths {
            match names.start(place.as_bytes()) {
                Some(Start::Never) if verdict == Verdict::Absent => verdict = Verdict::NotExecutable(place.clone()),
                None | Some(Start::Never) => {}
                Some(Start::Alone) => return Verdict::Starts,
                Some(Start::By(by)) => {
                    let missing = missing(names, by);
                    return missing.map_or(Verdict::Starts, |by| Verdict::Lacks(place.clone(), by.clone()));
                }
            }
        }
        verdict
    }

    fn refused(&self, verdict: &Verdict, looked_at: &str) -> Error {
        let (reason, remedy) = match verdict {
            Verdict::Starts | Verdict::Absent => (
                format!(
                    "which is in none of the given layers{looked_at} (looked for: {})",
                    printable(&self.paths.join(", "), 400)
                ),
                None,
            ),
            Verdict::NotExecutable(place) => (
                format!("and {} is not executable (GitHub's artifacts lose that)", printable(place, 200)),
                Some("add `,mode=0755` to its layer, or run `chmod +x` first".to_owned()),
            ),
            Verdict::Lacks(place, by) => lacking(place, by, looked_at),
        };
        let program = printable(&self.program, 200);
        let text = format!("the image for {} starts with {program}, {reason}", self.image.platform);
        let remedy = remedy.map(|remedy| format!("{remedy}; ")).unwrap_or_default();
        let hint = format!("{remedy}--check-entrypoint=false skips this check");
        Error::guard(GuardKind::MissingEntrypoint, text).with_hint(hint)
    }

    /// The warning if there are more names than are kept.
    fn not_known(&self, which: &str) -> String {
        format!(
            "{which} of {} holds more files or links than are looked through: whether it holds {} is not known",
            self.image.platform,
            printable(&self.program, 200)
        )
    }
}

/// The first of the interpreters that start each other which doesn't exist or isn't executable.
fn missing<'n>(names: &'n PathSet, by: &'n Interpreter) -> Option<&'n Interpreter> {
    let mut by = by;
    for _ in 0..SCRIPTS_LIMIT {
        // A relative path depends on where the container starts.
        if !by.path.starts_with(b"/") {
            return None;
        }
        match names.start(&by.path) {
            None | Some(Start::Never) => return Some(by),
            Some(Start::Alone) => return None,
            Some(Start::By(next)) => by = next,
        }
    }
    None
}

/// The text about an interpreter that is missing, and what to do about it.
fn lacking(place: &str, by: &Interpreter, looked_at: &str) -> (String, Option<String>) {
    let (place, path) = (printable(place, 200), printable(&String::from_utf8_lossy(&by.path), 200));
    if by.is_script {
        let text = format!(
            "and {place} is a script for {path}, which is in none of the given layers{looked_at}, or not executable"
        );
        return (text, Some("use a base that has it".to_owned()));
    }
    let libc = if path.contains("musl") { "musl" } else { "glibc" };
    let text =
        format!("and {place} is linked dynamically: it needs {path}, which is in none of the given layers{looked_at}");
    let hint = format!(
        "link it statically (Rust: a musl target, or -C target-feature=+crt-static; Go: CGO_ENABLED=0), or use a base \
         with {libc}"
    );
    (text, Some(hint))
}

fn own_names(layers: &[Layer], image: &BaseImage) -> PathSet {
    let mut names = PathSet::default();
    put_own(&mut names, layers, image);
    names
}

fn put_own(names: &mut PathSet, layers: &[Layer], image: &BaseImage) {
    for layer in layers::of(layers, image) {
        if let Some(own) = &layer.built.findings.names {
            names.put_on(own);
        }
    }
}

/// The program of a config: the first argument of the entrypoint or, without an entrypoint, of the cmd.
fn first_argument(config: &Value) -> Option<String> {
    let first = |name: &str| config[name].as_array()?.first()?.as_str().map(str::to_owned);
    first("Entrypoint").or_else(|| first("Cmd"))
}

/// The paths where a program may be.
fn paths(program: &str, config: &Value) -> Vec<String> {
    if program.starts_with('/') {
        return vec![program.to_owned()];
    }
    let folder = config["WorkingDir"].as_str().unwrap_or_default();
    if program.contains('/') {
        return vec![format!("{folder}/{program}")];
    }
    let env = config["Env"].as_array().map(Vec::as_slice).unwrap_or_default();
    let path = env.iter().filter_map(|entry| entry.as_str()?.strip_prefix("PATH=")).next_back();
    let folders = path.unwrap_or(DEFAULT_PATH).split(':').filter(|folder| folder.starts_with('/'));
    folders.map(|folder| format!("{}/{program}", folder.trim_end_matches('/'))).collect()
}

/// The names in an image of the base; `None` if it has foreign layers.
async fn names_in_base(
    store: &Store,
    image: &BaseImage,
    read: &mut HashMap<Digest, PathSet>,
    room: &mut PathBudget,
) -> Result<Option<PathSet>> {
    let Content::Image { layers, .. } = image.manifest.content()? else { return Ok(None) };
    let mut names = PathSet::default();
    for layer in &layers {
        if layer.is_foreign() {
            return Ok(None);
        }
        if !read.contains_key(&layer.digest) {
            // All layers of the base, for all platforms, share one budget.
            let own = names_in_layer(store, layer, *room).await?;
            *room = own.room();
            read.insert(layer.digest.clone(), own);
        }
        if let Some(own) = read.get(&layer.digest) {
            names.put_on(own);
        }
    }
    Ok(Some(names))
}

/// The names in a layer of the base, which is read completely, and again if wrong bytes came.
async fn names_in_layer(store: &Store, layer: &Descriptor, room: PathBudget) -> Result<PathSet> {
    let attempts = ReadAttempts::default();
    loop {
        match read_layer(store, layer, room, &attempts).await {
            Err(error) if attempts.once_more(&error) => {}
            result => return result,
        }
    }
}

async fn read_layer(store: &Store, layer: &Descriptor, room: PathBudget, attempts: &ReadAttempts) -> Result<PathSet> {
    let what = format!("layer {} of {}", layer.digest, store.name());
    let mut verified = Verified::open(store.into(), layer, 0, None, attempts).await?;
    let mut findings = LayerScan::with_room(room);
    let mut inspector = TarInspector::new(&what, &mut findings);
    let mut unpacker: Option<Decompressor> = None;
    while let Some(piece) = verified.next().await? {
        let unpacker = match &mut unpacker {
            Some(unpacker) => unpacker,
            None => unpacker.insert(Decompressor::new(packing(&piece), what.clone())?),
        };
        unpacker.push(&piece, &mut |plain| inspector.push(plain))?;
    }
    if let Some(mut unpacker) = unpacker {
        unpacker.finish(&mut |plain| inspector.push(plain))?;
        inspector.finish()?;
    }
    Ok(findings.names.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn where_a_program_is_looked_for() {
        let config = json!({"WorkingDir": "/srv", "Env": ["A=1", "PATH=/opt/bin/:bin:/bin"]});
        assert_eq!(paths("/app", &config), ["/app"]);
        assert_eq!(paths("./app", &config), ["/srv/./app"]);
        assert_eq!(paths("app", &config), ["/opt/bin/app", "/bin/app"]);
        assert_eq!(paths("app", &json!({})).len(), 6);
        assert_eq!(first_argument(&json!({"Entrypoint": [], "Cmd": ["sh", "-c"]})), Some("sh".to_owned()));
        assert_eq!(first_argument(&json!({"Entrypoint": null, "Cmd": null})), None);
    }
}
