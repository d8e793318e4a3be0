//! What all runs share: images, read-only sources, and the results of each step without faults. And what each run has
//! for itself: a destination.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use imgstep::serve::{self, ServeOptions};
use tokio::sync::oneshot;

use crate::cases::{CASES, Case, Images};
use crate::expected::Expected;
use crate::plan::Plan;
use crate::run;
use crate::storage::{Layout, Storage};
use crate::support::images::noise;
use crate::support::{Folder, Image, Kind, Registry, kinds};

/// The repository of the index, in a source and in a destination.
pub const SOURCE: &str = "from/app";
/// The tags that `index` joins.
pub const PARTS: [&str; 3] = ["a", "b", "c"];

/// What all runs share.
pub struct World {
    pub images: Images,
    pub folder: Folder,
    sources: Vec<Destination>,
    /// For each case, its result and the number of its requests.
    expected: Vec<(Case, Expected, usize)>,
}

/// What a worker keeps from run to run: starting distribution takes longer than wiping its storage.
pub struct Worker {
    distribution: Option<Registry>,
}

/// A registry whose storage can be read.
pub struct Destination {
    pub storage: Storage,
    pub host: String,
    _inside: Option<Inside>,
    _kept: Option<Registry>,
    _folder: Option<Folder>,
}

/// The registry in the binary, served by a thread until it is dropped.
struct Inside {
    host: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl World {
    pub fn make() -> Self {
        let folder = Folder::new();
        folder.write("small/server.js", noise(71, 150_000));
        folder.write("small/lib/part.js", noise(72, 40_000));
        folder.write("streamed/model.bin", noise(73, 27_000_000));
        let images = Images::make();
        let sources = layouts().into_iter().map(|layout| source(layout, &images)).collect();
        let mut world = Self { images, folder, sources, expected: vec![] };
        let worker = Worker::default();
        for case in CASES {
            let (digest, requests, kept) = run::reference(case, &world, &worker);
            let expected = Expected::of(case, &digest, &kept, &world);
            world.expected.push((case, expected, requests));
        }
        world
    }

    pub fn source(&self, layout: Layout) -> &Destination {
        self.sources.iter().find(|source| source.storage.layout == layout).unwrap()
    }

    pub fn expected(&self, case: Case) -> &Expected {
        self.expected.iter().find(|(own, ..)| *own == case).map(|(_, expected, _)| expected).unwrap()
    }

    /// The number of requests that a step takes without faults.
    pub fn requests(&self, case: Case) -> usize {
        self.expected.iter().find(|(own, ..)| *own == case).map_or(0, |(.., requests)| *requests)
    }
}

/// The registries available here.
pub fn layouts() -> Vec<Layout> {
    let distribution = kinds().contains(&Kind::Distribution).then_some(Layout::Distribution);
    [Layout::Inside].into_iter().chain(distribution).collect()
}

/// A registry that holds all images.
fn source(layout: Layout, images: &Images) -> Destination {
    let destination = match layout {
        Layout::Inside => {
            let folder = Folder::new();
            let storage = Storage { layout, root: folder.join("data") };
            storage.make();
            fill(&storage, images);
            inside(storage, folder, true)
        }
        Layout::Distribution => {
            let registry = Registry::start(Kind::Distribution);
            let storage = Storage { layout, root: registry.storage() };
            let host = registry.host.clone();
            Destination { storage, host, _inside: None, _kept: Some(registry), _folder: None }
        }
    };
    if layout == Layout::Distribution {
        fill(&destination.storage, images);
    }
    destination
}

fn fill(storage: &Storage, images: &Images) {
    storage.put(SOURCE, "v1", &images.app, None);
    storage.put("from/other", "v1", &images.other, None);
    storage.put("from/large", "v1", &images.large, None);
    for (tag, part) in PARTS.iter().zip(&images.parts) {
        storage.put("from/part", tag, part, None);
    }
}

fn inside(storage: Storage, folder: Folder, read_only: bool) -> Destination {
    let inside = Inside::start(&storage.root, read_only);
    Destination { storage, host: inside.host.clone(), _inside: Some(inside), _kept: None, _folder: Some(folder) }
}

impl Default for Worker {
    fn default() -> Self {
        let distribution = layouts().contains(&Layout::Distribution);
        Self { distribution: distribution.then(|| Registry::start(Kind::Distribution)) }
    }
}

impl Worker {
    /// A destination with an old image under each of the plan's tags and, if the step reads from there, its source.
    pub fn destination(&self, plan: &Plan, repository: &str, world: &World) -> Destination {
        let layout = match &self.distribution {
            Some(_) => plan.layout,
            None => Layout::Inside,
        };
        let kept = self.distribution.as_ref().filter(|_| layout == Layout::Distribution);
        let folder = kept.is_none().then(Folder::new);
        let data = |folder: &Folder| folder.join("data");
        let root = folder.as_ref().map(data).or(kept.map(Registry::storage)).unwrap_or_default();
        let storage = Storage { layout, root };
        storage.wipe();
        storage.make();
        for tag in &plan.tags {
            storage.put(repository, tag, &world.images.old, None);
        }
        if plan.within {
            storage.put(SOURCE, "v1", &world.images.app, Some(&world.source(layout).storage));
        }
        if let Some(folder) = folder {
            return inside(storage, folder, false);
        }
        let host = kept.map(|registry| registry.host.clone()).unwrap_or_default();
        Destination { storage, host, _inside: None, _kept: None, _folder: None }
    }
}

impl Inside {
    fn start(folder: &Path, read_only: bool) -> Self {
        let options = ServeOptions { storage: Some(folder.to_owned()), read_only, ..ServeOptions::default() };
        let (stop, stopped) = oneshot::channel();
        let (say, said) = channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = serve::start(options).await.unwrap();
                assert_eq!(server.left_out(), 0, "the soak test wrote an invalid storage");
                say.send(server.address().to_string()).unwrap();
                let _ = stopped.await;
            });
        });
        Self { host: said.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl World {
    /// The arguments for the layer that a case appends.
    pub fn layer(&self, case: Case) -> PathBuf {
        self.folder.join(if case == Case::AppendStreamed { "streamed" } else { "small" })
    }

    /// The files that a case appends.
    pub fn files(&self, case: Case) -> Vec<Vec<u8>> {
        let names: &[&str] = if case == Case::AppendStreamed {
            &["streamed/model.bin"]
        } else {
            &["small/server.js", "small/lib/part.js"]
        };
        names.iter().map(|name| fs::read(self.folder.join(name)).unwrap()).collect()
    }

    /// The image that a promotion copies.
    pub fn promoted(&self, case: Case) -> &Image {
        if case == Case::PromoteLarge { &self.images.large } else { &self.images.app }
    }
}
