//! The layers of an append: each made once, whichever images it goes on.

use std::sync::Arc;

use bytes::Bytes;

use super::Request;
use super::base::{Base, BaseImage};
use super::build::Built;
use crate::error::{Error, Result, printable};
use crate::layer::compress::threads;
use crate::layer::make::{Made, Recipe, Source};
use crate::layer::spec::LayerSpec;
use crate::layer::tarfile;
use crate::layer::walk::{self, Surroundings};
use crate::transfer::made;

/// So many bytes of layers are kept between the moment they are made and the moment they are sent; what is larger is
/// made a second time, if a destination lacks it.
const KEEP_LIMIT: u64 = 32 * 1024 * 1024;

/// A layer that was made.
pub struct Layer {
    /// Its position in the request; `None` of that which holds deletions.
    pub number: Option<usize>,
    /// It is for Windows.
    pub windows: bool,
    /// How it is made again.
    pub recipe: Arc<Recipe>,
    /// What came of it.
    pub made: Made,
    /// What history says of it.
    pub title: String,
}

/// The layers that go on an image, lowest first.
pub fn of<'a>(layers: &'a [Layer], image: &'a BaseImage) -> impl Iterator<Item = &'a Layer> {
    let windows = image.platform.os == "windows";
    layers.iter().filter(move |layer| {
        layer.windows == windows && layer.number.is_none_or(|number| image.layers.contains(&number))
    })
}

/// Makes every layer that some image needs.
///
/// # Errors
/// A file that can't be read or can't stand in a layer.
pub async fn make(request: &Request, base: &Base) -> Result<Vec<Layer>> {
    let mut layers = Vec::new();
    let mut room = KEEP_LIMIT;
    for windows in [false, true] {
        let images = || base.images.iter().filter(|image| (image.platform.os == "windows") == windows);
        if images().next().is_none() {
            continue;
        }
        let deletions = (!request.delete.is_empty()).then_some(None);
        let numbers = (0..request.layers.len()).filter(|number| images().any(|image| image.layers.contains(number)));
        for number in deletions.into_iter().chain(numbers.map(Some)) {
            let (request, keep) = (request.clone(), room);
            // Files are read and compressed on threads that may block.
            let making = tokio::task::spawn_blocking(move || make_one(&request, number, windows, keep));
            let layer = making.await.map_err(|error| Error::Other(format!("a layer can't be made: {error}")))??;
            if layer.made.kept.is_some() {
                room -= layer.made.size;
            }
            layers.push(layer);
        }
    }
    Ok(layers)
}

fn make_one(request: &Request, number: Option<usize>, windows: bool, keep: u64) -> Result<Layer> {
    let (source, title) = match number {
        None => (Source::Entries(walk::whiteouts(&request.delete)), format!("delete {}", listed(&request.delete))),
        Some(number) => source_of(&request.layers[number], request, windows)?,
    };
    let source = match source {
        Source::Entries(entries) if windows => Source::Entries(walk::for_windows(entries)),
        source => source,
    };
    let recipe = Recipe { source, compression: request.compression, mtime: request.mtime, windows, threads: threads() };
    let made = recipe.make(keep)?;
    Ok(Layer { number, windows, recipe: Arc::new(recipe), made, title: format!("imgstep append: {title}") })
}

/// What is in a layer, and a line that says so without a name of this machine.
fn source_of(spec: &LayerSpec, request: &Request, windows: bool) -> Result<(Source, String)> {
    if spec.dest.is_none() && tarfile::is_named_tar(&spec.path) {
        let form = tarfile::form(&spec.path)?;
        return Ok((Source::Tar(spec.path.clone(), form), "tar".to_owned()));
    }
    let surroundings =
        Surroundings { exclude: &request.exclude, is_scratch: request.base.is_none(), is_windows: windows };
    let entries = walk::entries(spec, &surroundings)?;
    let title = if spec.path.is_dir() {
        let dest = spec.dest.as_ref().map(|dest| dest.path.as_str()).unwrap_or_default();
        format!("folder at /{dest}")
    } else {
        let path = entries.last().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).unwrap_or_default();
        format!("file at /{path}")
    };
    Ok((Source::Entries(entries), printable(&title, 300)))
}

fn listed(paths: &[String]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| format!("/{path}")).collect();
    printable(&paths.join(" "), 300)
}

/// Refuses programs that can't run where they would go.
///
/// # Errors
/// [`Error::Guard`], naming the file, both platforms and the word that was probably meant.
pub fn check_programs(request: &Request, base: &Base, layers: &[Layer]) -> Result<()> {
    for image in &base.images {
        for layer in of(layers, image) {
            let wrong = layer.made.findings.all().find(|(_, binary)| !binary.runs_on(&image.platform));
            let Some((file, binary)) = wrong else { continue };
            let spec = layer.number.and_then(|number| request.layers.get(number));
            let path = spec.map(|spec| spec.path.display().to_string()).unwrap_or_default();
            return Err(Error::Guard(format!(
                "{file} is a program for {binary} ({}) and would go on {}; probably `--layer {}=…,platform={}` was meant (--allow-foreign-binaries lets it pass)",
                binary.format,
                image.platform,
                printable(&path, 200),
                binary.platform()
            )));
        }
    }
    Ok(())
}

/// All that is to be sent and was made here.
pub fn into_store(layers: Vec<Layer>, built: &Built) -> made::Made {
    let mut store = made::Made::default();
    for layer in layers {
        let content = match layer.made.kept {
            Some(pieces) => made::Content::Kept(pieces),
            None => made::Content::Layer(layer.recipe),
        };
        store.add(layer.made.digest, content);
    }
    for (descriptor, bytes) in &built.configs {
        store.add(descriptor.digest.clone(), made::Content::Kept(vec![Bytes::clone(bytes)]));
    }
    store
}
