//! What a layer was found to contain while it was built: its programs, and its file names if requested.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use super::binary::{self, Binary};
use super::image_archive::Marks;
use super::interpreter;
use super::path_set::{PathBudget, PathSet};
use super::warnings::LayerWarnings;

/// The findings about a layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerScan {
    /// The first file of each kind of program.
    programs: BTreeMap<String, (String, Binary)>,
    /// All file names; `None` if not requested.
    pub names: Option<PathSet>,
    /// Warnings for the user.
    pub cautions: LayerWarnings,
    /// Links found in most bases that its paths go through, and where they lead.
    pub links: BTreeSet<(&'static str, &'static str)>,
    /// Whether a tar is a saved image.
    pub marks: Marks,
}

impl LayerScan {
    /// Starts empty; collects names if requested.
    pub(crate) fn new(with_names: bool) -> Self {
        Self { names: with_names.then(PathSet::default), ..Self::default() }
    }

    /// Starts empty; collects names while the budget lasts.
    pub(crate) fn with_room(room: PathBudget) -> Self {
        Self { names: Some(PathSet::with_room(room)), ..Self::default() }
    }

    /// Records an executable file by its first bytes and, if they refer to more, by those of `file`. Messages call it
    /// `name`; its path in the image is `path`.
    pub(crate) fn look_at(&mut self, name: &str, path: &[u8], head: &[u8], file: Option<&File>) {
        if let Some(names) = &mut self.names {
            names.executable(path, interpreter::of(head, file));
        }
        if let Some(binary) = binary::recognise(head) {
            self.programs.entry(format!("{} {binary}", binary.format)).or_insert_with(|| (name.to_owned(), binary));
        }
    }

    /// The programs: file names and headers.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &(String, Binary)> {
        self.programs.values()
    }
}
