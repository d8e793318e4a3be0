//! Plans the layers of an append: what is in each, and which images it goes on.

use std::fs::Metadata;
use std::io::ErrorKind;

use super::Request;
use super::base::{Base, BaseImage};
use crate::error::{Error, Result};
use crate::image::platform::Platform;
use crate::layer::recipe::{LayerSource, Recipe, TarOrigin};
use crate::layer::spec::LayerSpec;
use crate::layer::tar_inspector;
use crate::layer::walk::{self, FileTree};
use crate::text::{escaped, printable};
use crate::workspace;

/// A layer to be built.
pub(super) struct LayerPlan {
    /// What it is, and which images it goes on.
    pub kind: LayerKind,
    /// How it is built.
    pub recipe: Recipe,
    /// What the history calls it.
    pub title: String,
    /// The first platform that it goes on.
    pub platform: Platform,
}

/// What a layer is, and which images it goes on. By number, a layer is one of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerKind {
    /// Removes paths of the base, from all images of this form.
    Deletions(LayerForm),
    /// Files, for images of this form.
    Files(usize, LayerForm),
    /// A tar, for all images: it is taken as it is.
    Tar(usize),
}

/// The form that layers have for an operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayerForm {
    /// For Windows.
    Windows,
    /// For all others.
    Unix,
}

impl LayerForm {
    fn of(image: &BaseImage) -> Self {
        if image.platform.os == "windows" { Self::Windows } else { Self::Unix }
    }
}

impl LayerKind {
    /// Its number in the request; none for deletions.
    pub(super) fn number(self) -> Option<usize> {
        match self {
            Self::Deletions(_) => None,
            Self::Files(number, _) | Self::Tar(number) => Some(number),
        }
    }

    /// The layer in the request; none for deletions.
    pub(super) fn spec(self, request: &Request) -> Option<&LayerSpec> {
        self.number().and_then(|number| request.layers.get(number))
    }

    /// Whether it goes on an image.
    pub(super) fn fits(self, image: &BaseImage) -> bool {
        match self {
            Self::Deletions(form) => form == LayerForm::of(image),
            Self::Files(number, form) => form == LayerForm::of(image) && image.layers.contains(&number),
            Self::Tar(number) => image.layers.contains(&number),
        }
    }
}

/// The first layer, if it is most likely built as planned here, whatever the base is.
pub(super) fn plan_first(request: &Request) -> Option<Recipe> {
    if !request.delete.is_empty() {
        return None;
    }
    let (source, _) = source_of(request.layers.first()?, request, LayerForm::Unix).ok()?;
    Some(recipe(request, source, LayerForm::Unix)).filter(Recipe::is_repeatable)
}

/// All layers that some image gets, lowest first, those for Windows last.
///
/// # Errors
/// A file or folder can't be read; layers that contradict each other.
pub(super) fn plan(request: &Request, base: &Base) -> Result<Vec<LayerPlan>> {
    let mut plans: Vec<LayerPlan> = Vec::new();
    for form in [LayerForm::Unix, LayerForm::Windows] {
        let image_for = |kind: LayerKind| base.images.iter().find(|image| kind.fits(image));
        let deletions = LayerKind::Deletions(form);
        if let Some(first) = image_for(deletions).filter(|_| !request.delete.is_empty()) {
            let source = LayerSource::Entries(walk::whiteouts(&request.delete));
            let title = format!("delete {}", listed(&request.delete));
            plans.push(LayerPlan::new(request, deletions, (source, title), form, first));
        }
        for (number, spec) in request.layers.iter().enumerate() {
            let Some(first) = image_for(LayerKind::Files(number, form)) else { continue };
            let (source, title) = source_of(spec, request, form)?;
            let kind = match source {
                LayerSource::Tar(_) => LayerKind::Tar(number),
                _ => LayerKind::Files(number, form),
            };
            if kind == LayerKind::Tar(number) && plans.iter().any(|plan| plan.kind == kind) {
                continue;
            }
            plans.push(LayerPlan::new(request, kind, (source, title), form, first));
        }
    }
    let is_stdin = |plan: &&LayerPlan| plan.recipe.source == LayerSource::Tar(TarOrigin::Stdin);
    if plans.iter().filter(is_stdin).count() > 1 {
        return Err(Error::usage("--layer: `-` is given twice, but standard input can be read only once"));
    }
    Ok(plans)
}

impl LayerPlan {
    fn new(
        request: &Request,
        kind: LayerKind,
        (source, title): (LayerSource, String),
        form: LayerForm,
        first: &BaseImage,
    ) -> Self {
        let title = format!("imgstep append: {title}");
        Self { kind, recipe: recipe(request, source, form), title, platform: first.platform.clone() }
    }
}

fn recipe(request: &Request, source: LayerSource, form: LayerForm) -> Recipe {
    let compression = request.compression;
    let windows = form == LayerForm::Windows;
    Recipe { source, compression, mtime: request.mtime, windows, threads: compression.threads() }
}

/// What is in a layer, and a title without the names of this machine.
fn source_of(spec: &LayerSpec, request: &Request, form: LayerForm) -> Result<(LayerSource, String)> {
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
        is_windows: form == LayerForm::Windows,
    };
    Ok((LayerSource::Files(Box::new(files)), title))
}

/// The metadata of a layer's folder or file.
///
/// # Errors
/// It isn't there, or can't be read.
pub(super) fn metadata(spec: &LayerSpec) -> Result<Metadata> {
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
