//! A Docker engine to run the images that a step built: the running one if there is one, otherwise our own.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::tools::{is_here, missing};

/// A running engine.
#[derive(Debug)]
pub struct Docker {
    /// The address of our own engine; `None` for the system's.
    host: Option<String>,
}

/// The engine shared by all tests; `None`, with a note on stderr, if there is none.
pub fn docker() -> Option<&'static Docker> {
    static DOCKER: OnceLock<Option<Docker>> = OnceLock::new();
    let engine = DOCKER.get_or_init(find).as_ref();
    if engine.is_none() {
        missing("docker, an engine, or the means to start one (dockerd, and root or sudo)", "no image is run");
    }
    engine
}

/// An engine of our own whose storage driver unpacks each layer onto a copy of the layers below it, instead of stacking
/// them.
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

/// Runs an engine until its stdin ends, and removes everything it created.
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

/// An engine that touches nothing outside its folders: no bridge, no firewall rules, and the user's settings aren't
/// read. An empty storage driver means the default one.
fn start(driver: &str) -> Option<Docker> {
    let mut words = as_root()?;
    // Socket paths must be short.
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
        // Ctrl-C is for the tests; the engine must shut down on its own.
        .process_group(0)
        .spawn()
        .unwrap();
    // The pipe stays open as long as this process lives: however the process ends, the engine ends too.
    std::mem::forget(engine.stdin.take());
    let docker = Docker { host: Some(format!("unix://{}", sockets.join("docker.sock").display())) };
    docker.begins(&mut engine).then_some(docker)
}

/// The prefix that runs a command as root.
fn as_root() -> Option<Vec<String>> {
    let said = |words: &[&str]| Command::new(words[0]).args(&words[1..]).stderr(Stdio::null()).output().ok();
    if said(&["id", "-u"])?.stdout == b"0\n" {
        return Some(vec!["env".to_owned()]);
    }
    said(&["sudo", "-n", "true"])?.status.success().then(|| vec!["sudo".to_owned(), "-n".to_owned()])
}

impl Docker {
    /// The address of our own engine.
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

    /// Waits until the engine responds; returns whether it did.
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
            // The client may exit with 0 even if no server responds.
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Server Version:")
        })
    }

    /// Runs a command of the engine's client, which must succeed; returns its stdout.
    pub fn output(&self, words: &[&str]) -> Vec<u8> {
        let output = self.command(words).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {words:?}: {}{stderr}", String::from_utf8_lossy(&output.stdout));
        output.stdout
    }

    fn line(&self, words: &[&str]) -> String {
        String::from_utf8(self.output(words)).unwrap().trim_end().to_owned()
    }

    /// Pulls one platform of an image, passes it to `look`, and removes it afterwards.
    pub fn with_image(&self, reference: &str, platform: &str, look: impl FnOnce()) {
        self.output(&["pull", "--quiet", "--platform", platform, reference]);
        look();
        self.output(&["image", "rm", "--force", reference]);
    }

    /// What a container of the image prints. The container has no network and nothing it can write to.
    pub fn run(&self, reference: &str) -> String {
        self.line(&["run", "--rm", "--network", "none", "--read-only", reference])
    }

    /// The engine's metadata of the image.
    pub fn inspect(&self, reference: &str) -> Value {
        let inspected: Value = serde_json::from_slice(&self.output(&["image", "inspect", reference])).unwrap();
        inspected[0].clone()
    }

    /// A path of the image as a tar. Nothing in the image runs, so it may be for a foreign platform.
    pub fn tar(&self, reference: &str, platform: &str, path: &str) -> Vec<u8> {
        let id = self.line(&["create", "--network", "none", "--platform", platform, reference]);
        let tar = self.output(&["cp", &format!("{id}:{path}"), "-"]);
        self.output(&["rm", &id]);
        tar
    }
}
