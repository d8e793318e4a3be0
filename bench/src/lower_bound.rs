//! bench/LIMIT.md: the lower bound of each job, its derivation, and how many times that imgstep takes.

use std::fmt::Write as _;

use crate::compare::{JobResult, ScenarioResult};
use crate::images::Image;
use crate::machine;
use crate::rates::Rates;
use crate::test_bed::Link;
use crate::work::Work;

/// The lower bound of a task.
#[derive(Debug)]
pub struct LowerBound {
    /// Round trips that must wait for each other.
    pub trips: Vec<&'static str>,
    /// Repetitions of these round trips: one, or one for each of many images.
    pub times: usize,
    pub requests: usize,
    /// Bytes copied from the source to the destination.
    pub moved: u64,
    /// The largest blob among them: one upload is one stream.
    pub largest: u64,
}

const CONNECT: &str = "connect to both registries at once";
const ASK: &str = "read the manifest; at the same time ask the destination what the tag points to";
const CHILDREN: &str = "read the children; at the same time ask the destination for them";
const BLOBS: &str = "request the blobs; at the same time start their uploads";
const SEND: &str = "send the blobs";
const CHILD_MANIFESTS: &str = "write the children";
const LAST: &str = "write the manifest under its tag";

impl LowerBound {
    /// The bound if nothing waits except for its inputs; `None` if no registry is involved.
    pub fn of(work: Work) -> Option<Self> {
        let least = match work {
            Work::Copy(image) => copy(image),
            Work::Mount(image) => mount(image),
            Work::Again(_) => Self { trips: vec![CONNECT, ASK], times: 1, requests: 2, moved: 0, largest: 0 },
            Work::Many { image, again } => many(image, again),
            Work::Index(children) => Self {
                trips: vec![CONNECT, "read the manifests", "read their configs, which contain the platforms", LAST],
                times: 1,
                requests: 2 * children + 1,
                moved: 0,
                largest: 0,
            },
            Work::Append(base) => append(base),
            Work::AppendFolder(base) => Self {
                trips: vec![CONNECT, ASK, "read the config; at the same time start all uploads", SEND, LAST],
                times: 1,
                // Manifest and config; copying the base's layers; starting and sending the new layer and the new
                // config.
                requests: 3 + 3 * base.layers + 2 + 2,
                moved: base.bytes(),
                largest: base.layer_bytes,
            },
            Work::Version => return None,
        };
        Some(least)
    }

    /// Round trips over a link, including the TLS handshake.
    pub fn trips(&self, link: Link) -> usize {
        self.trips.len() * self.times + usize::from(link.tls)
    }

    /// In seconds over a link: the round trips, plus what CPU or bandwidth take at least.
    fn seconds(&self, measured: &ScenarioResult, rates: &Rates) -> f64 {
        let link = measured.scenario.link;
        let trips = self.trips(link) as f64 * link.round_trip.as_secs_f64();
        let work =
            self.moved as f64 * (rates.hash + rates.serve + rates.receive) + self.requests as f64 * rates.request;
        let work = work / machine::cores() as f64;
        // If only reading is limited, ranges on many connections avoid it; an upload is one stream.
        let held = link.limit.filter(|limit| !limit.source_only);
        let stream = held.map_or(0.0, |limit| self.largest as f64 / limit.bytes_per_second as f64);
        trips + f64::max(work, stream)
    }
}

fn copy(image: Image) -> LowerBound {
    let blobs = image.blobs();
    let (trips, manifests) = if image.indexed {
        (vec![CONNECT, ASK, CHILDREN, BLOBS, SEND, CHILD_MANIFESTS, LAST], 2 * image.count + 2)
    } else {
        (vec![CONNECT, ASK, BLOBS, SEND, LAST], 2)
    };
    LowerBound {
        trips,
        times: 1,
        requests: manifests + 1 + 3 * blobs,
        moved: image.bytes(),
        largest: image.layer_bytes,
    }
}

fn mount(image: Image) -> LowerBound {
    let trips = vec![CONNECT, ASK, CHILDREN, "mount the blobs", CHILD_MANIFESTS, LAST];
    LowerBound { trips, times: 1, requests: 2 * image.count + 3 + image.blobs(), moved: 0, largest: 0 }
}

fn many(image: Image, again: bool) -> LowerBound {
    let (trips, each) = if again { (vec![ASK], 2) } else { (vec![ASK, "mount the blobs", LAST], 4 + image.layers) };
    LowerBound { trips, times: image.count, requests: each * image.count, moved: 0, largest: 0 }
}

fn append(base: Image) -> LowerBound {
    let trips = vec![
        CONNECT,
        ASK,
        CHILDREN,
        "read the configs; at the same time request the base's layers and start all uploads",
        "send configs and layers",
        CHILD_MANIFESTS,
        LAST,
    ];
    // Index, tag and children; configs read, started and sent; copying the base's layers; the new layer; manifests.
    let requests = 2 + base.count + 3 * base.count + 3 * base.count * base.layers + 2 + base.count + 1;
    LowerBound { trips, times: 1, requests, moved: base.bytes(), largest: base.layer_bytes }
}

pub fn write(results: &[JobResult], rates: &Rates, head: &str) -> String {
    let mut text = format!("# The lower bound\n\n{head}\n");
    text.push_str(&preface(rates));
    for result in results {
        let works = result.measured.first().and_then(|measured| LowerBound::of(measured.scenario.work));
        let Some(least) = works else { continue };
        let _ = write!(text, "\n## {}: {}\n\n{}\n\n", result.job.name, result.job.title, result.job.description);
        text.push_str(&derivation(&least));
        text.push_str(
            "\n| scenario | bound, s | imgstep, s | ratio | requests, bound | imgstep |\n|---|---|---|---|---|---|\n",
        );
        for measured in &result.measured {
            text.push_str(&row(measured, rates));
        }
    }
    text
}

fn preface(rates: &Rates) -> String {
    let per_byte = |seconds: f64| if seconds > 0.0 { format!("{:.2} GB/s", 1e-9 / seconds) } else { "?".to_owned() };
    let mut text = format!(
        "\nGenerated by `make bench`, from measurements of this machine. The shortest possible time is\n\n    trips × round trip + the larger of (work ÷ cores) and (largest blob ÷ bandwidth)\n\n\
         - **Trips** are round trips that must wait for each other, including TCP's handshake; TLS 1.3 \
           takes one more. Opening a connection while waiting for another response costs nothing, nor do \
           concurrent requests.\n\
         - **Work** is what the CPU must do, and client, proxy and registries share the {} of this \
           machine: hashing each byte once in the client ({} on one core), and the registry's own time to \
           serve ({}) and to receive a byte ({}), and for each request ({:.2} ms). The client's time for \
           copying and encrypting, and the proxy's, are not included: this is a bound, not a goal.\n\
         - Bytes take no time on the network unless a scenario limits the bandwidth.\n",
        format_args!("{} cores", machine::cores()),
        per_byte(rates.hash),
        per_byte(rates.serve),
        per_byte(rates.receive),
        rates.request * 1e3,
    );
    for (asked, real) in &rates.round_trips {
        let _ =
            writeln!(text, "- For a nominal round trip of {:.0} ms, the proxy made {:.1} ms.", asked * 1e3, real * 1e3);
    }
    text
}

fn derivation(least: &LowerBound) -> String {
    let mut text = String::new();
    if least.times > 1 {
        let _ = writeln!(text, "For each of {} images, one at a time:\n", least.times);
    }
    for (number, trip) in least.trips.iter().enumerate() {
        let _ = writeln!(text, "{}. {trip}", number + 1);
    }
    if least.moved > 0 {
        let _ = writeln!(text, "\n{:.1} MB are copied.", least.moved as f64 / 1e6);
    }
    text
}

fn row(measured: &ScenarioResult, rates: &Rates) -> String {
    let Some(mut least) = LowerBound::of(measured.scenario.work) else { return String::new() };
    let mut seconds = least.seconds(measured, rates);
    if matches!(measured.scenario.work, Work::AppendFolder(_)) {
        seconds += compressing(rates);
    }
    if let (Work::Append(_), Some(layer)) =
        (measured.scenario.work, measured.of_tool("imgstep").and_then(|ours| ours.layer))
    {
        least.moved += layer;
        seconds = least.seconds(measured, rates);
    }
    let Some(ours) = measured.of_tool("imgstep") else { return String::new() };
    format!(
        "| {} | {seconds:.3} | {:.3} | {:.1} | {} | {} |\n",
        measured.scenario.label,
        ours.wall(),
        ours.wall() / seconds,
        least.requests,
        ours.counts.requests(),
    )
}

/// The bound for compressing the folder: the fastest of the gzip compressors whose output is no larger than that of
/// pigz at its default level, on all cores.
fn compressing(rates: &Rates) -> f64 {
    let Some(size) = rates.compressors.iter().find(|one| one.name == "pigz -6").map(|one| one.bytes) else {
        return 0.0;
    };
    let gzip = rates.compressors.iter().filter(|one| !one.name.starts_with("zstd") && one.bytes <= size * 102 / 100);
    let cores = machine::cores() as f64;
    gzip.map(|one| if one.parallel { one.seconds } else { one.seconds / cores }).reduce(f64::min).unwrap_or(0.0)
}
