//! What this machine can do at best: hashing, a registry's CPU time per byte and per request, compressors, and the
//! round trips that the proxy really makes.

use anyhow::Result;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::http::{self, Connection};
use crate::images::{Image, put_blob};
use crate::machine;
use crate::measure::{cpu_of, median};
use crate::test_bed::{Link, TestBed};

/// The blob for measuring the registry.
const PROBE: Image = Image { repository: "bench/probe", count: 1, indexed: false, layers: 1, layer_bytes: 500_000_000 };
const SMALL_REQUESTS: usize = 300;

#[derive(Debug, Default)]
pub struct Rates {
    /// Seconds per byte on one core.
    pub hash: f64,
    pub serve: f64,
    pub receive: f64,
    /// The registry's seconds on one core for a request without a body.
    pub request: f64,
    /// (nominal, measured) in seconds: half the extra time of a GET on a new connection, compared with no distance.
    pub round_trips: Vec<(f64, f64)>,
    pub compressors: Vec<Compressor>,
}

/// A compressor, measured on the tar of the folder.
#[derive(Debug)]
pub struct Compressor {
    pub name: String,
    pub seconds: f64,
    pub bytes: u64,
    /// Whether it uses all cores or only one.
    pub parallel: bool,
}

impl Rates {
    pub fn measure(test_bed: &TestBed, tar: Option<&Path>) -> Result<Self> {
        let mut rates = Self { hash: hash(), ..Self::default() };
        rates.registry(test_bed)?;
        let base = round_trip(test_bed, 0)?;
        for asked in [10, 50, 150] {
            rates.round_trips.push((asked as f64 / 1e3, (round_trip(test_bed, asked)? - base) / 2.0));
        }
        if let Some(tar) = tar {
            rates.compressors = compressors(tar)?;
        }
        Ok(rates)
    }

    fn registry(&mut self, test_bed: &TestBed) -> Result<()> {
        let (host, process) = (test_bed.destination.address, test_bed.destination.process);
        let registry = &mut Connection::open(host)?;
        let bytes = PROBE.bytes() as f64;
        let begun = cpu_of(process)?;
        PROBE.push(host)?;
        let pushed = cpu_of(process)?;
        let blob = largest_layer(test_bed)?;
        registry.drain(&format!("/v2/{}/blobs/{blob}", PROBE.repository))?;
        let served = cpu_of(process)?;
        for number in 0..SMALL_REQUESTS / 3 {
            // POST, PUT and HEAD: a third each.
            let content = format!("small {number}");
            let blob = put_blob(registry, PROBE.repository, "text/plain", content.as_bytes())?;
            let path = format!("/v2/{}/blobs/{}", PROBE.repository, blob["digest"].as_str().unwrap_or_default());
            registry.request("HEAD", &path, &[], &[])?.expect(200, &path)?;
        }
        let answered = cpu_of(process)?;
        self.receive = (pushed - begun) / bytes;
        self.serve = (served - pushed) / bytes;
        self.request = (answered - served) / SMALL_REQUESTS as f64;
        test_bed.destination.wipe()
    }
}

fn largest_layer(test_bed: &TestBed) -> Result<String> {
    let path = format!("/v2/{}/manifests/v1", PROBE.repository);
    let accept = [("Accept", crate::images::MANIFEST)];
    let response = http::request(test_bed.destination.address, "GET", &path, &accept, &[])?.expect(200, &path)?;
    let manifest: serde_json::Value = serde_json::from_slice(&response.body)?;
    Ok(manifest["layers"][0]["digest"].as_str().unwrap_or_default().to_owned())
}

/// With imgstep's library, in pieces as they arrive from a socket.
fn hash() -> f64 {
    let piece = vec![0x5a; 64 * 1024];
    let rounds = 4096;
    let times: Vec<f64> = (0..3)
        .map(|_| {
            let begun = Instant::now();
            let mut hasher = Sha256::new();
            (0..rounds).for_each(|_| hasher.update(&piece));
            std::hint::black_box(hasher.finalize());
            begun.elapsed().as_secs_f64()
        })
        .collect();
    // The fastest one: disturbances only make it slower.
    times.into_iter().fold(f64::MAX, f64::min) / (rounds * piece.len()) as f64
}

/// The time of a request through the proxy, including its connection.
fn round_trip(test_bed: &TestBed, milliseconds: u64) -> Result<f64> {
    let link = Link { round_trip: Duration::from_millis(milliseconds), limit: None, tls: false, direct: false };
    test_bed.set(link);
    let host = test_bed.source.host(link, true).parse().map_err(anyhow::Error::new)?;
    let mut times = vec![];
    for _ in 0..7 {
        let begun = Instant::now();
        http::request(host, "GET", "/v2/", &[], &[])?.expect(200, "/v2/")?;
        times.push(begun.elapsed().as_secs_f64());
    }
    Ok(median(&times))
}

fn compressors(tar: &Path) -> Result<Vec<Compressor>> {
    crate::files::warm(tar)?;
    let cores = machine::cores().to_string();
    let mut found = vec![];
    for level in [4, 5, 6] {
        found.extend(compressor(tar, "pigz", &[&format!("-{level}"), "-p", &cores, "-c"], true)?);
    }
    for level in [4, 6] {
        found.extend(compressor(tar, "libdeflate-gzip", &[&format!("-{level}"), "-c"], false)?);
    }
    found.extend(compressor(tar, "zstd", &["-3", "-q", &format!("-T{cores}"), "-c"], true)?);
    Ok(found)
}

/// Runs a compressor on the tar; `None` if it isn't installed.
fn compressor(tar: &Path, program: &str, words: &[&str], parallel: bool) -> Result<Option<Compressor>> {
    let packed = tar.with_extension("packed");
    let begun = Instant::now();
    let run = Command::new(program).args(words).arg(tar).stdout(File::create(&packed)?).stderr(Stdio::null()).status();
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = fs::metadata(&packed)?.len();
    fs::remove_file(&packed)?;
    let done = run.is_ok_and(|status| status.success());
    let name = format!("{program} {}", words[0]);
    Ok(done.then_some(Compressor { name, seconds, bytes, parallel }))
}
