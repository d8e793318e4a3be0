//! One run: a destination, proxies that inject the faults, the step, perhaps a signal, and the verdict.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};

use crate::cases::Case;
use crate::expected::Expected;
use crate::faults::{Faults, Kind, PASSING, WRONG};
use crate::judge::{RunRecord, Verdict, judge};
use crate::plan::{Plan, Signal, Trouble};
use crate::storage::{Layout, Storage};
use crate::support::{Folder, Proxy};
use crate::world::{Destination, PARTS, SOURCE, Worker, World};

/// A step that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);
/// Maximum time from a signal to the step's end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// A step that has ended.
#[derive(Debug)]
pub struct EndedStep {
    /// The exit status, or 128 plus the signal's number; none if it had to be killed.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The result files.
    pub digest: Option<String>,
    pub json: Option<String>,
    /// Whether our signal was sent before the end.
    pub signalled: Option<Signal>,
}

/// A running step.
struct Started {
    child: Child,
    folder: Folder,
    signalled: Option<Signal>,
}

/// Executes a plan.
pub fn run(plan: &Plan, world: &World, worker: &Worker) -> Verdict {
    let repository = format!("to/s{}", plan.seed);
    let destination = worker.destination(plan, &repository, world);
    let source = world.source(destination.storage.layout);
    let seen = Arc::default();
    let to = proxy(plan, 1, &destination.host, &repository, &seen);
    let from = (!plan.within).then(|| proxy(plan, 2, &source.host, &repository, &seen));
    let host = from.as_ref().map_or(&to.host, |from| &from.host);
    let name = format!("{}/{repository}", to.host);

    let mut expected = vec![world.expected(plan.case).clone()];
    let mut steps = vec![start(plan.case, host, &name, &plan.tags, world)];
    if plan.trouble == Trouble::Race {
        expected.push(Expected::image(&world.images.other));
        steps.push(promotion(&format!("{host}/from/other:v1"), &name, &plan.tags));
    }
    if let Trouble::Kill(signal) = plan.trouble {
        let enough = (world.requests(plan.case) as f64 * plan.moment) as usize;
        steps[0].signal_when(signal, || seen.load(Ordering::Relaxed) >= enough);
    }
    let ended: Vec<EndedStep> = steps.into_iter().map(Started::wait).collect();
    let record = RunRecord {
        plan,
        expected: &expected,
        old: world.images.old.digest(),
        storage: &destination.storage,
        repository: &repository,
        log: to.log(),
        source_log: from.map(|from| from.log()).unwrap_or_default(),
    };
    judge(&record, &ended)
}

/// A run without faults: its result, the number of its requests, and its storage.
pub fn reference(case: Case, world: &World, worker: &Worker) -> (String, usize, StoredImage) {
    let mut plan = Plan::of(0, Some(0.0), None);
    plan.case = case;
    plan.within = case == Case::PromoteWithin;
    plan.tags = vec!["v1"];
    plan.layout = Layout::Inside;
    let destination = worker.destination(&plan, "to/reference", world);
    let source = world.source(plan.layout);
    let seen = Arc::default();
    let to = proxy(&plan, 1, &destination.host, "to/reference", &seen);
    let from = proxy(&plan, 2, &source.host, "to/reference", &seen);
    let host = if plan.within { &to.host } else { &from.host };
    let ended = start(case, host, &format!("{}/to/reference", to.host), &plan.tags, world).wait();
    assert_eq!(ended.status, Some(0), "{case:?} without any fault: {}", ended.stderr);
    (
        ended.digest.unwrap(),
        seen.load(Ordering::Relaxed),
        StoredImage { repository: "to/reference".to_owned(), destination },
    )
}

/// What a run left behind.
pub struct StoredImage {
    pub repository: String,
    destination: Destination,
}

impl StoredImage {
    pub fn storage(&self) -> &Storage {
        &self.destination.storage
    }
}

/// A proxy that injects the plan's faults into the requests to a registry, and counts them.
fn proxy(plan: &Plan, salt: u64, registry: &str, repository: &str, seen: &Arc<AtomicUsize>) -> Proxy {
    let kinds: Vec<Kind> = match plan.trouble {
        Trouble::Everything => PASSING.into_iter().chain(WRONG).collect(),
        Trouble::One(kind) => vec![kind],
        _ => PASSING.to_vec(),
    };
    let mut faults = Faults {
        seed: plan.seed.wrapping_mul(4).wrapping_add(salt),
        rate: plan.rate,
        kinds,
        repository: repository.to_owned(),
        registry: registry.to_owned(),
        seen: std::collections::HashMap::new(),
    };
    let proxy = Proxy::to(registry);
    let seen = Arc::clone(seen);
    proxy.decide_by(move |method, target| {
        seen.fetch_add(1, Ordering::Relaxed);
        faults.decide(method, target)
    });
    proxy
}

/// Starts a step that reads from `host` and writes to `name`.
fn start(case: Case, host: &str, name: &str, tags: &[&str], world: &World) -> Started {
    let mut words: Vec<String> = match case {
        Case::Promote | Case::PromoteWithin => return promotion(&format!("{host}/{SOURCE}:v1"), name, tags),
        Case::PromoteLarge => return promotion(&format!("{host}/from/large:v1"), name, tags),
        Case::Append | Case::AppendStreamed => {
            let layer = format!("{}=/srv/app", world.layer(case).display());
            // The base's port differs in each run, but the digest must not.
            let annotation = "org.opencontainers.image.base.name=registry.example/base:v1";
            ["append", &format!("{host}/{SOURCE}:v1"), "--layer", &layer, "--annotation", annotation]
                .map(str::to_owned)
                .into()
        }
        Case::Index => {
            let parts = PARTS.map(|tag| format!("{host}/from/part:{tag}"));
            ["index".to_owned()].into_iter().chain(parts).collect()
        }
    };
    words.extend(["--to".to_owned(), format!("{name}:{}", tags[0])]);
    begin(words, tags)
}

fn promotion(from: &str, name: &str, tags: &[&str]) -> Started {
    begin(vec!["promote".to_owned(), from.to_owned(), format!("{name}:{}", tags[0])], tags)
}

fn begin(mut words: Vec<String>, tags: &[&str]) -> Started {
    let folder = Folder::new();
    if tags.len() > 1 {
        words.push("--tags".to_owned());
        words.extend(tags[1..].iter().map(|tag| (*tag).to_owned()));
    }
    for key in ["digest", "json"] {
        words.extend(["--result".to_owned(), format!("{key}={}", folder.join(key).display())]);
    }
    let mut command = Command::new(imgstep());
    command.args(words).env_clear().env("HOME", folder.path()).stdin(Stdio::null());
    command.stdout(File::create(folder.join("stdout")).unwrap());
    command.stderr(File::create(folder.join("stderr")).unwrap());
    Started { child: command.spawn().unwrap(), folder, signalled: None }
}

/// The binary under test: the one built with the soak test, unless another one is given.
fn imgstep() -> OsString {
    std::env::var_os("IMGSTEP").unwrap_or_else(|| env!("CARGO_BIN_EXE_imgstep").into())
}

impl Started {
    fn signal(&mut self, signal: Signal) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let word = match signal {
                Signal::Kill => rustix::process::Signal::KILL,
                Signal::Terminate => rustix::process::Signal::TERM,
                Signal::Interrupt => rustix::process::Signal::INT,
            };
            kill_process(Pid::from_child(&self.child), word).unwrap();
            self.signalled = Some(signal);
        }
    }

    /// Sends the signal at its moment; a step that has ended gets none.
    fn signal_when(&mut self, signal: Signal, is_time: impl Fn() -> bool) {
        while !is_time() {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.signal(signal);
    }

    fn wait(mut self) -> EndedStep {
        let limit = Instant::now() + if self.signalled.is_some() { PATIENCE } else { LIMIT };
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > limit {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break None;
            }
            thread::sleep(Duration::from_millis(4));
        };
        let read = |name| fs::read(self.folder.join(name)).ok();
        let text = |name| read(name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        EndedStep {
            status: status.map(|status| status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(255)),
            stdout: text("stdout").unwrap_or_default(),
            stderr: text("stderr").unwrap_or_default(),
            digest: text("digest"),
            json: text("json"),
            signalled: self.signalled,
        }
    }
}
