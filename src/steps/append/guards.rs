//! Guards over the files in the layers of an append. (Entrypoints have a file of their own.)

use std::collections::BTreeSet;

use super::Request;
use super::base::Base;
use super::layers::{self, Layer};
use crate::error::{Error, GuardKind, Result};
use crate::text::printable;

/// Refuses programs that can't run on the platform of their image.
///
/// # Errors
/// `ErrorKind::Guard`, with the file, both platforms and the option that was probably meant.
pub(super) fn check_programs(request: &Request, base: &Base, layers: &[Layer]) -> Result<()> {
    for image in &base.images {
        for layer in layers::of(layers, image) {
            let foreign = layer.built.findings.programs().find(|(_, binary)| !binary.runs_on(&image.platform));
            let Some((file, binary)) = foreign else { continue };
            let path = layer.kind.spec(request).map(|spec| spec.path.display().to_string()).unwrap_or_default();
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

/// Warns of files below paths that are links in most bases. On such a base, a folder with just these files replaces the
/// link, wherever an engine unpacks layers next to each other.
pub(super) fn warn_of_links(request: &Request, base: &Base, layers: &[Layer]) -> Vec<String> {
    let mut links = BTreeSet::new();
    for image in base.images.iter().filter(|image| request.base.is_some() && image.platform.os != "windows") {
        for layer in layers::of(layers, image).into_iter().filter(|layer| layer.kind.number().is_some()) {
            links.extend(&layer.built.findings.links);
        }
    }
    let warning = |(link, target)| {
        format!(
            "files go to /{link}, which in most bases is a link to /{target}: there, engines put a folder with these files alone in its place; write /{target}"
        )
    };
    links.into_iter().map(warning).collect()
}
