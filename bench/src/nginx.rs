//! nginx as TLS and HTTP/2 frontend of the registries, with certificates from the bench's own authority.

use anyhow::{Result, anyhow};

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::test_bed::{free_port, wait_for};

/// Creates the authority and the certificate; returns the file with all trusted authorities.
pub fn make_certificates(work: &Path, name: &str, ip: IpAddr) -> Result<PathBuf> {
    let names = if name.parse::<IpAddr>().is_ok() { String::new() } else { format!("DNS:{name},") };
    fs::write(work.join("extensions"), format!("subjectAltName={names}IP:{ip}\nbasicConstraints=CA:FALSE\n"))?;
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let authority =
        ["req", "-x509", "-days", "30", "-subj", "/CN=bench authority", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(work, &[&authority, &key[..]].concat())?;
    let request = ["req", "-subj", "/CN=bench", "-keyout", "server.key", "-out", "server.csr"];
    openssl(work, &[&request, &key[..]].concat())?;
    let sign = "x509 -req -days 30 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out server.pem";
    openssl(work, &sign.split(' ').collect::<Vec<_>>())?;
    // Include the system's authorities: every client in real life has the cost of reading them.
    let mut all = fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
    all.extend(fs::read(work.join("ca.pem"))?);
    let bundle = work.join("authorities.pem");
    fs::write(&bundle, all)?;
    Ok(bundle)
}

fn openssl(work: &Path, args: &[&str]) -> Result<()> {
    let output = Command::new("openssl").args(args).current_dir(work).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(anyhow!("openssl {}: {}", args[0], String::from_utf8_lossy(&output.stderr)))
}

/// Starts nginx in front of each of `registries`; `None` if it isn't installed.
pub fn start(work: &Path, ip: IpAddr, registries: &[SocketAddr]) -> Result<Option<(Child, Vec<SocketAddr>)>> {
    let mut endpoints = vec![];
    let mut servers = String::new();
    for (number, registry) in registries.iter().enumerate() {
        let endpoint = free_port(ip)?;
        servers.push_str(&server(number, endpoint, *registry));
        endpoints.push(endpoint);
    }
    fs::write(work.join("nginx.conf"), config(work, &servers))?;
    let Some(program) = ["nginx", "/usr/sbin/nginx"]
        .into_iter()
        .find(|program| Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok())
    else {
        return Ok(None);
    };
    let child = Command::new(program)
        .arg("-p")
        .arg(work)
        .arg("-c")
        .arg(work.join("nginx.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(work.join("nginx-errors.log"))?)
        .spawn()?;
    for endpoint in &endpoints {
        wait_for(*endpoint, "nginx")?;
    }
    Ok(Some((child, endpoints)))
}

/// A single process, so that killing it ends everything. Nothing is buffered completely, because that would add a round
/// trip to the disk.
fn config(work: &Path, servers: &str) -> String {
    let work = work.display();
    format!(
        "daemon off;
master_process off;
pid {work}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    log_format protocol '$server_protocol';
    access_log {work}/nginx-access.log protocol;
    client_body_temp_path {work}/nginx-body;
    proxy_temp_path {work}/nginx-proxy;
    fastcgi_temp_path {work}/nginx-fastcgi;
    uwsgi_temp_path {work}/nginx-uwsgi;
    scgi_temp_path {work}/nginx-scgi;
    ssl_certificate {work}/server.pem;
    ssl_certificate_key {work}/server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:1m;
    client_max_body_size 0;
    # The window of an HTTP/2 upload: nginx's default of 64 kB would limit it to about 1 MB/s by distance alone.
    client_body_buffer_size 4m;
    http2_max_concurrent_streams 128;
    keepalive_requests 100000;
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-Proto https;
    proxy_request_buffering off;
    proxy_buffering on;
    proxy_buffers 16 64k;
    proxy_buffer_size 64k;
    proxy_max_temp_file_size 0;
    proxy_read_timeout 900s;
{servers}}}
"
    )
}

fn server(number: usize, endpoint: SocketAddr, registry: SocketAddr) -> String {
    format!(
        "    upstream registry{number} {{ server {registry}; keepalive 64; }}
    server {{
        listen {endpoint} ssl http2;
        location / {{ proxy_pass http://registry{number}; }}
    }}
"
    )
}
