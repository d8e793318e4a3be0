//! The registry in its own process, and an HTTP client that can misbehave as a test needs.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use imgstep::image::digest::Digest;

/// The media type of images.
pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of indexes.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A folder that is removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("registry-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Every file below it, by relative path.
    pub fn files(&self, below: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.join(below)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&self.0).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `imgstep registry serve` with these arguments.
pub fn serve(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgstep"));
    command.args(["registry", "serve"]).args(words).stdin(Stdio::null());
    command
}

/// A running registry; killed on drop.
pub struct Server {
    pub process: Child,
    pub address: String,
    pub first_line: String,
    pub stderr: BufReader<ChildStderr>,
}

impl Server {
    /// Serves on a free port. The first line that it prints must contain the address.
    pub fn start(words: &[&str]) -> Self {
        let words = [&["--address", "127.0.0.1:0"], words].concat();
        let mut process = serve(&words).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let mut server = Self { process, address: String::new(), first_line: String::new(), stderr };
        while server.address.is_empty() {
            let before = server.first_line.len();
            assert_ne!(server.stderr.read_line(&mut server.first_line).unwrap(), 0, "it ended: {}", server.first_line);
            let mut words = server.first_line[before..].split_whitespace();
            server.address = words.find(|word| word.starts_with("127.0.0.1:")).unwrap_or_default().to_owned();
        }
        server
    }

    /// One in memory and one in a folder, for what must hold for both.
    pub fn both() -> [(Self, Option<Folder>); 2] {
        let folder = Folder::new();
        [(Self::start(&[]), None), (Self::start(&["--storage", folder.text()]), Some(folder))]
    }

    pub fn signal(&self, name: &str) {
        signal(self.process.id(), name);
    }

    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// One request on its own connection.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        // A server that refuses early may close before everything is written; its response can still be read.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        Reply::parse(&all)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    /// Starts an upload and returns its path.
    pub fn begin(&self, name: &str) -> String {
        let reply = self.send("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"").expect(202);
        reply.header("location").to_owned()
    }

    /// Uploads a blob in one request.
    pub fn push_blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.send("POST", &format!("/v2/{name}/blobs/uploads/?digest={digest}"), &[], bytes).expect(201);
        digest
    }

    pub fn put_manifest(&self, name: &str, reference: &str, media_type: &str, json: &str) -> Reply {
        self.send("PUT", &format!("/v2/{name}/manifests/{reference}"), &[("Content-Type", media_type)], json.as_bytes())
    }

    /// Pushes an image with one layer and returns its digest and its manifest.
    pub fn push_image(&self, name: &str, tag: &str, content: &str) -> (Digest, String) {
        let config = self.push_blob(name, b"{}");
        let layer = self.push_blob(name, content.as_bytes());
        let json = image(&config, &layer, content.len(), "");
        self.put_manifest(name, tag, IMAGE, &json).expect(201);
        (Digest::of(json.as_bytes()), json)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends a signal to a process.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().unwrap();
    assert!(status.success());
}

/// An image manifest with a config of two bytes; `more` is additional fields, each followed by a comma.
pub fn image(config: &Digest, layer: &Digest, size: usize, more: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{IMAGE}",{more}"config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{size}}}]}}"#
    )
}

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn parse(all: &[u8]) -> Self {
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("no answer: {:?}", String::from_utf8_lossy(all));
        });
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: all[end + 4..].to_vec() }
    }

    /// The response, which must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.text());
        self
    }

    /// The response, which must have this status and this error code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        let reply = self.expect(status);
        assert_eq!(reply.json()["errors"][0]["code"], code, "{}", reply.text());
        reply
    }

    /// A header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let find = |line: &'_ str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head
            .lines()
            .find(|line| find(line))
            .and_then(|line| line.split_once(':'))
            .map_or("", |(_, value)| value.trim())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
