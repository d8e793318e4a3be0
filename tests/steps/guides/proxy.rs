//! `docs/proxy.md`: a proxy, a company's own authority, and the messages without them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::block;
use crate::support::certificates::Certificate;
use crate::support::{Folder, Options, Registry, assert_image, distribution, images};

/// A network whose only exit is a proxy, and two registries with certificates from a company's own authority.
struct Company {
    destination: Registry,
    _source: Registry,
    folder: Folder,
    /// `127.0.0.1:PORT` of the proxy.
    proxy: String,
    /// The hosts that were requested.
    asked: Arc<Mutex<Vec<String>>>,
    image: crate::support::Image,
}

impl Company {
    /// `None` if no registry with TLS is installed.
    fn new() -> Option<Self> {
        let certificate = Certificate::for_names(&["ghcr.io", "registry.example"]);
        let options = Options { tls: Some(certificate.clone()), ..Options::default() };
        let (source, destination) = (distribution(&options)?, distribution(&options)?);
        let image = images::image(1, 2, 1000);
        image.push(&source, "org/app", "main");
        let folder = Folder::new();
        folder.write("company-ca.pem", &certificate.authority_pem);
        folder.write("certs.d/registry.example/ca.crt", &certificate.authority_pem);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let proxy = tunnels([source.host.clone(), destination.host.clone()], &asked);
        Some(Self { destination, _source: source, folder, proxy, asked, image })
    }

    /// Runs a script with the proxy set, unless the script sets it itself.
    fn run(&self, script: &str) -> std::process::Output {
        let script = script
            .replace("http://proxy.example:3128", &format!("http://{}", self.proxy))
            .replace("/etc/docker/certs.d", "certs.d");
        let program = format!("#!/bin/sh\nexec {} \"$@\" --retries 0\n", env!("CARGO_BIN_EXE_imgstep"));
        self.folder.write_program("bin/imgstep", program);
        let path = format!("{}:{}", self.folder.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut command = std::process::Command::new("sh");
        command.args(["-euc", &script]).env_clear().env("PATH", path).current_dir(self.folder.path());
        command.env("HOME", self.folder.path()).env("ALL_PROXY", format!("http://{}", self.proxy));
        command.output().unwrap()
    }

    fn assert_promotes(&self, name: &str) {
        let run = self.run(&block("docs/proxy.md", "imgstep", name));
        let stderr = String::from_utf8_lossy(&run.stderr);
        let expected = format!("registry.example/org/app@{}\n", self.image.digest());
        assert_eq!(String::from_utf8_lossy(&run.stdout), expected, "{name}: {stderr}");
        assert_image(&self.destination, "org/app", "v1", &self.image);
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        assert!(
            ["ghcr.io:443", "registry.example:443"].iter().all(|host| asked.iter().any(|one| one == host)),
            "{asked:?}"
        );
    }
}

/// A proxy that opens tunnels for ghcr.io to the first address, and for any other host to the second.
fn tunnels(to: [String; 2], asked: &Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::clone(asked);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let (to, asked) = (to.clone(), Arc::clone(&asked));
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|count| count == 1) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let Some(host) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else { return };
                asked.lock().unwrap().push(host.to_owned());
                let [source, destination] = &to;
                let server =
                    TcpStream::connect(if host.starts_with("ghcr.io:") { source } else { destination }).unwrap();
                client.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").unwrap();
                pipe(&client, &server);
            });
        }
    });
    address
}

fn pipe(client: &TcpStream, server: &TcpStream) {
    let copy = |from: &TcpStream, to: &TcpStream| {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        })
    };
    let ways = [copy(client, server), copy(server, client)];
    for way in ways {
        way.join().unwrap();
    }
}

/// The blocks of the page, as the common test of the guides expects them.
const BLOCKS: [(&str, &str, &str); 6] = [
    ("proxy", "imgstep", "proxy"),
    ("proxy", "imgstep", "ca-file"),
    ("proxy", "imgstep", "ca-dir"),
    ("proxy", "imgstep", "variable"),
    ("proxy", "imgstep", "ssl-cert-file"),
    ("proxy", "imgstep", "insecure"),
];

#[test]
fn the_commands_of_the_page_succeed() {
    for (_, _, name) in BLOCKS {
        let Some(company) = Company::new() else { return };
        company.assert_promotes(name);
    }
}

#[test]
fn the_messages_of_the_page_are_the_real_ones() {
    let Some(company) = Company::new() else { return };
    let says = |answer: &'static str| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let _ = client.read(&mut [0; 1024]);
                let _ = client.write_all(answer.as_bytes());
            }
        });
        format!("export HTTPS_PROXY=http://{address}")
    };
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        ("UnknownIssuer", String::new()),
        ("answered 403 Forbidden to CONNECT", says("HTTP/1.1 403 Forbidden\r\n\r\n")),
        ("answered 407", says("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")),
        ("socks5://", "export HTTPS_PROXY=socks5://127.0.0.1:1080".to_owned()),
        ("(HTTPS_PROXY)", format!("export HTTPS_PROXY=http://{nobody}")),
    ];
    let page = super::read("docs/proxy.md");
    let rows: Vec<&str> = page.lines().skip_while(|line| !line.starts_with("| the message")).skip(2).collect();
    assert_eq!(rows.len(), cases.len(), "{rows:?}");
    for (row, (part, setting)) in rows.into_iter().zip(cases) {
        let run = company.run(&format!("{setting}\nimgstep digest ghcr.io/org/app:main\n"));
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert!(stderr.contains(part), "{part}: {stderr}");
        let status = run.status.code().unwrap();
        assert!(row.starts_with(&format!("| `{part}` | {status} |")), "{status}: {row}");
    }
}

#[test]
fn hosts_in_no_proxy_are_reached_directly() {
    let Some(company) = Company::new() else { return };
    for (list, is_direct) in [
        ("example", true),
        ("registry.example", true),
        (".example", true),
        ("*", true),
        ("other.example", false),
        ("gistry.example", false),
        ("registry.example:443", false),
    ] {
        company.run(&format!(
            "export NO_PROXY={list}\nimgstep digest registry.example/org/app:main --ca-file company-ca.pem || :\n"
        ));
        let asked = std::mem::take(&mut *company.asked.lock().unwrap());
        assert_eq!(asked.is_empty(), is_direct, "{list}: {asked:?}");
    }
}
