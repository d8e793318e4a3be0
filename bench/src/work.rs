//! The tasks: what each one reads and writes, from which state, and how its result is checked.

use anyhow::{Result, anyhow};

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::files::Files;
use crate::http;
use crate::images::{INDEX, Image, MANIFEST, sha256};
use crate::test_bed::{Link, Registry, TestBed, remove};
use crate::tools::{Tool, ToolCommand};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// To another registry that has none of it.
    Copy(Image),
    /// To another, empty repository in the same registry.
    Mount(Image),
    /// To another registry that has all of it.
    Again(Image),
    /// All its tags, one after the other, to another repository in the same registry.
    Many { image: Image, again: bool },
    /// An index of this many images in the same repository.
    Index(usize),
    /// A program of 10 MB on every platform of a base image in another registry.
    Append(Image),
    /// A folder of hundreds of megabytes on a small base image in another registry.
    AppendFolder(Image),
    /// Only starts, and prints the version.
    Version,
}

/// Where a command reads and writes.
#[derive(Debug)]
pub struct Locations<'a> {
    pub source: String,
    pub destination: String,
    pub tls: bool,
    pub files: &'a Files,
    from: String,
    to: String,
}

#[cfg(test)]
impl<'a> Locations<'a> {
    /// Over plain HTTP, by host and repository.
    pub fn of(source: &str, from: &str, destination: &str, to: &str, files: &'a Files) -> Self {
        let [source, from, destination, to] = [source, from, destination, to].map(str::to_owned);
        Self { source, destination, tls: false, files, from, to }
    }
}

impl Locations<'_> {
    /// The source image with this tag.
    pub fn from(&self, tag: &str) -> String {
        format!("{}/{}:{tag}", self.source, self.from)
    }

    /// The source and the destination repository.
    pub fn repositories(&self) -> (String, String) {
        (format!("{}/{}", self.source, self.from), format!("{}/{}", self.destination, self.to))
    }

    /// The destination image with this tag.
    pub fn to(&self, tag: &str) -> String {
        format!("{}/{}:{tag}", self.destination, self.to)
    }
}

impl Work {
    /// The source image that it needs.
    pub fn image(self) -> Option<Image> {
        match self {
            Self::Copy(image)
            | Self::Mount(image)
            | Self::Again(image)
            | Self::Many { image, .. }
            | Self::Append(image)
            | Self::AppendFolder(image) => Some(image),
            Self::Index(_) => Some(crate::images::PARTS),
            Self::Version => None,
        }
    }

    pub fn within_one_registry(self) -> bool {
        matches!(self, Self::Mount(_) | Self::Index(_) | Self::Many { .. })
    }

    /// Whether the destination has everything before the timed run.
    fn is_there(self) -> bool {
        matches!(self, Self::Again(_) | Self::Many { again: true, .. })
    }

    /// The repository that `tool` writes to: one per tool if the results must be kept apart.
    fn repository(self, tool: Tool) -> String {
        match self {
            Self::Index(_) => crate::images::PARTS.repository.to_owned(),
            _ => format!("out/{}", tool.name()),
        }
    }

    /// Where `tool` reads and writes, over `link` or, for counting, through the proxy.
    pub fn locations<'a>(
        self,
        test_bed: &TestBed,
        files: &'a Files,
        tool: Tool,
        link: Link,
        counted: bool,
    ) -> Locations<'a> {
        let source = test_bed.source.host(link, counted).to_owned();
        let registry = self.registry(test_bed);
        Locations {
            source,
            destination: registry.host(link, counted).to_owned(),
            tls: link.tls,
            files,
            from: self.image().map_or_else(String::new, |image| image.repository.to_owned()),
            to: self.repository(tool),
        }
    }

    fn registry(self, test_bed: &TestBed) -> &Registry {
        if self.within_one_registry() { &test_bed.source } else { &test_bed.destination }
    }

    /// Before each run: empties the destination, unless it should have everything.
    pub fn prepare(self, test_bed: &TestBed, command: &ToolCommand) -> Result<()> {
        if let Some(layout) = &command.layout {
            return remove(layout);
        }
        let tool = command.tool;
        match self {
            Self::Version => Ok(()),
            _ if self.is_there() => Ok(()),
            Self::Index(_) => test_bed.source.remove_tag(&self.repository(tool), "out"),
            _ if self.within_one_registry() => test_bed.source.remove_repository(&self.repository(tool)),
            _ => test_bed.destination.wipe(),
        }
    }

    /// Whether the task is done once without timing before a tool's first run.
    pub fn runs_once_before(self) -> bool {
        self.is_there()
    }

    /// Checks the result in the destination; returns the size of the new layer, if there is one.
    pub fn check(self, test_bed: &TestBed, files: &Files, command: &ToolCommand) -> Result<Option<u64>> {
        let (registry, repository) = (self.registry(test_bed), self.repository(command.tool));
        match self {
            Self::Copy(_) | Self::Mount(_) | Self::Again(_) | Self::Many { .. } => {
                for tag in self.image().map(|image| image.tags()).unwrap_or_default() {
                    let (digest, _) =
                        manifest(&test_bed.source, self.image().map_or("", |image| image.repository), &tag)?;
                    let (ours, body) = manifest(registry, &repository, &tag)?;
                    if ours != digest {
                        return Err(anyhow!("{tag} is {ours} and not {digest}"));
                    }
                    complete(registry, &repository, &body)?;
                }
                Ok(None)
            }
            Self::Index(children) => {
                let (_, index) = manifest(registry, &repository, "out")?;
                let named = list(&index, "manifests");
                let platforms = named.iter().filter(|child| child["platform"]["architecture"].is_string()).count();
                if named.len() != children || platforms != children {
                    return Err(anyhow!("{} children, {platforms} platforms", named.len()));
                }
                complete(registry, &repository, &index).map(|()| None)
            }
            Self::Append(base) | Self::AppendFolder(base) => {
                let content = if matches!(self, Self::Append(_)) { files.program_bytes } else { files.bytes };
                if let Some(layout) = &command.layout {
                    return appended_in(layout, base, content).map(Some);
                }
                let (_, made) = manifest(registry, &repository, "v1")?;
                complete(registry, &repository, &made)?;
                appended(registry, &repository, &made, base, content).map(Some)
            }
            Self::Version => Ok(None),
        }
    }
}

/// A manifest and its digest.
fn manifest(registry: &Registry, repository: &str, reference: &str) -> Result<(String, Value)> {
    let path = format!("/v2/{repository}/manifests/{reference}");
    let accept = format!(
        "{INDEX}, {MANIFEST}, application/vnd.docker.distribution.manifest.v2+json, \
         application/vnd.docker.distribution.manifest.list.v2+json"
    );
    let response = http::request(registry.address, "GET", &path, &[("Accept", &accept)], &[])?.expect(200, &path)?;
    let value = serde_json::from_slice(&response.body)?;
    Ok((sha256(&response.body), value))
}

fn list(value: &Value, key: &str) -> Vec<Value> {
    value[key].as_array().cloned().unwrap_or_default()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Checks that all children and blobs are in the repository, with their sizes.
fn complete(registry: &Registry, repository: &str, body: &Value) -> Result<()> {
    for child in list(body, "manifests") {
        complete(registry, repository, &manifest(registry, repository, text(&child, "digest"))?.1)?;
    }
    let config = Some(body["config"].clone()).filter(|config| !config.is_null());
    for blob in list(body, "layers").into_iter().chain(config) {
        let path = format!("/v2/{repository}/blobs/{}", text(&blob, "digest"));
        let response = http::request(registry.address, "HEAD", &path, &[], &[])?.expect(200, &path)?;
        if response.header("content-length").and_then(|length| length.parse().ok()) != blob["size"].as_u64() {
            return Err(anyhow!("{path} has another size"));
        }
    }
    Ok(())
}

/// Checks that every platform of the base has one more layer, with files of `content` bytes in total; returns the
/// layer's size.
fn appended(registry: &Registry, repository: &str, made: &Value, base: Image, content: u64) -> Result<u64> {
    let mut images = vec![made.clone()];
    if base.indexed {
        let children = list(made, "manifests");
        let read =
            children.iter().map(|child| manifest(registry, repository, text(child, "digest")).map(|found| found.1));
        images = read.collect::<Result<_>>()?;
    }
    let wanted = if base.indexed { base.count } else { 1 };
    if images.len() != wanted {
        return Err(anyhow!("{} platforms and not {wanted}", images.len()));
    }
    let mut layer_bytes = 0;
    for image in images {
        layer_bytes = one_more_layer(&image, base, content, |digest| registry.blob(digest))?;
    }
    Ok(layer_bytes)
}

/// The same for an image in an OCI layout, which must have all its blobs.
fn appended_in(layout: &Path, base: Image, content: u64) -> Result<u64> {
    let blob = |digest: &str| layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?)?;
    let digest = text(&index["manifests"][0], "digest");
    let body = fs::read(blob(digest))?;
    if sha256(&body) != digest {
        return Err(anyhow!("{digest} in the layout is {}", sha256(&body)));
    }
    let image: Value = serde_json::from_slice(&body)?;
    for one in list(&image, "layers").iter().chain([&image["config"]]) {
        let path = blob(text(one, "digest"));
        if one["size"].as_u64() != Some(fs::metadata(&path)?.len()) {
            return Err(anyhow!("{} has another size", path.display()));
        }
    }
    one_more_layer(&image, base, content, blob)
}

/// Checks that an image has one layer more than the base, with files of `content` bytes in total; returns the layer's
/// size.
fn one_more_layer(image: &Value, base: Image, content: u64, blob: impl Fn(&str) -> PathBuf) -> Result<u64> {
    let layers = list(image, "layers");
    let last = layers.last().filter(|_| layers.len() == base.layers + 1);
    let last = last.ok_or_else(|| anyhow!("{} layers", layers.len()))?;
    let bytes = content_bytes(&blob(text(last, "digest")))?;
    if bytes != content {
        return Err(anyhow!("the files have {bytes} bytes and not {content}"));
    }
    Ok(last["size"].as_u64().unwrap_or(0))
}

/// The total size of all files in a layer.
fn content_bytes(layer: &Path) -> Result<u64> {
    let mut magic = [0; 4];
    io::Read::read_exact(&mut File::open(layer)?, &mut magic)?;
    let unpack = if magic == [0x28, 0xb5, 0x2f, 0xfd] { "zstd" } else { "gzip" };
    let script = format!("{unpack} -dc < '{}' | tar -xOf - | wc -c", layer.display());
    let output = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| anyhow!("{}: not a layer", layer.display()))
}
