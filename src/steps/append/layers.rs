//! The layers of an append: each made once, whichever images it goes on.
//!
//! A layer that is small when compressed is kept until it is known whether it is wanted. A large one can't be: where a
//! destination most likely lacks it, it is sent while it is made, and named at the end; where it most likely is, it is
//! made for its digest alone.

use std::collections::{BTreeSet, HashSet};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::base::{Base, BaseImage};
use super::build::Built;
use super::{Request, remote_layers};
use crate::error::{Error, GuardKind, Result};
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::layer::recipe::{BuildOptions, BuiltLayer, LayerSource, Recipe, TarOrigin};
use crate::layer::spec::LayerSpec;
use crate::layer::tar_inspector;
use crate::layer::walk::{self, FileTree};
use crate::registry::manifests::Presence;
use crate::report::outcome::Action;
use crate::report::progress::Item;
use crate::steps::context::Context;
use crate::steps::goals::{Goal, IfExists};
use crate::text::{escaped, printable};
use crate::transfer::destination::Destination;
use crate::transfer::generated;
use crate::transfer::ingest::{UncommittedBlob, stream};
use crate::transfer::store::Store;
use crate::workspace;

/// So many bytes of layers are kept between the moment they are made and the moment they are sent. With what compressing
/// takes (`Compression::threads`) and all else, that is less than 64 MB.
const KEEP_LIMIT: u64 = 24 * 1024 * 1024;

/// A layer that was made.
pub struct Layer {
    /// Its position in the request; `None` of that which holds deletions.
    pub number: Option<usize>,
    /// It is for Windows, or for all else; `None` of a tar, which is taken as it is.
    pub windows: Option<bool>,
    /// How it is made again.
    pub recipe: Arc<Recipe>,
    /// What came of it.
    pub made: BuiltLayer,
    /// What history says of it.
    pub title: String,
    /// It lies at these destinations, by position, and has no name there yet.
    sent: Vec<(usize, UncommittedBlob)>,
    /// Told when it has.
    item: Option<Item>,
}

/// The layers that go on an image, lowest first.
pub fn of<'a>(layers: &'a [Layer], image: &BaseImage) -> Vec<&'a Layer> {
    let windows = image.platform.os == "windows";
    let goes_on = |layer: &&Layer| {
        layer.windows.is_none_or(|own| own == windows)
            && layer.number.is_none_or(|number| image.layers.contains(&number))
    };
    let mut found: Vec<&Layer> = layers.iter().filter(goes_on).collect();
    found.sort_by_key(|layer| layer.number);
    found
}

/// Where layers are to go.
pub struct AppendContext<'a> {
    /// What all steps need.
    pub context: &'a Context,
    /// What was asked for.
    pub request: &'a Request,
    /// The destinations and what their tags name.
    pub goals: &'a [Goal],
    /// The same destinations.
    pub destinations: &'a [Destination],
}

/// A layer to be made.
struct LayerPlan {
    number: Option<usize>,
    windows: Option<bool>,
    recipe: Recipe,
    title: String,
    /// The first platform that it goes on.
    platform: Platform,
}

/// A layer that is being made. What there is no room to keep waits for someone to take it.
pub struct PendingLayer {
    recipe: Arc<Recipe>,
    keep: u64,
    pieces: mpsc::Receiver<Bytes>,
    making: JoinHandle<Result<BuiltLayer>>,
}

impl PendingLayer {
    /// Files are read and compressed on threads that may block.
    fn new(recipe: Recipe, keep: u64, with_names: bool) -> Self {
        let recipe = Arc::new(recipe);
        let (sender, pieces) = mpsc::channel(1);
        let making = tokio::task::spawn_blocking({
            let recipe = Arc::clone(&recipe);
            move || {
                let mut overflow = |piece: Bytes| sender.blocking_send(piece).is_ok();
                recipe.make(&mut BuildOptions { keep, with_names, overflow: &mut overflow })
            }
        });
        Self { recipe, keep, pieces, making }
    }
}

/// Begins the first layer before the base is known, as most bases will want it: so it is made while the registries are
/// waited for. `None` where that is less sure; what is wrong with the files is said when their turn comes.
pub fn begin_first(request: &Request) -> Option<PendingLayer> {
    if !request.delete.is_empty() {
        return None;
    }
    let (source, _) = source_of(request.layers.first()?, request, false).ok()?;
    let compression = request.compression;
    let recipe = Recipe { source, compression, mtime: request.mtime, windows: false, threads: compression.threads() };
    recipe.is_repeatable().then(|| PendingLayer::new(recipe, KEEP_LIMIT, request.looks_at_names()))
}

/// Makes every layer that some image needs; `first` is perhaps one that was begun already.
///
/// # Errors
/// A file that can't be read or can't stand in a layer; a tar that can be read only once and could not be sent.
pub async fn make(route: &AppendContext<'_>, base: &Base, mut first: Option<PendingLayer>) -> Result<Vec<Layer>> {
    let with_names = route.request.looks_at_names();
    let mut layers = Vec::new();
    let mut room = KEEP_LIMIT;
    for plan in plans(route.request, base)? {
        let begun = first.take_if(|begun| *begun.recipe == plan.recipe && begun.keep == room);
        let begun = begun.unwrap_or_else(|| PendingLayer::new(plan.recipe.clone(), room, with_names));
        let layer = make_one(route, plan, begun).await?;
        if layer.made.kept.is_some() {
            room -= layer.made.size;
        }
        layers.push(layer);
    }
    Ok(layers)
}

fn plans(request: &Request, base: &Base) -> Result<Vec<LayerPlan>> {
    let mut plans: Vec<LayerPlan> = Vec::new();
    for windows in [false, true] {
        let images = || base.images.iter().filter(|image| (image.platform.os == "windows") == windows);
        let deletions = (!request.delete.is_empty()).then_some(None);
        for number in deletions.into_iter().chain((0..request.layers.len()).map(Some)) {
            let first = images().find(|image| number.is_none_or(|number| image.layers.contains(&number)));
            let Some(first) = first else { continue };
            let (source, title) = match number {
                None => (
                    LayerSource::Entries(walk::whiteouts(&request.delete)),
                    format!("delete {}", listed(&request.delete)),
                ),
                Some(number) => source_of(&request.layers[number], request, windows)?,
            };
            let is_tar = matches!(source, LayerSource::Tar(_));
            if is_tar && plans.iter().any(|plan| plan.number == number) {
                continue;
            }
            let compression = request.compression;
            plans.push(LayerPlan {
                number,
                windows: (!is_tar).then_some(windows),
                recipe: Recipe { source, compression, mtime: request.mtime, windows, threads: compression.threads() },
                title: format!("imgstep append: {title}"),
                platform: first.platform.clone(),
            });
        }
    }
    let once = |plan: &&LayerPlan| plan.recipe.source == LayerSource::Tar(TarOrigin::Stdin);
    if plans.iter().filter(once).count() > 1 {
        return Err(Error::usage("--layer: `-` is given twice, but standard input can be read only once"));
    }
    Ok(plans)
}

/// What is in a layer, and a line that says so without a name of this machine.
fn source_of(spec: &LayerSpec, request: &Request, windows: bool) -> Result<(LayerSource, String)> {
    let origin = TarOrigin::new(&spec.path);
    if origin == TarOrigin::Stdin && spec.dest.is_some() {
        return Err(Error::usage("--layer: `-` is a tar from standard input, it can't have a DEST"));
    }
    if origin == TarOrigin::Stdin || (spec.dest.is_none() && tar_inspector::is_named_tar(&spec.path)) {
        return Ok((LayerSource::Tar(origin), "tar".to_owned()));
    }
    let is_folder = metadata(spec)?.is_dir();
    let path = walk::destination(spec, is_folder);
    let kind = if is_folder { "folder" } else { "file" };
    let title = escaped(&format!("{kind} at /{}", String::from_utf8_lossy(&path)), 300);
    let files = FileTree {
        spec: spec.clone(),
        exclude: request.exclude.clone(),
        logins: request.logins.clone(),
        is_scratch: request.base.is_none(),
        is_windows: windows,
    };
    Ok((LayerSource::Files(Box::new(files)), title))
}

/// What the system says of a layer's folder or file.
///
/// # Errors
/// It is not there, or can't be read.
pub fn metadata(spec: &LayerSpec) -> Result<Metadata> {
    workspace::find(&spec.path).map(|found| found.metadata).map_err(|error| {
        let text = spec.path.to_string_lossy();
        match text.split_once(":/").filter(|(from, _)| spec.dest.is_none() && !from.is_empty()) {
            Some((from, to)) if error.kind() == ErrorKind::NotFound => {
                let (from, to) = (printable(from, 200), printable(to, 200));
                Error::usage(format!("--layer: {} does not exist", printable(&text, 300)))
                    .with_hint(format!("docker's `a:b` is `a=b` here: write `{from}=/{to}`"))
            }
            _ => Error::file("read", &spec.path)(error),
        }
    })
}

fn listed(paths: &[String]) -> String {
    let paths: Vec<String> = paths.iter().map(|path| format!("/{path}")).collect();
    escaped(&paths.join(" "), 300)
}

async fn make_one(route: &AppendContext<'_>, plan: LayerPlan, begun: PendingLayer) -> Result<Layer> {
    let LayerPlan { number, windows, title, platform, .. } = plan;
    let PendingLayer { recipe, pieces, making, .. } = begun;
    let sent = send_overflow(route, &recipe, &platform, pieces).await;
    let made = making.await.context("a layer can't be made")?;
    // What went wrong with the files comes first: without them there was nothing to send.
    let made = made?;
    let (sent, item) = sent?;
    let spec = number.and_then(|number| route.request.layers.get(number));
    let name = spec.map(|spec| printable(&spec.path.to_string_lossy(), 300)).unwrap_or_default();
    made.findings.cautions.warnings(&name).iter().for_each(|warning| route.context.console.warn(warning));
    Ok(Layer { number, windows, recipe, made, title, sent, item })
}

type Sent = (Vec<(usize, UncommittedBlob)>, Option<Item>);

/// Sends a layer that is too large to keep, while it is made, to the destinations that most likely lack it.
async fn send_overflow(
    route: &AppendContext<'_>,
    recipe: &Arc<Recipe>,
    platform: &Platform,
    mut pieces: mpsc::Receiver<Bytes>,
) -> Result<Sent> {
    let Some(first) = pieces.recv().await else { return Ok((Vec::new(), None)) };
    let positions = lacking(route, recipe, platform).await?;
    if positions.is_empty() {
        return Ok((Vec::new(), None));
    }
    let item = route.context.progress.start_growing("new layer");
    let stores: Vec<&Store> = positions.iter().map(|&position| &route.destinations[position].store).collect();
    let mut sent = Vec::new();
    for (position, result) in positions.iter().zip(stream(&stores, first, pieces, &item).await) {
        match result {
            Ok(unnamed) => sent.push((*position, unnamed)),
            Err(error) => route.failed(recipe, error)?,
        }
    }
    Ok((sent, Some(item)))
}

impl AppendContext<'_> {
    /// Whether it is certain that a destination's tags will be written, whatever comes out.
    pub fn is_written(&self, position: usize) -> bool {
        let goal = &self.goals[position];
        let overwrites = self.request.if_exists == IfExists::Overwrite;
        goal.pinned.is_empty() && (overwrites || goal.found.iter().all(|found| *found == Presence::Absent))
    }

    /// A layer did not get to a destination while it was made: it will be made again for that, if it can be.
    fn failed(&self, recipe: &Recipe, error: Error) -> Result<()> {
        if recipe.is_repeatable() {
            self.context
                .console
                .note(&format!("{error}; the layer is made once more, and sent when its size is known"));
            return Ok(());
        }
        // A 401 and the like keep their own exit status.
        self.context
            .console
            .note("a tar that comes from a pipe can be sent only once; given as a file, it is sent again");
        Err(error)
    }
}

/// The destinations, by position, that a large layer is sent to before its digest is known.
async fn lacking(route: &AppendContext<'_>, recipe: &Arc<Recipe>, platform: &Platform) -> Result<Vec<usize>> {
    let all = (0..route.destinations.len()).collect();
    if route.request.dry_run {
        return Ok(Vec::new());
    }
    if !recipe.is_repeatable() {
        return Ok(all);
    }
    if !recipe.is_costly() {
        return Ok(Vec::new());
    }
    let open: Vec<usize> = all.into_iter().filter(|&position| may_be_sent(route, position)).collect();
    let known = join_all(open.iter().map(|&position| async move {
        let store = &route.destinations[position].store;
        remote_layers::diff_ids(store, &route.goals[position], platform).await
    }))
    .await;
    if known.iter().all(HashSet::is_empty) {
        return Ok(open);
    }
    let reading = tokio::task::spawn_blocking({
        let recipe = Arc::clone(recipe);
        move || recipe.diff_id()
    });
    let diff_id = reading.await.context("a layer can't be made")??;
    let lacking = open.into_iter().zip(known).filter(|(_, known)| !known.contains(diff_id.as_str()));
    Ok(lacking.map(|(position, _)| position).collect())
}

/// Whether it is certain that a destination's tags will be written, and nothing speaks against one long request.
fn may_be_sent(route: &AppendContext<'_>, position: usize) -> bool {
    let takes_one = |store: &Store| store.repository().is_none_or(|found| found.host().chunk_size().is_none());
    route.is_written(position) && takes_one(&route.destinations[position].store)
}

/// Gives the layers that were sent while they were made their names, where they are `wanting`; the digests that are there
/// by now, and where.
///
/// # Errors
/// One can't be named, and can't be made again.
pub async fn commit(
    route: &AppendContext<'_>,
    layers: &mut [Layer],
    built: &Built,
    wanting: &[usize],
) -> Result<Vec<(Digest, usize)>> {
    let mut placed = Vec::new();
    for layer in layers {
        let digest = &layer.made.digest;
        let mut is_there = false;
        for (position, unnamed) in std::mem::take(&mut layer.sent) {
            if !wanting.contains(&position) {
                unnamed.abandon().await;
                continue;
            }
            match unnamed.commit(digest).await {
                Ok(()) => {
                    is_there = true;
                    placed.push((digest.clone(), position));
                    if let Some(descriptor) = built.layers.iter().find(|layer| layer.digest == *digest) {
                        let time = route.context.started.elapsed();
                        route.destinations[position].ledger.blob(descriptor, Action::Sent, time);
                    }
                }
                Err(error) => route.failed(&layer.recipe, error)?,
            }
        }
        if let Some(item) = layer.item.take().filter(|_| is_there) {
            item.finish(Action::Sent);
        }
    }
    Ok(placed)
}

/// Refuses programs that can't run where they would go.
///
/// # Errors
/// `ErrorKind::Guard`, naming the file, both platforms and the word that was probably meant.
pub fn check_programs(request: &Request, base: &Base, layers: &[Layer]) -> Result<()> {
    for image in &base.images {
        for layer in of(layers, image) {
            let wrong = layer.made.findings.programs().find(|(_, binary)| !binary.runs_on(&image.platform));
            let Some((file, binary)) = wrong else { continue };
            let spec = layer.number.and_then(|number| request.layers.get(number));
            let path = spec.map(|spec| spec.path.display().to_string()).unwrap_or_default();
            let text = format!("{file} is a {binary} binary ({}), but the image is {}", binary.format, image.platform);
            let hint = format!(
                "write `--layer {}=…,platform={}` if it is for that platform only; --allow-foreign-binaries skips this check",
                printable(&path, 200),
                binary.platform()
            );
            return Err(Error::guard(GuardKind::ForeignBinary, text).with_hint(hint));
        }
    }
    Ok(())
}

/// A word on each link of most bases that files of the layers go through: on those, a folder with these files alone takes
/// its place, wherever layers are unpacked beside each other.
pub fn through_links(request: &Request, base: &Base, layers: &[Layer]) -> Vec<String> {
    let mut links = BTreeSet::new();
    for image in base.images.iter().filter(|image| request.base.is_some() && image.platform.os != "windows") {
        for layer in of(layers, image).into_iter().filter(|layer| layer.number.is_some()) {
            links.extend(&layer.made.findings.links);
        }
    }
    let word = |(link, target)| {
        format!(
            "files go to /{link}, which in most bases is a link to /{target}: there, engines put a folder with these files alone in its place; write /{target}"
        )
    };
    links.into_iter().map(word).collect()
}

/// All that is to be sent and was made here.
pub fn into_store(layers: Vec<Layer>, built: &Built) -> generated::GeneratedBlobs {
    let mut store = generated::GeneratedBlobs::default();
    for layer in layers {
        let content = match layer.made.kept {
            Some(pieces) => generated::GeneratedBlob::Buffered(pieces),
            None => generated::GeneratedBlob::Layer(layer.recipe),
        };
        store.add(layer.made.digest, content);
    }
    for (descriptor, bytes) in &built.configs {
        store.add(descriptor.digest.clone(), generated::GeneratedBlob::Buffered(vec![Bytes::clone(bytes)]));
    }
    store
}
