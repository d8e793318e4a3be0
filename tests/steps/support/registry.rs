//! Registries on loopback that live as long as a test: Debian's `docker-registry`, and the one in the binary.

use std::fmt::Write as _;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use super::certificates::Certificate;
use super::client::{self, Response};
use super::folder::Folder;
use super::images::{ACCEPT, Content};
use super::missing::missing_optional;

/// The implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// distribution 2.8, as packaged by Debian.
    Distribution,
    /// `imgstep registry serve`.
    Inside,
}

/// How a registry authenticates its clients.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    #[default]
    None,
    /// Basic, with the logins in [`BASIC_LOGINS`].
    Basic,
    /// Bearer tokens from a service at `realm`, signed by `certificate`.
    Token { realm: String, certificate: Certificate },
}

/// A registry's configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub read_only: bool,
    /// Manifests with URLs are refused, as in distribution's default configuration.
    pub refuses_urls: bool,
    pub auth: Auth,
    pub tls: Option<Certificate>,
    /// With TLS: HTTP/2 is off.
    pub only_http_1: bool,
}

/// One line of a registry's access log.
#[derive(Debug, Clone)]
pub struct LoggedRequest {
    pub method: String,
    pub target: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
}

/// User, password, and the htpasswd line (bcrypt with a cost of 4, which is enough for a test).
pub const BASIC_LOGINS: [(&str, &str, &str); 2] = [
    ("alice", "s3cret-of-alice", "alice:$2b$04$abcdefghijklmnopqrstuu.nAnwVQSlYbksAEpmghvBEUhZkyFlcy"),
    ("bob", "s3cret-of-bob", "bob:$2b$04$abcdefghijklmnopqrstuu/2sUG55x2qt2ZORDSqaxI8DX2g4Zlju"),
];
/// The `service` name of token registries, and the issuer that they trust.
pub const SERVICE: &str = "registry.test";
pub const ISSUER: &str = "token-service.test";

/// A running registry; stopped on drop.
pub struct Registry {
    pub kind: Kind,
    /// `127.0.0.1:PORT`, the first part of a reference.
    pub host: String,
    /// A host that serves the same storage without authentication: for fixtures and checks.
    pub back: String,
    processes: Vec<Child>,
    /// Its storage and its log.
    folder: Folder,
}

/// The kinds available on this machine. Each test prints what is missing; under `CI=true` that is a failure.
pub fn kinds() -> Vec<Kind> {
    static KINDS: OnceLock<Vec<Kind>> = OnceLock::new();
    let kinds = KINDS.get_or_init(found);
    if !kinds.contains(&Kind::Distribution) {
        missing_optional("docker-registry", "the tests only run against the registry in imgstep");
    }
    kinds.clone()
}

fn found() -> Vec<Kind> {
    assert!(inside_is_there(), "`imgstep registry serve` does not exist");
    if Command::new("docker-registry").arg("--version").stdout(Stdio::null()).status().is_ok() {
        return vec![Kind::Distribution, Kind::Inside];
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "docker-registry is not installed");
    vec![Kind::Inside]
}

fn inside_is_there() -> bool {
    let asked = Command::new(env!("CARGO_BIN_EXE_imgstep")).args(["registry", "serve", "--help"]).output();
    asked.is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}

/// One registry of every kind.
pub fn registries() -> Vec<Registry> {
    kinds().into_iter().map(Registry::start).collect()
}

/// One source and one destination of every kind.
pub fn pairs() -> Vec<(Registry, Registry)> {
    kinds().into_iter().map(|kind| (Registry::start(kind), Registry::start(kind))).collect()
}

/// distribution with options; `None`, with a note on stderr, if it isn't installed.
pub fn distribution(options: &Options) -> Option<Registry> {
    kinds().contains(&Kind::Distribution).then(|| Registry::guarded(Kind::Distribution, options))
}

impl Registry {
    /// An open registry that anyone may write to.
    pub fn start(kind: Kind) -> Self {
        let folder = Folder::new();
        let (process, host) = start(kind, &folder, "open", &Options::default());
        Self { kind, back: host.clone(), host, processes: vec![process], folder }
    }

    /// The registry in the binary: it accepts manifests of any kind.
    pub fn inside() -> Self {
        Self::start(Kind::Inside)
    }

    /// A registry with authentication, and a back door to its storage.
    fn guarded(kind: Kind, options: &Options) -> Self {
        let folder = Folder::new();
        let (open, back) = start(kind, &folder, "open", &Options::default());
        let (process, host) = start(kind, &folder, "guarded", options);
        Self { kind, host, back, processes: vec![open, process], folder }
    }

    /// A read-only registry with the content that `fill` pushed into it.
    pub fn read_only(kind: Kind, fill: impl FnOnce(&Self)) -> Self {
        let options = Options { read_only: true, ..Options::default() };
        if kind == Kind::Distribution {
            let registry = Self::guarded(kind, &options);
            fill(&registry);
            return registry;
        }
        // The registry in the binary locks its folder, so there is no back door; but reading doesn't need one.
        let mut open = Self::start(kind);
        fill(&open);
        open.end();
        let (process, host) = start(kind, &open.folder, "guarded", &options);
        open.back.clone_from(&host);
        open.host = host;
        open.processes.push(process);
        open
    }

    /// The URL of something under `/v2/`, through the back door.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/v2/{path}", self.back)
    }

    /// The response to a request for a manifest by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Response {
        client::request("GET", &self.url(&format!("{repository}/manifests/{reference}")), &[("Accept", ACCEPT)], b"")
    }

    /// The bytes of a manifest that must exist.
    pub fn manifest_bytes(&self, repository: &str, reference: &str) -> Vec<u8> {
        let answer = self.manifest(repository, reference);
        assert_eq!(answer.status, 200, "{}/{repository} {reference}: {}", self.host, answer.text());
        answer.body
    }

    pub fn has_manifest(&self, repository: &str, reference: &str) -> bool {
        self.manifest(repository, reference).status == 200
    }

    pub fn has_blob(&self, repository: &str, digest: &str) -> bool {
        let url = self.url(&format!("{repository}/blobs/{digest}"));
        client::request("HEAD", &url, &[], b"").status == 200
    }

    pub fn put_blob(&self, repository: &str, blob: &Content) {
        let uploads = self.url(&format!("{repository}/blobs/uploads/"));
        let begun = client::expect(202, "POST", &uploads, &[], b"");
        let location = begun.header("location").expect("an upload has a Location");
        let location =
            if location.starts_with('/') { format!("http://{}{location}", self.back) } else { location.to_owned() };
        let joint = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{joint}digest={}", blob.digest);
        client::expect(201, "PUT", &url, &[("Content-Type", "application/octet-stream")], &blob.bytes);
    }

    pub fn put_manifest(&self, repository: &str, reference: &str, manifest: &Content) {
        let url = self.url(&format!("{repository}/manifests/{reference}"));
        client::expect(201, "PUT", &url, &[("Content-Type", &manifest.media_type)], &manifest.bytes);
    }

    /// Removes a blob from a repository.
    pub fn delete_blob(&self, repository: &str, digest: &str) {
        client::expect(202, "DELETE", &self.url(&format!("{repository}/blobs/{digest}")), &[], b"");
        assert!(!self.has_blob(repository, digest));
    }

    /// Removes a manifest from a repository.
    pub fn delete_manifest(&self, repository: &str, digest: &str) {
        client::expect(202, "DELETE", &self.url(&format!("{repository}/manifests/{digest}")), &[], b"");
        assert!(!self.has_manifest(repository, digest));
    }

    /// The folder with all its files: for the soak test.
    #[allow(dead_code)]
    pub fn storage(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn end(&mut self) {
        for mut process in self.processes.drain(..) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// The access log of a distribution registry with TLS (not its back door), in the order of responses.
    pub fn access_log(&self) -> Vec<LoggedRequest> {
        let text = std::fs::read_to_string(self.folder.join("guarded.log")).unwrap_or_default();
        let requests = text.lines().filter(|line| line.starts_with("127.0.0.1 - ")).filter_map(|line| {
            let mut words = line.split('"').nth(1)?.split(' ').map(str::to_owned);
            Some(LoggedRequest { method: words.next()?, target: words.next()?, protocol: words.next()? })
        });
        requests.collect()
    }

    pub fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a registry on `folder/data`; returns the process and its address.
fn start(kind: Kind, folder: &Folder, name: &str, options: &Options) -> (Child, String) {
    let log = folder.join(&format!("{name}.log"));
    let mut command = match kind {
        Kind::Distribution => distribution_command(folder, name, options),
        Kind::Inside => inside_command(folder, options),
    };
    let output = File::create(&log).unwrap();
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let mut process = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let limit = Instant::now() + Duration::from_secs(30);
    loop {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        if let Some(address) = address_in(&said) {
            return (process, address);
        }
        let ended = process.try_wait().unwrap();
        if ended.is_some() || Instant::now() > limit {
            let _ = process.kill();
            panic!("{kind:?} did not begin to listen ({ended:?}): {said}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The address in a line such as `listening on 127.0.0.1:5000`, once the line is complete.
fn address_in(log: &str) -> Option<String> {
    let from = log.find("127.0.0.1:")?;
    let rest = &log[from..];
    let end = rest.find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | ':')))?;
    Some(rest[..end].trim_end_matches(['.', ':']).to_owned())
}

fn inside_command(folder: &Folder, options: &Options) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgstep"));
    command.args(["registry", "serve", "--address", "127.0.0.1:0", "--storage"]).arg(folder.join("data"));
    if options.read_only {
        command.arg("--read-only");
    }
    command
}

fn distribution_command(folder: &Folder, name: &str, options: &Options) -> Command {
    let config = folder.write(&format!("{name}.yml"), distribution_config(folder, name, options));
    let mut command = Command::new("docker-registry");
    // REGISTRY_* variables would change the configuration.
    command.arg("serve").arg(config).env_clear();
    command
}

fn distribution_config(folder: &Folder, name: &str, options: &Options) -> String {
    let data = folder.join("data");
    let read_only = options.read_only;
    let mut text = format!(
        "version: 0.1
log: {{level: info, accesslog: {{disabled: {quiet}}}}}
storage:
  filesystem: {{rootdirectory: {data}}}
  delete: {{enabled: true}}
  maintenance:
    uploadpurging: {{enabled: false}}
    readonly: {{enabled: {read_only}}}
compatibility: {{schema1: {{enabled: true}}}}
{validation}
http:
  addr: 127.0.0.1:0
  secret: the-same-for-both-doors
",
        data = data.display(),
        validation = if options.refuses_urls { "" } else { "validation: {manifests: {urls: {allow: ['^https?://']}}}" },
        quiet = options.tls.is_none(),
    );
    if let Some(certificate) = &options.tls {
        let (cert, key) = certificate_files(folder, name, certificate);
        writeln!(text, "  tls: {{certificate: {}, key: {}}}", cert.display(), key.display()).unwrap();
        writeln!(text, "  http2: {{disabled: {}}}", options.only_http_1).unwrap();
    }
    match &options.auth {
        Auth::None => {}
        Auth::Basic => {
            let lines = BASIC_LOGINS.map(|(_, _, line)| line).join("\n");
            let path = folder.write("htpasswd", lines);
            writeln!(text, "auth: {{htpasswd: {{realm: test, path: {}}}}}", path.display()).unwrap();
        }
        Auth::Token { realm, certificate } => {
            let bundle = folder.write("token.pem", &certificate.authority_pem);
            writeln!(
                text,
                "auth: {{token: {{realm: '{realm}', service: {SERVICE}, issuer: {ISSUER}, rootcertbundle: {}}}}}",
                bundle.display()
            )
            .unwrap();
        }
    }
    text
}

fn certificate_files(folder: &Folder, name: &str, certificate: &Certificate) -> (PathBuf, PathBuf) {
    let cert = folder.write(&format!("{name}.crt"), &certificate.pem);
    let key = folder.write(&format!("{name}.key"), &certificate.key_pem);
    (cert, key)
}
