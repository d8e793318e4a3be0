//! The base of an append: the images that layers go on, one for each platform.

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;
use std::path::Path;

use futures_util::future::try_join_all;
use oci_spec::image::{ANNOTATION_BASE_IMAGE_DIGEST, ANNOTATION_BASE_IMAGE_NAME};
use serde_json::{Value, json};

use super::{Request, descriptor_of, plan};
use crate::error::{Error, GuardKind, Result};
use crate::image::config::{Changes, Config};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::format::Format;
use crate::image::manifest::{Content, Manifest};
use crate::image::media_type::{self, Kind};
use crate::image::platform::{Match, Platform};
use crate::image::reference::Reference;
use crate::image::spec;
use crate::layer::binary::{self, Binary};
use crate::report::outcome::SourceReport;
use crate::steps::context::Context;
use crate::steps::{platforms, sources};
use crate::text::printable;
use crate::transfer::manifest_limits::ManifestTotals;
use crate::transfer::store::Store;
use crate::workspace;

/// The base.
pub(super) struct Base {
    /// Where it is read from; `None` for an empty one.
    pub store: Option<Store>,
    /// Its entry in the report.
    pub described: Option<SourceReport>,
    /// The index, if the result is one: the base's own, or an empty one.
    pub index: Option<Manifest>,
    /// Its format.
    pub format: Format,
    /// The images of the requested platforms, in the base's order.
    pub images: Vec<BaseImage>,
    /// What a user should know.
    pub warnings: Vec<String>,
}

/// An image of the base.
pub(super) struct BaseImage {
    /// The platform.
    pub platform: Platform,
    /// Its entry in the index, raw.
    pub entry: Value,
    /// The manifest.
    pub manifest: Manifest,
    /// The config, if it had to be read to find out the platform.
    config: Option<Config>,
    /// The numbers of the request's layers that go on it.
    pub layers: Vec<usize>,
    /// The changes of its config and manifest.
    pub changes: Changes,
}

impl BaseImage {
    /// The media type of a layer that isn't a tar.
    fn layer_without_tar(&self) -> Result<Option<String>> {
        let Content::Image { layers, .. } = self.manifest.content()? else { return Ok(None) };
        let odd = layers.into_iter().find(|layer| !media_type::is_tar(&layer.media_type));
        Ok(odd.map(|layer| printable(&layer.media_type, 120)))
    }
}

impl Base {
    /// Reads the base, for the requested platforms.
    ///
    /// # Errors
    /// It doesn't exist, lacks a platform (`ErrorKind::Guard`), or isn't an image.
    pub(super) async fn open(context: &Context, request: &Request) -> Result<Self> {
        let mut base = match &request.base {
            Some(reference) => Self::read(context, reference, request).await?,
            None => scratch(request)?,
        };
        let named: Vec<Option<&Platform>> = base.images.iter().map(|image| Some(&image.platform)).collect();
        let changes = platforms::changes_of_each(&request.changes, &named, "the result has")?;
        for (image, changes) in base.images.iter_mut().zip(changes) {
            image.changes = changes;
        }
        Ok(base)
    }

    async fn read(context: &Context, reference: &Reference, request: &Request) -> Result<Self> {
        let store = context.base(reference).await?;
        let root = sources::read(reference, &store).await?;
        let described = sources::described(reference, &root);
        let mut base = Self {
            format: Format::of(&root.media_type).unwrap_or(Format::Oci),
            store: None,
            described: Some(described),
            index: None,
            images: Vec::new(),
            warnings: Vec::new(),
        };
        match root.content()? {
            Content::Image { config, .. } if media_type::is_image_config(&config.media_type) => {
                let images = single(&store, root, request).await?;
                base.images = base.only_of_tars(images)?;
            }
            Content::Index { .. } => base.take_index(&store, root, request).await?,
            _ => {
                let kind = printable(&root.media_type, 120);
                return Err(Error::guard(
                    GuardKind::NotAnImage,
                    format!("{reference} can't be a base: it is not an image ({kind})"),
                ));
            }
        }
        base.store = Some(store);
        Ok(base)
    }

    /// The layers of its images, each once.
    ///
    /// # Errors
    /// A manifest is malformed.
    pub(super) fn layers(&self) -> Result<Vec<Descriptor>> {
        let (mut seen, mut all) = (HashSet::new(), Vec::new());
        for image in self.images.iter().filter(|_| self.store.is_some()) {
            if let Content::Image { layers, .. } = image.manifest.content()? {
                all.extend(layers.into_iter().filter(|layer| seen.insert(layer.digest.clone())));
            }
        }
        Ok(all)
    }

    /// The configs of its images, in their order.
    ///
    /// # Errors
    /// One can't be read, or isn't a config.
    pub(super) async fn configs(&self) -> Result<Vec<Config>> {
        let reading = self.images.iter().map(|image| async move {
            match (&image.config, &self.store) {
                (None, Some(store)) => read_config(store, &image.manifest).await,
                (known, _) => known.clone().ok_or_else(|| Error::bug("an image of an empty base has no config")),
            }
        });
        try_join_all(reading).await
    }

    /// The annotations with the base's name and digest. A path of this machine isn't a name.
    pub(super) fn annotations(&self, digest: Option<&Digest>) -> Vec<(String, Option<String>)> {
        let Some(described) = &self.described else { return Vec::new() };
        let name = (!described.reference.starts_with("oci:"))
            .then(|| described.reference.split('@').next().unwrap_or_default().to_owned());
        let digest = digest.unwrap_or(&described.digest);
        vec![
            (ANNOTATION_BASE_IMAGE_NAME.to_owned(), name),
            (ANNOTATION_BASE_IMAGE_DIGEST.to_owned(), Some(digest.to_string())),
        ]
    }

    /// The images whose layers are all tars. Others, such as those for Nydus, are mounted by an index of their own files:
    /// files on top of them would be invisible.
    fn only_of_tars(&mut self, images: Vec<BaseImage>) -> Result<Vec<BaseImage>> {
        let mut kept = Vec::new();
        let mut reasons = Vec::new();
        for image in images {
            match image.layer_without_tar()? {
                None => kept.push(image),
                Some(media_type) => reasons.push(format!("the base's image for {} has a layer of type {media_type}, which is not a tar: files on top of it would be invisible", image.platform)),
            }
        }
        match reasons.pop() {
            Some(reason) if kept.is_empty() => return Err(Error::guard(GuardKind::UnsupportedLayer, reason)),
            last => reasons.extend(last),
        }
        self.warnings.extend(reasons.into_iter().map(|reason| format!("{reason}: it is left out")));
        Ok(kept)
    }

    async fn take_index(&mut self, store: &Store, root: Manifest, request: &Request) -> Result<()> {
        let found = platforms::flatten_index(store, &root).await?;
        let attestations = found.iter().filter(|(child, _)| child.is_attestation()).count();
        if attestations > 0 {
            self.warnings.push(format!(
                "{attestations} attestations of the base describe its own images and are not in the result"
            ));
        }
        let totals = ManifestTotals::default();
        let typed = found.into_iter().map(|(child, entry)| with_platform(store, &totals, child, entry));
        let (mut children, mut entries): (Vec<Descriptor>, Vec<Value>) = try_join_all(typed).await?.into_iter().unzip();
        self.warnings.extend(without_platform(&children));
        let has_platform: Vec<bool> = children.iter().map(|child| child.platform.is_some()).collect();
        let is_image = |position: usize| !children[position].is_attestation() && has_platform[position];
        let kept: Vec<usize> = (0..children.len()).filter(|position| is_image(*position)).collect();
        (children, entries) = kept.iter().map(|at| (children[*at].clone(), entries[*at].clone())).unzip();
        let chosen = choose(store, &children, request)?;
        chosen.iter().try_for_each(|(position, _)| totals.keep(&children[*position]))?;
        self.warnings.extend(left_out(&children, &chosen, request));
        let reading = chosen.iter().map(|(position, layers)| {
            let (child, entry) = (&children[*position], entries[*position].clone());
            async move {
                let missing = || Error::sparse_index(store.name(), &child.digest);
                let manifest = store.child(child).await?.ok_or_else(missing)?;
                read_image(store, manifest, child.platform.clone(), entry, layers.clone()).await
            }
        });
        let images = try_join_all(reading).await?;
        self.images = self.only_of_tars(images)?;
        // One platform that was asked for is that image; all else stays an index.
        if request.platforms.len() != 1 || self.images.len() != 1 {
            self.index = Some(root);
        }
        Ok(())
    }
}

/// A child of an index with its platform, if it is an image for one.
async fn with_platform(
    store: &Store,
    totals: &ManifestTotals,
    mut child: Descriptor,
    entry: Value,
) -> Result<(Descriptor, Value)> {
    if child.is_attestation() || child.platform.is_some() || media_type::kind(&child.media_type) == Kind::Blob {
        return Ok((child, entry));
    }
    totals.keep(&child)?;
    if let Some(manifest) = store.child(&child).await? {
        child.platform = sources::own_platform(store, &manifest).await?;
    }
    Ok((child, entry))
}

/// A warning about the children that aren't images for a platform, and so not in the result.
fn without_platform(children: &[Descriptor]) -> Option<String> {
    let others = children.iter().filter(|child| !child.is_attestation() && child.platform.is_none());
    let names: Vec<String> = others.map(|child| format!("{} ({})", child.digest, child.media_type)).collect();
    (!names.is_empty()).then(|| {
        let names = printable(&names.join(", "), 600);
        format!("these of the base are no images for a platform and are not in the result: {names}")
    })
}

/// The positions of the requested children, and the numbers of the layers that go on each.
fn choose(store: &Store, children: &[Descriptor], request: &Request) -> Result<Vec<(usize, Vec<usize>)>> {
    let named: Vec<Platform> = request.layers.iter().filter_map(|layer| layer.platform.clone()).collect();
    let wants = if request.platforms.is_empty() { &named } else { &request.platforms };
    let mut wanted = vec![wants.is_empty(); children.len()];
    for want in wants {
        let matches = platforms::best_matches(children, want);
        if matches.is_empty() {
            return Err(platforms::missing(store, want, children.iter().filter_map(|child| child.platform.as_ref())));
        }
        for position in matches {
            wanted[position] = true;
        }
    }
    let goes_on = |position: usize| {
        let fits = |platform: &Platform| platforms::best_matches(children, platform).contains(&position);
        let layers = request.layers.iter().enumerate();
        layers.filter(|(_, layer)| layer.platform.as_ref().is_none_or(fits)).map(|(number, _)| number).collect()
    };
    let positions = (0..children.len()).filter(|position| wanted[*position]);
    let chosen: Vec<(usize, Vec<usize>)> = positions.map(|position| (position, goes_on(position))).collect();
    if chosen.is_empty() {
        return Err(Error::guard(
            GuardKind::UnknownPlatform,
            format!("the index of {} has no image with a platform", store.name()),
        ));
    }
    Ok(chosen)
}

/// A warning about the platforms of the base that are left out, since some layers are for other platforms.
fn left_out(children: &[Descriptor], chosen: &[(usize, Vec<usize>)], request: &Request) -> Option<String> {
    let is_for_all = !request.delete.is_empty() || request.layers.iter().any(|layer| layer.platform.is_none());
    if !is_for_all || !request.platforms.is_empty() {
        return None;
    }
    let is_lost = |position: &usize| !chosen.iter().any(|(kept, _)| kept == position);
    let lost = (0..children.len()).filter(is_lost).filter_map(|position| children[position].platform.as_ref());
    let lost: Vec<String> = lost.map(Platform::to_string).collect();
    if lost.is_empty() {
        return None;
    }
    let lost = lost.join(", ");
    Some(format!(
        "left out of the result: {lost}; some layers name other platforms, and none names these: --platform with all that are wanted keeps them, or says that they are not"
    ))
}

async fn single(store: &Store, root: Manifest, request: &Request) -> Result<Vec<BaseImage>> {
    let image = read_image(store, root, None, Value::Null, Vec::new()).await?;
    let child = Descriptor { platform: Some(image.platform.clone()), ..image.manifest.descriptor() };
    let layers = choose(store, &[child], request)?.pop().map(|(_, layers)| layers).unwrap_or_default();
    Ok(vec![BaseImage { layers, ..image }])
}

async fn read_image(
    store: &Store,
    manifest: Manifest,
    platform: Option<Platform>,
    entry: Value,
    layers: Vec<usize>,
) -> Result<BaseImage> {
    let malformed = |reason: &str| Error::malformed(format!("manifest {}", manifest.digest), reason.to_owned());
    let Content::Image { config, .. } = manifest.content()? else { return Err(malformed("it is not an image")) };
    if !media_type::is_image_config(&config.media_type) {
        return Err(malformed("it is an artifact, which can't be a base"));
    }
    let config = if platform.is_none() { Some(read_config(store, &manifest).await?) } else { None };
    let platform = platform.or_else(|| config.as_ref().and_then(Config::platform)).ok_or_else(|| {
        Error::guard(GuardKind::UnknownPlatform, format!("the config of {} has no platform", store.name()))
    })?;
    Ok(BaseImage { platform, entry, manifest, config, layers, changes: Changes::default() })
}

async fn read_config(store: &Store, image: &Manifest) -> Result<Config> {
    match image.content()? {
        Content::Image { config, .. } => Config::parse(&sources::read_config(store, &config).await?),
        _ => Err(Error::bug(format!("{} is not an image", image.digest))),
    }
}

/// The error if no platform is given. The platform of a program among the layers is suggested, but not assumed: other files
/// have none, and a second program may have another.
fn no_platform(request: &Request) -> Error {
    let mut program = None;
    for layer in request.layers.iter().filter(|layer| layer.path != Path::new("-")) {
        let found = match plan::metadata(layer) {
            Ok(found) => found,
            Err(error) => return error,
        };
        if program.is_none() && found.is_file() {
            program = binary_in(&layer.path).map(|binary| (layer, binary));
        }
    }
    let way = "add `,platform=linux/amd64` to a layer, or pass --platform linux/amd64";
    let Some((layer, binary)) = program else {
        return Error::usage("no platform given for scratch").with_hint(way);
    };
    let file = printable(&layer.path.to_string_lossy(), 300);
    let text = format!("no platform given for scratch, and {file} is a {binary} binary");
    if binary.os == "darwin" {
        return Error::usage(format!("{text}, which no container can run")).with_hint(way);
    }
    Error::usage(text).with_hint(format!("add `,platform={binary}` to its layer, or pass --platform {binary}"))
}

/// The program in a file, by its first bytes.
fn binary_in(path: &Path) -> Option<Binary> {
    let mut head = Vec::new();
    workspace::open(path).ok()?.take(binary::HEADER as u64).read_to_end(&mut head).ok()?;
    binary::recognise(&head)
}

/// Empty images for the platforms of the request.
fn scratch(request: &Request) -> Result<Base> {
    let same = |one: &Platform, other: &Platform| one.satisfies(other) == Some(Match::Exact);
    let mut wanted: Vec<Platform> = Vec::new();
    let named: Vec<Platform> = request.layers.iter().filter_map(|layer| layer.platform.clone()).collect();
    for platform in if request.platforms.is_empty() { &named } else { &request.platforms } {
        if !wanted.iter().any(|known| same(known, platform)) {
            wanted.push(platform.clone());
        }
    }
    if wanted.is_empty() {
        return Err(no_platform(request));
    }
    let format = request.format.unwrap_or(Format::Oci);
    let index = Manifest::from_bytes("", spec::index(format.index(), &[])?.into())?;
    let images = wanted.into_iter().map(|platform| {
        let goes_on = |layer: &Option<Platform>| layer.as_ref().is_none_or(|layer| same(layer, &platform));
        let layers = request.layers.iter().enumerate();
        let layers = layers.filter(|(_, layer)| goes_on(&layer.platform)).map(|(number, _)| number).collect();
        let config = Config::new(&platform, &[])?;
        let descriptor = descriptor_of(format.config(), &config.to_bytes()?);
        let empty = spec::manifest(format.manifest(), &descriptor, &[], &BTreeMap::new())?;
        let manifest = Manifest::from_bytes("", empty.into())?;
        let config = Some(config);
        Ok(BaseImage { entry: json!({}), manifest, config, layers, platform, changes: Changes::default() })
    });
    let images: Vec<BaseImage> = images.collect::<Result<_>>()?;
    let index = (images.len() > 1).then_some(index);
    Ok(Base { store: None, described: None, index, format, images, warnings: Vec::new() })
}
