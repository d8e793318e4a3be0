//! What was seen of a layer while it was made: the programs in it, and the names of its files where they are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use super::binary::{self, Binary};
use super::image_archive::Marks;
use super::interpreter;
use super::path_set::{PathBudget, PathSet};
use super::warnings::LayerWarnings;

/// What was seen of a layer.
#[derive(Debug, Clone, Default)]
pub struct LayerScan {
    /// For each kind of program one file, the first.
    programs: BTreeMap<String, (String, Binary)>,
    /// The names of all files; `None` where nobody asks for them.
    pub names: Option<PathSet>,
    /// What the user should know.
    pub cautions: LayerWarnings,
    /// Links of most bases that paths of it go through, and where they lead.
    pub links: BTreeSet<(&'static str, &'static str)>,
    /// Whether a tar is a saved image.
    pub marks: Marks,
}

impl LayerScan {
    /// Nothing yet; names are to be noted if they are wanted.
    pub fn new(with_names: bool) -> Self {
        Self { names: with_names.then(PathSet::default), ..Self::default() }
    }

    /// Nothing yet; names are to be noted while there is room.
    pub fn with_room(room: PathBudget) -> Self {
        Self { names: Some(PathSet::with_room(room)), ..Self::default() }
    }

    /// Notes a file that can be executed, by its first bytes and, where they point at others, by those of `file`. It is
    /// told as `name`, and its path in the image is `path`.
    pub fn look_at(&mut self, name: &str, path: &[u8], head: &[u8], file: Option<&File>) {
        if let Some(names) = &mut self.names {
            names.executable(path, interpreter::of(head, file));
        }
        if let Some(binary) = binary::recognise(head) {
            self.programs.entry(format!("{} {binary}", binary.format)).or_insert_with(|| (name.to_owned(), binary));
        }
    }

    /// The programs: the files and what they are.
    pub fn programs(&self) -> impl Iterator<Item = &(String, Binary)> {
        self.programs.values()
    }
}
