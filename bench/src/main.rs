//! `make bench`: compares imgstep with other tools, and writes the reports.
#![forbid(unsafe_code)]

mod compare;
mod direction;
mod files;
mod http;
mod images;
mod jobs;
mod kernel_buffer;
mod lower_bound;
mod machine;
mod measure;
mod nginx;
mod plot;
mod profile;
mod profile_report;
mod proxy;
mod rates;
mod report;
mod targets;
mod test_bed;
mod tools;
mod work;

use anyhow::{Context as _, Result, anyhow};

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs};

use compare::{Bench, JobResult};
use files::Files;
use jobs::Job;
use measure::Environment;
use rates::Rates;
use report::Context;
use test_bed::TestBed;
use tools::InstalledTool;
use work::Work;

/// Generated files, relative to the repository's root.
const WORK: &str = "target/bench";
/// Space for all images and the largest destination.
const STORAGE_BYTES: u64 = 6_000_000_000;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<()> {
    let begun = Instant::now();
    let (jobs, is_complete) = selected_jobs()?;
    let runs = env::var("RUNS").ok().filter(|text| !text.is_empty());
    let runs = runs.map_or(Ok(5), |text| text.parse()).map_err(|_| anyhow!("RUNS is a number"))?;
    let work = env::current_dir()?.join(WORK);
    fs::create_dir_all(&work)?;
    // Two concurrent runs would distort each other.
    let lock = fs::File::create(work.join("lock"))?;
    lock.try_lock().map_err(|_| anyhow!("another bench is running here"))?;
    let imgstep = env::current_dir()?.join("dist/imgstep");
    let binary_bytes = fs::metadata(&imgstep).context("there is no dist/imgstep: make build")?.len();
    let (mut tools, missing) = tools::find(&imgstep);
    for tool in &missing {
        eprintln!("bench: {} is missing: it is in no table (bench/setup.sh says why)", tool.name());
    }
    if !list_variable("WHO").is_empty() {
        tools.retain(|found| list_variable("WHO").iter().any(|name| name == found.tool.name()));
    }
    let with_folder = jobs.iter().any(|job| job.scenarios.iter().any(|one| matches!(one.work, Work::AppendFolder(_))));
    let files = Files::gather(&work, with_folder)?;
    let storage = storage(&work)?;
    let test_bed = TestBed::start(&work, &storage)?;
    let environment = Environment::new(&work, &test_bed.authorities)?;
    eprintln!("bench: what this machine can do");
    let rates = Rates::measure(&test_bed, with_folder.then_some(files.tar.as_path()))?;
    let results = measure(&jobs, &test_bed, &files, &environment, &tools, runs)?;
    let verdicts = targets::judge(&results, &rates, binary_bytes);
    let context = Context {
        tools: &tools,
        missing: &missing,
        runs,
        storage: storage_description(&storage),
        folder: with_folder.then_some((files.count, files.bytes)),
        rates: &rates,
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        tls_name: &test_bed.name,
    };
    let text = report::write(&results, &verdicts, &context);
    // A partial run isn't a record: it must not overwrite the reports of a full run.
    let folder = if is_complete { PathBuf::from("bench") } else { work.clone() };
    write_all(&folder, &text, &results, &rates)?;
    eprintln!("bench: {}", folder.join("RESULTS.md").display());
    Ok(())
}

/// The jobs named in JOB, with the scenarios whose label contains AT, and whether that is everything.
fn selected_jobs() -> Result<(Vec<Job>, bool)> {
    let mut all = jobs::all();
    let asked = list_variable("JOB");
    if let Some(unknown) = asked.iter().find(|name| !all.iter().any(|job| job.name == **name)) {
        let names: Vec<_> = all.iter().map(|job| job.name).collect();
        return Err(anyhow!("there is no job `{unknown}`; there are {}", names.join(", ")));
    }
    let at = env::var("AT").unwrap_or_default();
    let is_complete = asked.is_empty() && list_variable("WHO").is_empty() && at.is_empty();
    if !asked.is_empty() {
        all.retain(|job| asked.iter().any(|name| name == job.name));
    }
    for job in &mut all {
        job.scenarios.retain(|scenario| scenario.label.contains(&at));
    }
    Ok((all, is_complete))
}

/// The words in a variable: `a b` or `a,b`.
fn list_variable(variable: &str) -> Vec<String> {
    let text = env::var(variable).unwrap_or_default();
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Memory if there is enough, so that no disk is involved; otherwise the disk.
fn storage(work: &Path) -> Result<PathBuf> {
    let name = format!("imgstep-bench-{}", std::process::id());
    let memory = Path::new("/dev/shm");
    let free = Command::new("df").args(["--output=avail", "-B1", "/dev/shm"]).output();
    let free =
        free.ok().and_then(|output| String::from_utf8_lossy(&output.stdout).lines().last()?.trim().parse::<u64>().ok());
    let enough = free.is_some_and(|bytes| bytes >= STORAGE_BYTES);
    let folder = if enough { memory.join(name) } else { work.join(name) };
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn storage_description(storage: &Path) -> String {
    let place = if storage.starts_with("/dev/shm") { "memory (/dev/shm)" } else { "a folder on the disk" };
    place.to_owned()
}

/// Runs every job, after pushing the images that it needs.
fn measure(
    jobs: &[Job],
    test_bed: &TestBed,
    files: &Files,
    environment: &Environment,
    tools: &[InstalledTool],
    runs: usize,
) -> Result<Vec<JobResult>> {
    let bench = Bench { test_bed, files, environment, tools, runs };
    let mut pushed = vec![];
    let mut results = vec![];
    for job in jobs {
        for image in job.scenarios.iter().filter_map(|scenario| scenario.work.image()) {
            // A repository is always pushed completely: jobs that need only a part of it have another count.
            if !pushed.contains(&image.repository) {
                images::complete(image).push(test_bed.source.address)?;
                pushed.push(image.repository);
            }
        }
        results.push(bench.job(job));
    }
    Ok(results)
}

fn write_all(folder: &Path, text: &str, results: &[JobResult], rates: &Rates) -> Result<()> {
    fs::create_dir_all(folder.join("plots"))?;
    fs::write(folder.join("RESULTS.md"), text)?;
    fs::write(folder.join("LIMIT.md"), lower_bound::write(results, rates, &report::head()))?;
    let profiles = folder.join("PROFILE.md");
    match profile_report::write(results, rates, &report::head()) {
        Some(text) => fs::write(profiles, text)?,
        // A file from an earlier run would be mistaken for this run's.
        None => drop(fs::remove_file(profiles)),
    }
    for result in results {
        fs::write(folder.join("plots").join(format!("{}.svg", result.job.name)), plot::draw(result))?;
    }
    Ok(())
}
