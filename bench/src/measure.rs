//! Runs one command and measures it: wall time, CPU time, peak memory.

use anyhow::{Result, anyhow};

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// Maximum duration of a run.
const LIMIT: Duration = Duration::from_secs(600);

/// The measurements of a run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub wall: f64,
    /// User and system time of the command and its children.
    pub cpu: f64,
    /// Peak memory of the largest process; `None` without GNU time.
    pub memory: Option<u64>,
}

/// Wall time and output of one run, each line with its time since the start of the process.
#[derive(Debug)]
pub struct LoggedRun {
    pub wall: f64,
    pub lines: Vec<(f64, String)>,
}

/// CPU time in seconds.
#[derive(Debug, Default, Clone, Copy)]
pub struct CpuTime {
    pub user: f64,
    pub system: f64,
}

impl CpuTime {
    pub fn sum(self) -> f64 {
        self.user + self.system
    }
}

/// The environment of every command, without the user's settings, credentials and caches.
#[derive(Debug)]
pub struct Environment {
    home: PathBuf,
    authorities: PathBuf,
    gnu_time: Option<&'static str>,
}

impl Environment {
    pub fn new(work: &Path, authorities: &Path) -> Result<Self> {
        let home = work.join("home");
        fs::create_dir_all(home.join("docker"))?;
        fs::create_dir_all(home.join("no-certificates"))?;
        fs::write(home.join("docker/config.json"), "{}")?;
        let gnu_time = Some("/usr/bin/time").filter(|time| Path::new(time).exists());
        Ok(Self { home, authorities: authorities.to_owned(), gnu_time })
    }

    /// Runs a command. A non-zero exit status is an error with the last lines of its output.
    pub fn run(&self, args: &[String]) -> Result<Run> {
        let data = self.fresh_data()?;
        let (output, peak) = (self.home.join("output"), self.home.join("peak"));
        // With GNU time, because the peak memory of a direct child would start at the memory of this process.
        let mut command = Command::new(self.gnu_time.unwrap_or(&args[0]));
        if self.gnu_time.is_some() {
            command.args(["-f", "%M", "-o"]).arg(&peak).args(args);
        } else {
            command.args(&args[1..]);
        }
        self.isolate(&mut command, &data);
        command.stdout(Stdio::null()).stderr(File::create(&output)?).process_group(0);
        let before = children_cpu()?;
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let (status, wall, cpu) = within_limit(&mut child, |child| {
            let status = child.wait()?;
            Ok((status, begun.elapsed().as_secs_f64(), children_cpu()? - before))
        })?;
        if !status.success() {
            let text = fs::read_to_string(&output)?;
            let end: Vec<&str> = text.lines().rev().take(3).collect();
            return Err(anyhow!("{status}: {}", end.into_iter().rev().collect::<Vec<_>>().join(" / ")));
        }
        let memory = fs::read_to_string(&peak).ok().and_then(|text| text.trim().parse::<u64>().ok());
        Ok(Run { wall, cpu, memory: memory.map(|kilobytes| kilobytes * 1024) })
    }

    /// Runs a command directly, and records its output.
    pub fn run_logged(&self, args: &[String]) -> Result<LoggedRun> {
        let data = self.fresh_data()?;
        let mut command = Command::new(&args[0]);
        command.args(&args[1..]);
        self.isolate(&mut command, &data);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let (status, logged) = within_limit(&mut child, |child| {
            let mut lines = vec![];
            for line in child.stderr.take().map(BufReader::new).into_iter().flat_map(BufReader::lines) {
                lines.push((begun.elapsed().as_secs_f64(), line?));
            }
            Ok((child.wait()?, LoggedRun { wall: begun.elapsed().as_secs_f64(), lines }))
        })?;
        if status.success() {
            return Ok(logged);
        }
        let last = logged.lines.last().map(|(_, line)| line.as_str()).unwrap_or_default();
        Err(anyhow!("{status}: {last}"))
    }

    /// skopeo caches in its data folder where it has seen which blob: every run is its first.
    fn fresh_data(&self) -> Result<PathBuf> {
        let data = self.home.join("data");
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(&data)?;
        Ok(data)
    }

    /// Runs a command directly: for commands that take a millisecond.
    pub fn run_directly(&self, args: &[String]) -> Result<Run> {
        let mut command = Command::new(&args[0]);
        command.args(&args[1..]);
        self.isolate(&mut command, &self.home);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let before = children_cpu()?;
        let begun = Instant::now();
        let status = command.status()?;
        let wall = begun.elapsed().as_secs_f64();
        if !status.success() {
            return Err(anyhow!("{}: {status}", args[0]));
        }
        Ok(Run { wall, cpu: children_cpu()? - before, memory: None })
    }

    fn isolate(&self, command: &mut Command, data: &Path) {
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_lowercase();
            if text.ends_with("_proxy") || text.starts_with("imgstep_") || text.starts_with("docker_") || text == "ci" {
                command.env_remove(&name);
            }
        }
        command
            .stdin(Stdio::null())
            .env("HOME", &self.home)
            .env("DOCKER_CONFIG", self.home.join("docker"))
            .env("REGISTRY_AUTH_FILE", self.home.join("docker/config.json"))
            .env("SSL_CERT_FILE", &self.authorities)
            .env("SSL_CERT_DIR", self.home.join("no-certificates"))
            .env("XDG_DATA_HOME", data)
            // As root, skopeo would use a system-wide cache, which would have to be cleared.
            .env("_CONTAINERS_ROOTLESS_UID", "1000");
    }
}

/// Runs `work` with a child, and kills the child's process group after the time limit.
fn within_limit<T>(child: &mut Child, work: impl FnOnce(&mut Child) -> Result<T>) -> Result<T> {
    let group = child.id();
    let (done, watched) = channel::<()>();
    let watch = thread::spawn(move || {
        if watched.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
        }
    });
    let worked = work(child);
    drop(done);
    let _ = watch.join();
    worked
}

/// CPU time of all children that have ended.
fn children_cpu() -> Result<f64> {
    Ok(cpu_time_of(UsageWho::RUSAGE_CHILDREN)?.sum())
}

pub fn cpu_time_of(who: UsageWho) -> Result<CpuTime> {
    let usage = getrusage(who)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(CpuTime { user: seconds(usage.user_time()), system: seconds(usage.system_time()) })
}

/// CPU time of a process, including its ended threads. Read from its clock: /proc only has hundredths of seconds, or
/// leaves those threads out.
pub fn cpu_of(process: u32) -> Result<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(process.cast_signed()))?;
    Ok(Duration::from(clock.now()?).as_secs_f64())
}

/// The median: for an even number of values, the mean of the middle two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}
