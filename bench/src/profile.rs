//! Where the time of a scenario goes: after the timed rounds, imgstep runs again and logs every request with `-v`; the
//! CPU time of all processes is read before and after.

use anyhow::{Result, anyhow};

use nix::sys::resource::UsageWho;

use crate::measure::{CpuTime, LoggedRun, cpu_of, cpu_time_of, median};
use crate::test_bed::TestBed;
use crate::work::Locations;

/// Number of runs. The one with the median time is shown request by request.
pub const RUNS: usize = 5;

#[derive(Debug)]
pub struct Profile {
    /// Mean of all runs.
    pub wall: f64,
    /// Wall time of the run that is shown.
    pub shown: f64,
    /// Its requests, ordered by when the first of each kind was sent.
    pub groups: Vec<Group>,
    /// Means of all runs.
    pub cpu: CpuByProcess,
}

/// CPU time in seconds, by process.
#[derive(Debug, Default, Clone, Copy)]
pub struct CpuByProcess {
    pub imgstep: CpuTime,
    pub source: f64,
    pub destination: f64,
    pub nginx: Option<f64>,
    /// The bench itself, which is the proxy and reads imgstep's log.
    pub bench: f64,
}

/// Requests of one kind to one registry. Times are seconds since the start of the process.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub registry: &'static str,
    pub kind: &'static str,
    pub count: usize,
    pub first_sent: f64,
    pub last_sent: f64,
    pub first_answered: f64,
    pub last_answered: f64,
}

/// One request, parsed from a line of the `-v` log.
#[derive(Debug, PartialEq)]
struct LoggedRequest<'a> {
    method: &'a str,
    /// The URL without its scheme.
    url: &'a str,
    /// The status, or why there was none.
    response: &'a str,
    milliseconds: f64,
}

/// The same command with logging of requests.
pub fn with_logging(words: &[String]) -> Vec<String> {
    words.iter().map(|word| if word == "-q" { "-v".to_owned() } else { word.clone() }).collect()
}

impl Profile {
    /// Executes `run` several times, each time after `prepare`.
    pub fn measure(
        test_bed: &TestBed,
        locations: &Locations,
        prepare: impl Fn() -> Result<()>,
        run: impl Fn() -> Result<LoggedRun>,
    ) -> Result<Self> {
        let (mut runs, mut cpu) = (vec![], vec![]);
        for _ in 0..RUNS {
            prepare()?;
            let before = CpuByProcess::until_now(test_bed, locations.tls)?;
            runs.push(run()?);
            cpu.push(CpuByProcess::until_now(test_bed, locations.tls)?.since(before));
        }
        let walls: Vec<f64> = runs.iter().map(|run| run.wall).collect();
        let middle = median(&walls);
        // RUNS is odd, so the median is one of them.
        let shown = runs.iter().min_by(|a, b| (a.wall - middle).abs().total_cmp(&(b.wall - middle).abs()));
        let shown = shown.ok_or_else(|| anyhow!("no run"))?;
        let wall = walls.iter().sum::<f64>() / walls.len() as f64;
        let groups = group(&shown.lines, locations);
        if groups.is_empty() {
            return Err(anyhow!("imgstep logged no request"));
        }
        Ok(Self { wall, shown: shown.wall, groups, cpu: CpuByProcess::mean(&cpu) })
    }
}

impl CpuByProcess {
    fn until_now(test_bed: &TestBed, tls: bool) -> Result<Self> {
        Ok(Self {
            imgstep: cpu_time_of(UsageWho::RUSAGE_CHILDREN)?,
            source: cpu_of(test_bed.source.process)?,
            destination: cpu_of(test_bed.destination.process)?,
            nginx: test_bed.nginx.filter(|_| tls).map(cpu_of).transpose()?,
            bench: cpu_of(std::process::id())?,
        })
    }

    /// Combines two readings field by field.
    fn with(self, other: Self, each: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            imgstep: CpuTime {
                user: each(self.imgstep.user, other.imgstep.user),
                system: each(self.imgstep.system, other.imgstep.system),
            },
            source: each(self.source, other.source),
            destination: each(self.destination, other.destination),
            nginx: self.nginx.zip(other.nginx).map(|(one, two)| each(one, two)),
            bench: each(self.bench, other.bench),
        }
    }

    fn since(self, before: Self) -> Self {
        self.with(before, |now, then| now - then)
    }

    fn mean(all: &[Self]) -> Self {
        let sum = all.iter().copied().reduce(|sum, one| sum.with(one, |sum, one| sum + one)).unwrap_or_default();
        sum.with(sum, |sum, _| sum / all.len() as f64)
    }

    pub fn sum(&self) -> f64 {
        self.imgstep.sum() + self.source + self.destination + self.nginx.unwrap_or(0.0) + self.bench
    }
}

/// `None` for other lines.
fn parse(line: &str) -> Option<LoggedRequest<'_>> {
    let (request, response) = line.split_once(" → ")?;
    let (method, url) = request.split_once(' ')?;
    let (_, url) = url.split_once("://")?;
    let (response, took) = response.rsplit_once(" (")?;
    let milliseconds = took.strip_suffix(" ms)")?.parse().ok()?;
    Some(LoggedRequest { method, url, response, milliseconds })
}

/// Groups the requests in `lines` by registry and kind.
fn group(lines: &[(f64, String)], locations: &Locations) -> Vec<Group> {
    let (from, to) = locations.repositories();
    let (from, to) = (url_prefix(&from), url_prefix(&to));
    let mut groups: Vec<Group> = vec![];
    for (answered, line) in lines {
        let Some(request) = parse(line) else { continue };
        let (registry, rest) = if let Some(rest) = request.url.strip_prefix(&to) {
            ("destination", rest)
        } else if let Some(rest) = request.url.strip_prefix(&from) {
            ("source", rest)
        } else {
            ("elsewhere", "")
        };
        let (answered, sent) = (*answered, answered - request.milliseconds / 1e3);
        let kind = kind(request.method, rest, request.response);
        match groups.iter_mut().find(|group| group.registry == registry && group.kind == kind) {
            Some(group) => {
                group.count += 1;
                group.first_sent = group.first_sent.min(sent);
                group.last_sent = group.last_sent.max(sent);
                group.first_answered = group.first_answered.min(answered);
                group.last_answered = group.last_answered.max(answered);
            }
            None => groups.push(Group {
                registry,
                kind,
                count: 1,
                first_sent: sent,
                last_sent: sent,
                first_answered: answered,
                last_answered: answered,
            }),
        }
    }
    groups.sort_by(|a, b| a.first_sent.total_cmp(&b.first_sent));
    groups
}

/// The prefix of a repository's URLs, without the scheme.
fn url_prefix(repository: &str) -> String {
    let (host, name) = repository.split_once('/').unwrap_or((repository, ""));
    format!("{host}/v2/{name}/")
}

/// `rest` is the URL after the repository.
fn kind(method: &str, rest: &str, response: &str) -> &'static str {
    let by_digest = rest.starts_with("manifests/sha256:");
    let what = rest.split(['/', '?']).next().unwrap_or_default();
    let upload = rest.starts_with("blobs/uploads/");
    match (method, what) {
        ("GET", "manifests") if by_digest => "manifests read, by digest",
        ("GET", "manifests") => "manifests read, by tag",
        ("HEAD", "manifests") if by_digest => "manifests looked up, by digest",
        ("HEAD", "manifests") => "manifests looked up, by tag",
        ("PUT", "manifests") if by_digest => "manifests written, by digest",
        ("PUT", "manifests") => "manifests written, by tag",
        ("GET", "blobs") if !upload => "blobs opened",
        ("HEAD", "blobs") => "blobs looked up",
        ("POST", "blobs") if response == "201" => "blobs mounted",
        ("POST", "blobs") => "uploads started",
        ("PATCH", "blobs") => "blobs sent, in parts",
        ("PUT", "blobs") if upload => "blobs sent",
        ("GET", "tags") => "tags listed",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_request_or_something_else() {
        let line = "PUT http://127.0.0.1:5931/v2/a/base/blobs/uploads/d232?_state=…&digest=sha256:cbea → 201 (4 ms)";
        let url = "127.0.0.1:5931/v2/a/base/blobs/uploads/d232?_state=…&digest=sha256:cbea";
        assert_eq!(parse(line), Some(LoggedRequest { method: "PUT", url, response: "201", milliseconds: 4.0 }));
        let failed = parse("GET https://vm:443/v2/a/manifests/v1 → connection reset (by peer) (12 ms)");
        assert_eq!(failed.map(|failed| failed.response), Some("connection reset (by peer)"));
        assert_eq!(parse("promoted 127.0.0.1:5931/b/base:v2 (2 platforms): 3 blobs mounted, in 0.02 s"), None);
        assert_eq!(parse("error: a → b"), None);
    }

    #[test]
    fn the_kind_follows_from_method_url_and_response() {
        assert_eq!(kind("GET", "manifests/v1", "200"), "manifests read, by tag");
        assert_eq!(kind("GET", "manifests/sha256:1", "200"), "manifests read, by digest");
        assert_eq!(kind("HEAD", "manifests/sha256:1", "404"), "manifests looked up, by digest");
        assert_eq!(kind("POST", "blobs/uploads/?mount=sha256:1&from=a", "201"), "blobs mounted");
        assert_eq!(kind("POST", "blobs/uploads/", "202"), "uploads started");
        assert_eq!(kind("PATCH", "blobs/uploads/1", "202"), "blobs sent, in parts");
        assert_eq!(kind("PUT", "blobs/uploads/1?digest=sha256:1", "201"), "blobs sent");
        assert_eq!(kind("GET", "blobs/sha256:1", "200"), "blobs opened");
        assert_eq!(kind("DELETE", "blobs/uploads/1", "204"), "something else");
        assert_eq!(kind("GET", "", "200"), "something else");
    }

    #[test]
    fn requests_are_grouped_by_registry_and_kind_in_the_order_of_sending() {
        let files = crate::files::Files::default();
        let locations = Locations::of("one:5000", "a/base", "two:5001", "out/imgstep", &files);
        let lines = [
            (0.110, "GET http://one:5000/v2/a/base/manifests/sha256:1 → 200 (50 ms)"),
            (0.130, "GET http://one:5000/v2/a/base/manifests/sha256:2 → 200 (60 ms)"),
            (0.050, "GET http://one:5000/v2/a/base/manifests/v1 → 200 (40 ms)"),
            (0.055, "HEAD http://two:5001/v2/out/imgstep/manifests/v1 → 404 (41 ms)"),
            (0.060, "GET http://three/token → 200 (1 ms)"),
            (0.200, "promoted it"),
        ];
        let lines = lines.map(|(at, line)| (at, line.to_owned()));
        let groups = group(&lines, &locations);
        let found: Vec<_> = groups.iter().map(|group| (group.registry, group.kind, group.count)).collect();
        let expected = [
            ("source", "manifests read, by tag", 1),
            ("destination", "manifests looked up, by tag", 1),
            ("elsewhere", "something else", 1),
            ("source", "manifests read, by digest", 2),
        ];
        assert_eq!(found, expected);
        let Group { first_sent, last_sent, first_answered, last_answered, .. } = groups[3];
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(first_sent, 0.060) && close(last_sent, 0.070), "{first_sent} {last_sent}");
        assert!(close(first_answered, 0.110) && close(last_answered, 0.130), "{first_answered} {last_answered}");
    }
}
