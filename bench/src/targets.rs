//! The targets, and whether each is met, by the medians of this run.

use crate::compare::{JobResult, Outcome, ScenarioResult};
use crate::rates::{Compressor, Rates};
use crate::tools::TAR_TO_LAYOUT;

/// A target for a scenario, by the names of job and scenario.
struct Target {
    job: &'static str,
    scenario: &'static str,
    criterion: Criterion,
}

enum Criterion {
    /// Seconds.
    Wall(f64),
    /// Times faster than a tool.
    Faster(&'static str, f64),
    /// Times faster than another row of the same job.
    FasterThanRow(&'static str, f64),
    FasterThanAnyPeer(f64),
    NoSlowerThanAnyPeer,
    /// A fraction of a tool's CPU time.
    Cpu(&'static str, f64),
    /// Megabytes.
    Memory(f64),
    /// For the scenario, divided by a number of images.
    Requests(usize, usize),
    LayerNoLarger(&'static str),
    /// Times the throughput of pigz at equal size.
    Pigz(f64),
}

/// A line of the report.
pub struct Verdict {
    pub target: String,
    pub measured: String,
    pub met: Option<bool>,
}

const AT_50: &str = "50 ms, plain HTTP";
const AT_50_TLS: &str = "50 ms, TLS, HTTP/2";
const AT_0: [&str; 2] = ["0 ms, plain HTTP", "0 ms, TLS, HTTP/2"];
const BULK: &str = "no limit";
const SOURCE_LIMITED: &str = "50 MB/s per connection to the source";

fn all() -> Vec<Target> {
    let target = |job, scenario, criterion| Target { job, scenario, criterion };
    let near = ["promote", "mount", "nothing", "single", "append-program"]
        .into_iter()
        .flat_map(|job| AT_0.map(|scenario| target(job, scenario, Criterion::NoSlowerThanAnyPeer)));
    let mut all = vec![
        target("promote", AT_50, Criterion::Wall(0.60)),
        target("promote", AT_50, Criterion::Faster("crane", 4.5)),
        target("promote", AT_50_TLS, Criterion::Faster("crane", 4.5)),
        target("mount", AT_50, Criterion::Wall(0.40)),
        target("mount", AT_50, Criterion::Faster("crane", 4.5)),
        target("mount", AT_50_TLS, Criterion::Faster("crane", 4.5)),
        target("nothing", AT_50, Criterion::Wall(0.15)),
        target("nothing", AT_50_TLS, Criterion::Faster("crane", 3.0)),
        target("nothing", AT_50, Criterion::Requests(2, 1)),
        target("nothing", AT_50, Criterion::Faster("crane", 3.0)),
        target("single", AT_50, Criterion::Wall(0.55)),
        target("append-program", AT_50, Criterion::Wall(0.80)),
        target("bulk", BULK, Criterion::NoSlowerThanAnyPeer),
        target("bulk", BULK, Criterion::Cpu("crane", 0.7)),
        target("bulk", BULK, Criterion::Memory(24.0)),
        target("huge", SOURCE_LIMITED, Criterion::FasterThanAnyPeer(3.0)),
        target("huge", SOURCE_LIMITED, Criterion::Memory(128.0)),
        target("append-folder", BULK, Criterion::FasterThanRow("crane", 3.0)),
        target("append-folder", BULK, Criterion::LayerNoLarger("crane")),
        target("append-folder", BULK, Criterion::Pigz(2.0)),
        target("many", "within one registry", Criterion::Requests(8, 200)),
        target("many", "within one registry, again", Criterion::Requests(2, 200)),
        target("start", "version", Criterion::Wall(0.003)),
    ];
    all.extend(near);
    all
}

/// All targets of the jobs that were run.
pub fn judge(results: &[JobResult], rates: &Rates, binary_bytes: u64) -> Vec<Verdict> {
    let mut judged: Vec<Verdict> = all().iter().filter_map(|target| target.judge(results, rates)).collect();
    judged.push(Verdict {
        target: "the binary has at most 8 MB".to_owned(),
        measured: format!("{:.2} MB", binary_bytes as f64 / 1e6),
        met: Some(binary_bytes <= 8_000_000),
    });
    judged
}

impl Target {
    /// `None` if its job wasn't run.
    fn judge(&self, results: &[JobResult], rates: &Rates) -> Option<Verdict> {
        let result = results.iter().find(|result| result.job.name == self.job)?;
        let measured = result.measured.iter().find(|measured| measured.scenario.label == self.scenario);
        let outcome = measured.and_then(|measured| self.criterion.check(measured, measured.of_tool("imgstep")?, rates));
        let (text, met) = outcome.map_or_else(|| ("not measured".to_owned(), None), |(text, met)| (text, Some(met)));
        Some(Verdict {
            target: format!("{}, {}: {}", self.job, self.scenario, self.criterion.describe()),
            measured: text,
            met,
        })
    }
}

impl Criterion {
    fn describe(&self) -> String {
        match self {
            Self::Wall(seconds) if *seconds < 0.01 => format!("under {:.0} ms", seconds * 1e3),
            Self::Wall(seconds) => format!("at most {seconds:.2} s"),
            Self::Faster(who, times) | Self::FasterThanRow(who, times) => {
                format!("at least {times} × faster than {who}")
            }
            Self::FasterThanAnyPeer(times) => format!("at least {times} × faster than the fastest peer"),
            Self::NoSlowerThanAnyPeer => "no longer than the fastest peer".to_owned(),
            Self::Cpu(who, part) => format!("at most {part} of {who}'s CPU time"),
            Self::Memory(megabytes) => format!("at most {megabytes:.0} MB of memory"),
            Self::Requests(most, 1) => format!("at most {most} requests"),
            Self::Requests(most, _) => format!("at most {most} requests for each image"),
            Self::LayerNoLarger(who) => format!("a layer no larger than {who}'s"),
            Self::Pigz(times) => format!("at least {times} × the throughput of pigz at equal size"),
        }
    }

    /// What was measured, and whether the target is met.
    fn check(&self, measured: &ScenarioResult, ours: &Outcome, rates: &Rates) -> Option<(String, bool)> {
        let wall = ours.wall();
        let result = match self {
            Self::Wall(most) if *most < 0.01 => (format!("{:.2} ms", wall * 1e3), wall < *most),
            Self::Wall(most) => (format!("{wall:.3} s"), wall <= *most),
            Self::Faster(who, times) => ratio(measured.of_tool(who)?.wall() / wall, *times),
            Self::FasterThanRow(who, times) => ratio(measured.of(who)?.wall() / wall, *times),
            Self::FasterThanAnyPeer(times) => ratio(fastest_peer(measured)?.wall() / wall, *times),
            Self::NoSlowerThanAnyPeer => {
                let fastest = fastest_peer(measured)?;
                let text = format!("{wall:.3} s; {} {:.3} s", fastest.command.label, fastest.wall());
                (text, wall <= fastest.wall())
            }
            Self::Cpu(who, part) => {
                let measured = ours.cpu() / measured.of_tool(who)?.cpu();
                (format!("{measured:.2}"), measured <= *part)
            }
            Self::Memory(most) => {
                let megabytes = ours.memory() / 1e6;
                (format!("{megabytes:.1} MB"), megabytes <= *most)
            }
            Self::Requests(most, images) => {
                let each = ours.counts.requests() as f64 / *images as f64;
                (format!("{each:.1}"), each <= *most as f64)
            }
            Self::LayerNoLarger(who) => {
                let (mine, theirs) = (ours.layer?, measured.of_tool(who)?.layer?);
                (format!("{:.1} MB; {who} {:.1} MB", mine as f64 / 1e6, theirs as f64 / 1e6), mine <= theirs)
            }
            Self::Pigz(times) => pigz(measured, ours, rates, *times)?,
        };
        Some(result)
    }
}

fn fastest_peer(measured: &ScenarioResult) -> Option<&Outcome> {
    let peers = measured.outcomes.iter().filter(|one| one.done() && one.command.tool.name() != "imgstep");
    peers.min_by(|a, b| a.wall().total_cmp(&b.wall()))
}

fn ratio(measured: f64, wanted: f64) -> (String, bool) {
    (format!("{measured:.1} ×"), measured >= wanted)
}

/// Compares the row that does what pigz does, from a tar to a file, at the size of its output. The time of the whole
/// step, from a folder to a registry that shares the CPU, is reported next to it.
fn pigz(measured: &ScenarioResult, whole: &Outcome, rates: &Rates, times: f64) -> Option<(String, bool)> {
    let ours = measured.of(TAR_TO_LAYOUT)?;
    let (seconds, which) = pigz_at(ours.layer?, &rates.compressors)?;
    let ratio = seconds / ours.wall();
    let text = format!(
        "{ratio:.2} ×: from a tar into a layout {:.2} s, {which} {seconds:.2} s; from the folder to a registry {:.2} s, {:.2} ×",
        ours.wall(),
        whole.wall(),
        seconds / whole.wall(),
    );
    Some((text, ratio >= times))
}

/// pigz's seconds for `size`, interpolated between the levels with larger and smaller output; otherwise those of the
/// nearest level.
fn pigz_at(size: u64, compressors: &[Compressor]) -> Option<(f64, String)> {
    let mut levels: Vec<_> = compressors.iter().filter(|one| one.name.starts_with("pigz")).collect();
    levels.sort_by_key(|one| one.bytes);
    let around = levels.windows(2).find(|pair| (pair[0].bytes..pair[1].bytes).contains(&size));
    if let Some([less, more]) = around {
        let part = (size - less.bytes) as f64 / (more.bytes - less.bytes) as f64;
        let seconds = less.seconds + part * (more.seconds - less.seconds);
        return Some((seconds, format!("pigz at that size, by {} and {},", less.name, more.name)));
    }
    let nearest = levels.into_iter().min_by_key(|one| one.bytes.abs_diff(size))?;
    let percent = (size as f64 / nearest.bytes as f64 - 1.0) * 100.0;
    Some((nearest.seconds, format!("{}, from whose size ours is {percent:+.1} % away,", nearest.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pigz_is_compared_at_our_size() {
        let level =
            |level, seconds, bytes| Compressor { name: format!("pigz -{level}"), seconds, bytes, parallel: true };
        let zstd = Compressor { name: "zstd -3".to_owned(), seconds: 1.0, bytes: 275, parallel: true };
        let all = [level(4, 8.0, 290), level(5, 10.0, 280), level(6, 13.0, 270), zstd];
        let at = |size| pigz_at(size, &all).map(|(seconds, _)| (seconds * 10.0).round() as u64);
        assert_eq!(at(285), Some(90));
        assert_eq!(at(272), Some(124));
        assert_eq!(at(280), Some(100));
        assert_eq!(at(250), Some(130));
        assert_eq!(at(299), Some(80));
        assert_eq!(pigz_at(280, &[]), None);
    }
}
