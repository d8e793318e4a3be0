//! The jobs by name, each with its description and scenarios.

use std::time::Duration;

use crate::images::{BULK, HUGE, Image, PLATFORMS, SINGLE, SMALL};
use crate::test_bed::{Limit, Link};
use crate::tools::{TOOLS, Tool};
use crate::work::Work;

/// A task over a network link.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub label: String,
    pub work: Work,
    pub link: Link,
    /// The tools that are run, if they support the task.
    pub tools: &'static [Tool],
}

#[derive(Debug, Clone)]
pub struct Job {
    pub name: &'static str,
    pub title: &'static str,
    /// What is done, in a sentence or two.
    pub description: &'static str,
    pub scenarios: Vec<Scenario>,
    /// Seconds for one tool in one scenario: slow tools get fewer runs, but at least one.
    pub budget: f64,
}

impl Job {
    /// Whether the scenario is also profiled: those with targets are.
    pub fn profiled(&self, scenario: &Scenario) -> bool {
        match self.name {
            "promote" | "mount" | "nothing" | "single" | "append-program" | "index" => {
                scenario.link.round_trip == Duration::from_millis(50)
            }
            "bulk" | "append-folder" => scenario.link.direct,
            _ => false,
        }
    }
}

const ROUND_TRIPS: [u64; 4] = [0, 10, 50, 150];
const PER_CONNECTION: u64 = 50_000_000;
/// The base image for the appended folder: one of the small images.
const SMALL_BASE: Image = Image { count: 1, ..SMALL };

fn link(round_trip: u64, tls: bool) -> Link {
    Link { round_trip: Duration::from_millis(round_trip), limit: None, tls, direct: false }
}

/// Timed without the proxy.
fn direct() -> Link {
    Link { direct: true, ..link(0, false) }
}

fn limited(source_only: bool) -> Link {
    Link { limit: Some(Limit { bytes_per_second: PER_CONNECTION, source_only }), ..link(0, false) }
}

fn scenario(label: &str, work: Work, link: Link) -> Scenario {
    Scenario { label: label.to_owned(), work, link, tools: &TOOLS }
}

fn scheme(tls: bool) -> &'static str {
    if tls { "TLS, HTTP/2" } else { "plain HTTP" }
}

/// `work` with every round trip, over plain HTTP and TLS.
fn at_every_distance(work: Work) -> Vec<Scenario> {
    let each = |tls| {
        ROUND_TRIPS
            .map(|round_trip| scenario(&format!("{round_trip} ms, {}", scheme(tls)), work, link(round_trip, tls)))
    };
    [each(false), each(true)].concat()
}

/// `work` with these round trips, over plain HTTP and TLS.
fn at(round_trips: &[u64], what: &str, work: Work) -> Vec<Scenario> {
    let all = [false, true].into_iter().flat_map(|tls| round_trips.iter().map(move |&round_trip| (round_trip, tls)));
    all.map(|(round_trip, tls)| {
        scenario(&format!("{what}{round_trip} ms, {}", scheme(tls)), work, link(round_trip, tls))
    })
    .collect()
}

/// All jobs, in the order of the report.
pub fn all() -> Vec<Job> {
    [copies(), bulk(), making(), rest()].concat()
}

fn copies() -> Vec<Job> {
    vec![
        Job {
            name: "promote",
            title: "An index of 8 platforms to another registry",
            description: "8 platforms × 6 layers of 1 MB, to a registry that has nothing of it.",
            scenarios: at_every_distance(Work::Copy(PLATFORMS)),
            budget: 9.0,
        },
        Job {
            name: "mount",
            title: "The same within one registry",
            description: "8 platforms × 6 layers of 1 MB, to an empty repository of the same registry.",
            scenarios: at_every_distance(Work::Mount(PLATFORMS)),
            budget: 8.0,
        },
        Job {
            name: "nothing",
            title: "The same again, nothing to do",
            description: "8 platforms × 6 layers of 1 MB, to another registry that has all of it under that tag.",
            scenarios: at_every_distance(Work::Again(PLATFORMS)),
            budget: 4.0,
        },
        Job {
            name: "single",
            title: "One image to another registry",
            description: "5 layers of 4 MB, to a registry that has nothing of it.",
            scenarios: at_every_distance(Work::Copy(SINGLE)),
            budget: 6.0,
        },
    ]
}

fn bulk() -> Vec<Job> {
    vec![
        Job {
            name: "bulk",
            title: "10 layers of 50 MB to another registry",
            description: "Without distance, timed without the proxy; and with each connection, to source and destination, \
                    limited to 50 MB/s each way.",
            scenarios: vec![
                scenario("no limit", Work::Copy(BULK), direct()),
                scenario("50 MB/s per connection", Work::Copy(BULK), limited(false)),
            ],
            budget: 12.0,
        },
        Job {
            name: "huge",
            title: "One layer of 2 GB to another registry",
            description: "Without distance, timed without the proxy; and with each connection to the source limited to 50 \
                    MB/s, as by an object store that gives each reader its share. (By the specification an upload is \
                    one stream: if the destination were limited too, no tool could be faster than 40 s.)",
            scenarios: vec![
                scenario("no limit", Work::Copy(HUGE), direct()),
                scenario("50 MB/s per connection to the source", Work::Copy(HUGE), limited(true)),
            ],
            budget: 10.0,
        },
    ]
}

fn making() -> Vec<Job> {
    vec![
        Job {
            name: "append-program",
            title: "A program of 10 MB on 8 platforms of a base in another registry",
            description: "The base is 8 platforms × 6 layers of 1 MB; the program goes on each platform. Peers get a tar \
                    made beforehand; crane, which can't append to an index, needs a command per platform and one for \
                    the index.",
            scenarios: at(&[0, 50], "", Work::Append(PLATFORMS)),
            budget: 9.0,
        },
        Job {
            name: "append-folder",
            title: "700 MB of mixed files on a small base in another registry",
            description: "Files from this machine's /usr. imgstep gets the folder (and, in separate rows, a tar of it, and \
                    that tar into an OCI layout on the same disk instead of a registry, which is what a compressor \
                    does), crane and regctl a tar made beforehand; in a separate row, crane reads from tar through a \
                    pipe. Timed without the proxy.",
            scenarios: vec![scenario("no limit", Work::AppendFolder(SMALL_BASE), direct())],
            budget: 25.0,
        },
        Job {
            name: "index",
            title: "An index of 3 and of 30 images",
            description: "The images are in the index's repository, under tags of their own.",
            scenarios: [at(&[50], "3 images, ", Work::Index(3)), at(&[50], "30 images, ", Work::Index(30))].concat(),
            budget: 6.0,
        },
    ]
}

fn rest() -> Vec<Job> {
    let many = |again| Work::Many { image: SMALL, again };
    vec![
        Job {
            name: "many",
            title: "200 small images in a row",
            description: "Each has 3 layers of 20 kB. imgstep gets a list, crane copies all tags of the repository at \
                    once; the others have no command for it. All are also called 200 times by a shell loop, where \
                    peak memory is that of the largest process.",
            scenarios: vec![
                scenario("within one registry", many(false), link(0, false)),
                scenario("within one registry, again", many(true), link(0, false)),
                Scenario { tools: &[Tool::Imgstep, Tool::Crane], ..scenario("10 ms", many(false), link(10, false)) },
            ],
            budget: 8.0,
        },
        Job {
            name: "start",
            title: "Start and print the version",
            description: "The lifetime of a process, a hundred times.",
            scenarios: vec![scenario("version", Work::Version, direct())],
            budget: 1.0,
        },
    ]
}
