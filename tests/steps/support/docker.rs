//! Docker's engine, to run the images that a step has made: the one that answers here, or else one of our own.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::tools::{is_here, left_out};

/// An engine that answers.
#[derive(Debug)]
pub struct Docker {
    /// Its address, where it is our own.
    host: Option<String>,
}

/// The engine, which all tests share; `None`, and a word on stderr, where there is none.
pub fn docker() -> Option<&'static Docker> {
    static DOCKER: OnceLock<Option<Docker>> = OnceLock::new();
    let engine = DOCKER.get_or_init(find).as_ref();
    if engine.is_none() {
        left_out("docker, an engine, or the means to start one (dockerd, and root or sudo)", "no image is run");
    }
    engine
}

/// An engine of our own that unpacks a layer onto a copy of those below, as some of its drivers do, and not beside them.
pub fn copying_docker() -> Option<&'static Docker> {
    static DOCKER: OnceLock<Option<Docker>> = OnceLock::new();
    let begin = || is_here("docker").then(|| start("vfs")).flatten();
    DOCKER.get_or_init(begin).as_ref()
}

fn find() -> Option<Docker> {
    if !is_here("docker") {
        return None;
    }
    let running = Docker { host: None };
    if running.answers() {
        return Some(running);
    }
    start("")
}

/// Runs an engine until its stdin ends, and takes everything away that it has made.
const ENGINE: &str = r#"
    group=$1 driver=$2 sockets=$3 data=$4
    exec 3<&0
    dockerd --host "unix://$sockets/docker.sock" --group "$group" --config-file "$sockets/daemon.json" \
        ${driver:+--storage-driver "$driver"} \
        --data-root "$data" --exec-root "$sockets/exec" --pidfile "$sockets/pid" \
        --bridge none --iptables=false --ip-forward=false >"$sockets/log" 2>&1 3<&- &
    engine=$!
    { cat >/dev/null; kill "$engine"; } <&3 2>/dev/null &
    wait "$engine" || tail -n 5 "$sockets/log" >&2
    rm -rf "$sockets" "$data"
"#;

/// An engine that touches nothing outside its folders: no bridge, no firewall rules, the user's settings not read.
/// Its storage driver is the usual one where none is named.
fn start(driver: &str) -> Option<Docker> {
    let mut words = as_root()?;
    // Sockets have short paths.
    let sockets = std::env::temp_dir().join(format!("imgstep-docker-{}{driver}", std::process::id()));
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("docker-{}{driver}", std::process::id()));
    fs::create_dir_all(&sockets).unwrap();
    fs::create_dir_all(&data).unwrap();
    fs::write(sockets.join("daemon.json"), "{}").unwrap();
    let path = format!("PATH={}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let group = String::from_utf8(Command::new("id").arg("-g").output().unwrap().stdout).unwrap();
    words.extend(["env", &path, "sh", "-c", ENGINE, "sh", group.trim(), driver].map(str::to_owned));
    let mut engine = Command::new(&words[0])
        .args(&words[1..])
        .args([&sockets, &data])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        // Ctrl-C is for the tests; the engine has to end in its own way.
        .process_group(0)
        .spawn()
        .unwrap();
    // The pipe is open for as long as this process lives: however that ends, the engine ends with it.
    std::mem::forget(engine.stdin.take());
    let docker = Docker { host: Some(format!("unix://{}", sockets.join("docker.sock").display())) };
    docker.begins(&mut engine).then_some(docker)
}

/// The words that make a command root's.
fn as_root() -> Option<Vec<String>> {
    let said = |words: &[&str]| Command::new(words[0]).args(&words[1..]).stderr(Stdio::null()).output().ok();
    if said(&["id", "-u"])?.stdout == b"0\n" {
        return Some(vec!["env".to_owned()]);
    }
    said(&["sudo", "-n", "true"])?.status.success().then(|| vec!["sudo".to_owned(), "-n".to_owned()])
}

impl Docker {
    /// The address of an engine of our own.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["120", "docker"]);
        if let Some(host) = &self.host {
            command.args(["--host", host]);
        }
        command.args(words).stdin(Stdio::null());
        command
    }

    /// Waits until it answers; whether it does.
    fn begins(&self, engine: &mut Child) -> bool {
        let limit = Instant::now() + Duration::from_secs(60);
        while engine.try_wait().unwrap().is_none() && Instant::now() < limit {
            if self.answers() {
                return true;
            }
            thread::sleep(Duration::from_millis(100));
        }
        false
    }

    fn answers(&self) -> bool {
        self.command(&["info"]).output().is_ok_and(|output| {
            // The client alone may end with 0 where no server answers.
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Server Version:")
        })
    }

    /// A command of its client, which must succeed; its stdout.
    pub fn said(&self, words: &[&str]) -> Vec<u8> {
        let output = self.command(words).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {words:?}: {}{stderr}", String::from_utf8_lossy(&output.stdout));
        output.stdout
    }

    fn line(&self, words: &[&str]) -> String {
        String::from_utf8(self.said(words)).unwrap().trim_end().to_owned()
    }

    /// Pulls a platform of an image and gives it to `look`; it is gone afterwards.
    pub fn with_image(&self, reference: &str, platform: &str, look: impl FnOnce()) {
        self.said(&["pull", "--quiet", "--platform", platform, reference]);
        look();
        self.said(&["image", "rm", "--force", reference]);
    }

    /// What a container of the image prints. It has no network, and nothing that it could write to.
    pub fn run(&self, reference: &str) -> String {
        self.line(&["run", "--rm", "--network", "none", "--read-only", reference])
    }

    /// What the engine knows of an image.
    pub fn inspect(&self, reference: &str) -> Value {
        let told: Value = serde_json::from_slice(&self.said(&["image", "inspect", reference])).unwrap();
        told[0].clone()
    }

    /// A path of the image as a tar. Nothing of the image runs: it may be for another processor.
    pub fn tar(&self, reference: &str, platform: &str, path: &str) -> Vec<u8> {
        let id = self.line(&["create", "--network", "none", "--platform", platform, reference]);
        let tar = self.said(&["cp", &format!("{id}:{path}"), "-"]);
        self.said(&["rm", &id]);
        tar
    }
}
