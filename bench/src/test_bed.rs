//! The test bed: two docker-registry servers, nginx with TLS and HTTP/2 in front of them, and a proxy in front of each
//! endpoint.

use anyhow::{Result, anyhow};

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
use crate::proxy::{self, Distance, Proxy, Traffic};

/// How a client reaches the registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub round_trip: Duration,
    /// Bandwidth limit of each connection.
    pub limit: Option<Limit>,
    pub tls: bool,
    /// Timed without the proxy, which shares the CPU. Only the counted run goes through it.
    pub direct: bool,
}

/// A bandwidth limit, each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub bytes_per_second: u64,
    /// Only for connections to the source, like a blob store that gives each reader its share.
    pub source_only: bool,
}

/// An address of a registry.
#[derive(Debug)]
pub struct Endpoint {
    /// The host part of a reference: without the proxy, and through it.
    direct: String,
    proxied: String,
    proxy: Proxy,
}

/// A registry server.
#[derive(Debug)]
pub struct Registry {
    pub address: SocketAddr,
    pub process: u32,
    storage: PathBuf,
    log: PathBuf,
    distance: Arc<Distance>,
    plain: Endpoint,
    tls: Option<Endpoint>,
}

/// Everything that runs.
#[derive(Debug)]
pub struct TestBed {
    pub source: Registry,
    pub destination: Registry,
    /// The file with all trusted authorities: the system's and the bench's own.
    pub authorities: PathBuf,
    /// The host name for TLS.
    pub name: String,
    pub nginx_log: PathBuf,
    /// nginx's process, if it runs.
    pub nginx: Option<u32>,
    children: Vec<Child>,
    folders: Vec<PathBuf>,
}

/// Counts from the logs and the proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub methods: BTreeMap<String, usize>,
    /// By nginx's name of the protocol; empty for plain HTTP.
    pub protocols: BTreeMap<String, usize>,
    pub traffic: Traffic,
}

impl TestBed {
    /// Starts everything, with logs and keys in `work` and images in `storage`.
    pub fn start(work: &Path, storage: &Path) -> Result<Self> {
        let mut children = vec![];
        let mut addresses = vec![];
        for which in ["source", "destination"] {
            let (child, address) = start_registry(work, storage, which)?;
            children.push(child);
            addresses.push(address);
        }
        let (name, ip) = machine_name();
        let authorities = nginx::make_certificates(work, &name, ip)?;
        let frontends = nginx::start(work, ip, &addresses)?;
        let (nginx, endpoints) = frontends.map_or((None, vec![]), |(child, endpoints)| (Some(child), endpoints));
        let registry = |number: usize, which: &str| -> Result<Registry> {
            let (address, distance) = (addresses[number], Arc::new(Distance::default()));
            let plain = endpoint(Ipv4Addr::LOCALHOST.into(), "127.0.0.1", address, &distance)?;
            let tls = endpoints.get(number).map(|&address| endpoint(ip, &name, address, &distance)).transpose()?;
            let process = children[number].id();
            Ok(Registry {
                address,
                process,
                storage: storage.join(which),
                log: log_of(work, which),
                distance,
                plain,
                tls,
            })
        };
        let (source, destination) = (registry(0, "source")?, registry(1, "destination")?);
        let process = nginx.as_ref().map(Child::id);
        children.extend(nginx);
        let folders = vec![storage.to_owned()];
        let nginx_log = work.join("nginx-access.log");
        Ok(Self { source, destination, authorities, name, nginx_log, nginx: process, children, folders })
    }

    pub fn has_tls(&self) -> bool {
        self.source.tls.is_some()
    }

    /// Sets the round trip and bandwidth for new connections.
    pub fn set(&self, link: Link) {
        let rate = link.limit.map(|limit| limit.bytes_per_second);
        self.source.distance.set(link.round_trip, rate);
        self.destination
            .distance
            .set(link.round_trip, rate.filter(|_| link.limit.is_some_and(|limit| !limit.source_only)));
    }

    /// Counts of both registries since the start.
    pub fn counts(&self) -> Result<Counts> {
        let mut counts = Counts::default();
        for registry in [&self.source, &self.destination] {
            for line in fs::read_to_string(&registry.log)?.lines() {
                // The combined format: host - - [date] "METHOD path protocol" status …
                let method = line.split('"').nth(1).and_then(|request| request.split(' ').next()).unwrap_or("?");
                *counts.methods.entry(method.to_owned()).or_default() += 1;
            }
            for endpoint in [Some(&registry.plain), registry.tls.as_ref()].into_iter().flatten() {
                let traffic = endpoint.proxy.counters.read();
                counts.traffic.connections += traffic.connections;
                counts.traffic.up += traffic.up;
                counts.traffic.down += traffic.down;
            }
        }
        for line in fs::read_to_string(&self.nginx_log).unwrap_or_default().lines() {
            *counts.protocols.entry(line.trim().to_owned()).or_default() += 1;
        }
        Ok(counts)
    }
}

impl Counts {
    /// What was added since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let less = |now: &BTreeMap<String, usize>, then: &BTreeMap<String, usize>| {
            let left = now.iter().map(|(key, count)| (key.clone(), count - then.get(key).unwrap_or(&0)));
            left.filter(|&(_, count)| count > 0).collect()
        };
        Self {
            methods: less(&self.methods, &before.methods),
            protocols: less(&self.protocols, &before.protocols),
            traffic: Traffic {
                connections: self.traffic.connections - before.traffic.connections,
                up: self.traffic.up - before.traffic.up,
                down: self.traffic.down - before.traffic.down,
            },
        }
    }

    pub fn requests(&self) -> usize {
        self.methods.values().sum()
    }
}

impl Drop for TestBed {
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

impl Registry {
    /// `HOST:PORT` for a reference.
    pub fn host(&self, link: Link, counted: bool) -> &str {
        let endpoint = if link.tls { self.tls.as_ref().unwrap_or(&self.plain) } else { &self.plain };
        if link.direct && !counted { &endpoint.direct } else { &endpoint.proxied }
    }

    fn root(&self) -> PathBuf {
        self.storage.join("docker/registry/v2")
    }

    /// Removes everything. The registry caches nothing in memory (see its configuration), so its files are all there
    /// is.
    pub fn wipe(&self) -> Result<()> {
        remove(&self.root())
    }

    /// Removes a repository; its blobs stay, as if other repositories had them.
    pub fn remove_repository(&self, repository: &str) -> Result<()> {
        remove(&self.root().join("repositories").join(repository))
    }

    /// Removes a tag, and the manifest that it points to.
    pub fn remove_tag(&self, repository: &str, tag: &str) -> Result<()> {
        let manifests = self.root().join("repositories").join(repository).join("_manifests");
        if let Ok(digest) = fs::read_to_string(manifests.join("tags").join(tag).join("current/link")) {
            remove(&manifests.join("revisions/sha256").join(digest.trim().trim_start_matches("sha256:")))?;
        }
        remove(&manifests.join("tags").join(tag))
    }

    /// The path of a blob.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hash = digest.trim_start_matches("sha256:");
        self.root().join("blobs/sha256").join(hash.get(..2).unwrap_or_default()).join(hash).join("data")
    }
}

/// Removes a folder if it exists.
pub fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn log_of(work: &Path, which: &str) -> PathBuf {
    work.join(format!("{which}-access.log"))
}

fn endpoint(ip: IpAddr, name: &str, target: SocketAddr, distance: &Arc<Distance>) -> Result<Endpoint> {
    let proxy = proxy::start(ip, target, Arc::clone(distance))?;
    let proxied = format!("{name}:{}", proxy.address.port());
    Ok(Endpoint { direct: format!("{name}:{}", target.port()), proxied, proxy })
}

/// A port that was free a moment ago.
pub fn free_port(ip: IpAddr) -> Result<SocketAddr> {
    Ok(TcpListener::bind((ip, 0))?.local_addr()?)
}

/// Waits until a server listens.
pub fn wait_for(address: SocketAddr, who: &str) -> Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        if begun.elapsed() > Duration::from_secs(10) {
            return Err(anyhow!("{who} does not listen on {address}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn start_registry(work: &Path, storage: &Path, which: &str) -> Result<(Child, SocketAddr)> {
    let address = free_port(Ipv4Addr::LOCALHOST.into())?;
    let root = storage.join(which);
    fs::create_dir_all(&root)?;
    let config = work.join(format!("{which}.yml"));
    // Without a cache for blob descriptors, so that a wiped folder is an empty registry.
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
        .stdout(File::create(log_of(work, which))?)
        .stderr(File::create(work.join(format!("{which}-errors.log")))?)
        .spawn()
        .map_err(|error| anyhow!("docker-registry: {error} (bench/setup.sh installs it)"))?;
    wait_for(address, "docker-registry")?;
    Ok((child, address))
}

/// The host name for TLS, and its address. Not a loopback name if possible: clients try plain HTTP first, or in
/// addition, on loopback hosts, and that would cost them a request that no real registry gets.
fn machine_name() -> (String, IpAddr) {
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
