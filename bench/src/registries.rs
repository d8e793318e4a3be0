//! The lab: two registries of Debian's, nginx with TLS and HTTP/2 before them, and a proxy before each door.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::nginx;
use crate::proxy::{self, Distance, Passed, Proxy};

/// How a client reaches the registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub round_trip: Duration,
    /// What each connection is held to.
    pub limit: Option<Limit>,
    pub tls: bool,
    /// Timed without the proxy, which takes part of the same processors. Only what is counted goes through it.
    pub direct: bool,
}

/// A limit of bandwidth, each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub bytes_per_second: u64,
    /// Only of connections to the source: as where blobs come from a store that gives each reader its share.
    pub source_only: bool,
}

/// A way into a registry.
#[derive(Debug)]
pub struct Door {
    /// What a reference begins with: without the proxy, and through it.
    direct: String,
    distant: String,
    proxy: Proxy,
}

/// A registry.
#[derive(Debug)]
pub struct Side {
    pub address: SocketAddr,
    pub process: u32,
    storage: PathBuf,
    log: PathBuf,
    distance: Arc<Distance>,
    plain: Door,
    tls: Option<Door>,
}

/// Everything that runs.
#[derive(Debug)]
pub struct Lab {
    pub source: Side,
    pub destination: Side,
    /// A file of all authorities: the system's and that of the lab.
    pub authorities: PathBuf,
    /// The name under which TLS is spoken.
    pub name: String,
    pub nginx_log: PathBuf,
    /// Its process, where it is here.
    pub nginx: Option<u32>,
    children: Vec<Child>,
    folders: Vec<PathBuf>,
}

/// What the log and the proxies have seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub methods: BTreeMap<String, usize>,
    /// By what nginx calls the protocol; empty for plain HTTP.
    pub protocols: BTreeMap<String, usize>,
    pub passed: Passed,
}

impl Lab {
    /// Starts it, with logs and keys in `work` and images in `storage`.
    pub fn start(work: &Path, storage: &Path) -> io::Result<Self> {
        let mut children = vec![];
        let mut addresses = vec![];
        for side in ["source", "destination"] {
            let (child, address) = start_registry(work, storage, side)?;
            children.push(child);
            addresses.push(address);
        }
        let (name, ip) = name_of_this_machine();
        let authorities = nginx::make_certificates(work, &name, ip)?;
        let behind = nginx::start(work, ip, &addresses)?;
        let (nginx, doors) = behind.map_or((None, vec![]), |(child, doors)| (Some(child), doors));
        let side = |number: usize, which: &str| -> io::Result<Side> {
            let (address, distance) = (addresses[number], Arc::new(Distance::default()));
            let plain = door(Ipv4Addr::LOCALHOST.into(), "127.0.0.1", address, &distance)?;
            let tls = doors.get(number).map(|&address| door(ip, &name, address, &distance)).transpose()?;
            let process = children[number].id();
            Ok(Side { address, process, storage: storage.join(which), log: log_of(work, which), distance, plain, tls })
        };
        let (source, destination) = (side(0, "source")?, side(1, "destination")?);
        let process = nginx.as_ref().map(Child::id);
        children.extend(nginx);
        let folders = vec![storage.to_owned()];
        let nginx_log = work.join("nginx-access.log");
        Ok(Self { source, destination, authorities, name, nginx_log, nginx: process, children, folders })
    }

    pub fn has_tls(&self) -> bool {
        self.source.tls.is_some()
    }

    /// Sets the distance for what follows.
    pub fn set(&self, link: Link) {
        let rate = link.limit.map(|limit| limit.bytes_per_second);
        self.source.distance.set(link.round_trip, rate);
        self.destination
            .distance
            .set(link.round_trip, rate.filter(|_| link.limit.is_some_and(|limit| !limit.source_only)));
    }

    /// Both registries' logs and doors, since the beginning.
    pub fn seen(&self) -> io::Result<Seen> {
        let mut seen = Seen::default();
        for side in [&self.source, &self.destination] {
            for line in fs::read_to_string(&side.log)?.lines() {
                // The combined format: host - - [date] "METHOD path protocol" status …
                let method = line.split('"').nth(1).and_then(|request| request.split(' ').next()).unwrap_or("?");
                *seen.methods.entry(method.to_owned()).or_default() += 1;
            }
            for door in [Some(&side.plain), side.tls.as_ref()].into_iter().flatten() {
                let passed = door.proxy.counters.read();
                seen.passed.connections += passed.connections;
                seen.passed.up += passed.up;
                seen.passed.down += passed.down;
            }
        }
        for line in fs::read_to_string(&self.nginx_log).unwrap_or_default().lines() {
            *seen.protocols.entry(line.trim().to_owned()).or_default() += 1;
        }
        Ok(seen)
    }
}

impl Seen {
    /// What came after `before`.
    pub fn since(&self, before: &Self) -> Self {
        let less = |now: &BTreeMap<String, usize>, then: &BTreeMap<String, usize>| {
            let left = now.iter().map(|(key, count)| (key.clone(), count - then.get(key).unwrap_or(&0)));
            left.filter(|&(_, count)| count > 0).collect()
        };
        Self {
            methods: less(&self.methods, &before.methods),
            protocols: less(&self.protocols, &before.protocols),
            passed: Passed {
                connections: self.passed.connections - before.passed.connections,
                up: self.passed.up - before.passed.up,
                down: self.passed.down - before.passed.down,
            },
        }
    }

    pub fn requests(&self) -> usize {
        self.methods.values().sum()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for folder in &self.folders {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

impl Side {
    /// `HOST:PORT` for a reference.
    pub fn host(&self, link: Link, counting: bool) -> &str {
        let door = if link.tls { self.tls.as_ref().unwrap_or(&self.plain) } else { &self.plain };
        if link.direct && !counting { &door.direct } else { &door.distant }
    }

    fn root(&self) -> PathBuf {
        self.storage.join("docker/registry/v2")
    }

    /// Forgets everything. It keeps nothing in memory (see its configuration), so that its files are all there is.
    pub fn wipe(&self) -> io::Result<()> {
        remove(&self.root())
    }

    /// Forgets a repository; its blobs stay, as those of others.
    pub fn forget(&self, repository: &str) -> io::Result<()> {
        remove(&self.root().join("repositories").join(repository))
    }

    /// Forgets a tag, and the manifest that it names.
    pub fn forget_tag(&self, repository: &str, tag: &str) -> io::Result<()> {
        let manifests = self.root().join("repositories").join(repository).join("_manifests");
        if let Ok(digest) = fs::read_to_string(manifests.join("tags").join(tag).join("current/link")) {
            remove(&manifests.join("revisions/sha256").join(digest.trim().trim_start_matches("sha256:")))?;
        }
        remove(&manifests.join("tags").join(tag))
    }

    /// Where a blob lies.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hash = digest.trim_start_matches("sha256:");
        self.root().join("blobs/sha256").join(hash.get(..2).unwrap_or_default()).join(hash).join("data")
    }
}

/// Removes a folder that may not be there.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn log_of(work: &Path, side: &str) -> PathBuf {
    work.join(format!("{side}-access.log"))
}

fn door(ip: IpAddr, name: &str, target: SocketAddr, distance: &Arc<Distance>) -> io::Result<Door> {
    let proxy = proxy::start(ip, target, Arc::clone(distance))?;
    let distant = format!("{name}:{}", proxy.address.port());
    Ok(Door { direct: format!("{name}:{}", target.port()), distant, proxy })
}

/// A port that was free a moment ago.
pub fn free_port(ip: IpAddr) -> io::Result<SocketAddr> {
    TcpListener::bind((ip, 0))?.local_addr()
}

/// Waits until somebody listens.
pub fn wait_for(address: SocketAddr, who: &str) -> io::Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if begun.elapsed() > Duration::from_secs(10) {
            return Err(io::Error::other(format!("{who} does not listen on {address}")));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn start_registry(work: &Path, storage: &Path, side: &str) -> io::Result<(Child, SocketAddr)> {
    let address = free_port(Ipv4Addr::LOCALHOST.into())?;
    let root = storage.join(side);
    fs::create_dir_all(&root)?;
    let config = work.join(format!("{side}.yml"));
    // Without a cache of blob descriptors, so that a wiped folder is a fresh registry.
    let text = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n  \
         maintenance: {{uploadpurging: {{enabled: false}}}}\nhttp: {{addr: \"{address}\"}}\n",
        root.display()
    );
    fs::write(&config, text)?;
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(File::create(log_of(work, side))?)
        .stderr(File::create(work.join(format!("{side}-errors.log")))?)
        .spawn()
        .map_err(|error| io::Error::other(format!("docker-registry: {error} (bench/setup.sh installs it)")))?;
    wait_for(address, "docker-registry")?;
    Ok((child, address))
}

/// The name for TLS, and its address. A name that is not the loopback's, where there is one: clients try plain HTTP
/// first, or too, on what looks like the loopback, and would be charged for a question that no real registry is asked.
fn name_of_this_machine() -> (String, IpAddr) {
    let loopback = ("127.0.0.1".to_owned(), Ipv4Addr::LOCALHOST.into());
    let Ok(name) = fs::read_to_string("/proc/sys/kernel/hostname") else { return loopback };
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() || name.starts_with("localhost") || name.ends_with(".local") {
        return loopback;
    }
    let addresses = (name.as_str(), 0).to_socket_addrs().into_iter().flatten();
    let ours = addresses.map(|address| address.ip()).find(|ip| ip.is_ipv4() && free_port(*ip).is_ok());
    ours.map_or(loopback, |ip| (name, ip))
}
