//! Runs one command and says what it took: wall time, processor time, peak memory.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
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

/// No run takes longer.
const LIMIT: Duration = Duration::from_secs(600);

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub wall: f64,
    /// User and system, of the command and all that it started.
    pub cpu: f64,
    /// Of the largest process; `None` without GNU time.
    pub memory: Option<u64>,
}

/// What one run took and said, with the time of each line since the start of the process.
#[derive(Debug)]
pub struct Told {
    pub wall: f64,
    pub lines: Vec<(f64, String)>,
}

/// Seconds of processors.
#[derive(Debug, Default, Clone, Copy)]
pub struct Times {
    pub user: f64,
    pub system: f64,
}

impl Times {
    pub fn sum(self) -> f64 {
        self.user + self.system
    }
}

/// The surroundings of every command: no settings, logins or caches of whoever runs the bench.
#[derive(Debug)]
pub struct Surroundings {
    home: PathBuf,
    authorities: PathBuf,
    gnu_time: Option<&'static str>,
}

impl Surroundings {
    pub fn new(work: &Path, authorities: &Path) -> io::Result<Self> {
        let home = work.join("home");
        fs::create_dir_all(home.join("docker"))?;
        fs::create_dir_all(home.join("no-certificates"))?;
        fs::write(home.join("docker/config.json"), "{}")?;
        let gnu_time = Some("/usr/bin/time").filter(|time| Path::new(time).exists());
        Ok(Self { home, authorities: authorities.to_owned(), gnu_time })
    }

    /// Runs `words`. An exit status other than 0 is an error with the end of what it said.
    pub fn run(&self, words: &[String]) -> io::Result<Run> {
        let data = self.fresh_data()?;
        let (said, peak) = (self.home.join("said"), self.home.join("peak"));
        // By GNU time, since the peak of a child of this process would begin at the memory of this process.
        let mut command = Command::new(self.gnu_time.unwrap_or(&words[0]));
        if self.gnu_time.is_some() {
            command.args(["-f", "%M", "-o"]).arg(&peak).args(words);
        } else {
            command.args(&words[1..]);
        }
        self.surround(&mut command, &data);
        command.stdout(Stdio::null()).stderr(File::create(&said)?).process_group(0);
        let before = children_cpu()?;
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let (status, wall, cpu) = within_limit(&mut child, |child| {
            let status = child.wait()?;
            Ok((status, begun.elapsed().as_secs_f64(), children_cpu()? - before))
        })?;
        if !status.success() {
            let text = fs::read_to_string(&said)?;
            let end: Vec<&str> = text.lines().rev().take(3).collect();
            return Err(io::Error::other(format!(
                "{status}: {}",
                end.into_iter().rev().collect::<Vec<_>>().join(" / ")
            )));
        }
        let memory = fs::read_to_string(&peak).ok().and_then(|text| text.trim().parse::<u64>().ok());
        Ok(Run { wall, cpu, memory: memory.map(|kilobytes| kilobytes * 1024) })
    }

    /// Runs `words` with nothing between, and reads what it says.
    pub fn run_told(&self, words: &[String]) -> io::Result<Told> {
        let data = self.fresh_data()?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        self.surround(&mut command, &data);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let (status, told) = within_limit(&mut child, |child| {
            let mut lines = vec![];
            for line in child.stderr.take().map(BufReader::new).into_iter().flat_map(BufReader::lines) {
                lines.push((begun.elapsed().as_secs_f64(), line?));
            }
            Ok((child.wait()?, Told { wall: begun.elapsed().as_secs_f64(), lines }))
        })?;
        if status.success() {
            return Ok(told);
        }
        let last = told.lines.last().map(|(_, line)| line.as_str()).unwrap_or_default();
        Err(io::Error::other(format!("{status}: {last}")))
    }

    /// skopeo remembers in its data folder where it has seen which blob: each run is its first.
    fn fresh_data(&self) -> io::Result<PathBuf> {
        let data = self.home.join("data");
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(&data)?;
        Ok(data)
    }

    /// Runs `words` with nothing between: for what takes a millisecond.
    pub fn run_bare(&self, words: &[String]) -> io::Result<Run> {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        self.surround(&mut command, &self.home);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let before = children_cpu()?;
        let begun = Instant::now();
        let status = command.status()?;
        let wall = begun.elapsed().as_secs_f64();
        if !status.success() {
            return Err(io::Error::other(format!("{}: {status}", words[0])));
        }
        Ok(Run { wall, cpu: children_cpu()? - before, memory: None })
    }

    fn surround(&self, command: &mut Command, data: &Path) {
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
            // To root, skopeo would use, and we would have to clear, a cache of the whole system.
            .env("_CONTAINERS_ROOTLESS_UID", "1000");
    }
}

/// Does `work` with a child, which is ended with all that it started when it takes too long.
fn within_limit<T>(child: &mut Child, work: impl FnOnce(&mut Child) -> io::Result<T>) -> io::Result<T> {
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

/// Processor time of all children that have ended.
fn children_cpu() -> io::Result<f64> {
    Ok(times_of(UsageWho::RUSAGE_CHILDREN)?.sum())
}

pub fn times_of(who: UsageWho) -> io::Result<Times> {
    let usage = getrusage(who)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(Times { user: seconds(usage.user_time()), system: seconds(usage.system_time()) })
}

/// Processor time of a process, its threads that have ended among it. By its clock: /proc has it in hundredths of
/// seconds, or loses those threads.
pub fn cpu_of(process: u32) -> io::Result<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(process.cast_signed()))?;
    Ok(Duration::from(clock.now()?).as_secs_f64())
}

/// The middle of `values`; of an even number the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}
