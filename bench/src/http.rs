//! A minimal HTTP client that fills a registry and reads from it: no TLS, one request at a time.

use anyhow::{Result, anyhow};

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A response, read completely.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// This response, if it has the expected status.
    pub fn expect(self, status: u16, of: &str) -> Result<Self> {
        if self.status == status {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body);
        Err(anyhow!("{of}: {} instead of {status}: {text}", self.status))
    }

    fn length(&self) -> Result<u64> {
        if self.header("transfer-encoding").is_some() {
            return Err(anyhow!("a chunked response, which was not requested"));
        }
        Ok(self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0))
    }
}

/// A keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    host: SocketAddr,
    connection: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(host: SocketAddr) -> Result<Self> {
        let connection = TcpStream::connect(host)?;
        connection.set_nodelay(true)?;
        Ok(Self { host, connection: BufReader::with_capacity(256 * 1024, connection) })
    }

    /// Sends a request with these bytes as its body.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        self.stream(method, path, headers, body.len() as u64, |connection| Ok(connection.write_all(body)?))
    }

    /// Sends a request whose body of `length` bytes is written by `write`.
    pub fn stream(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: u64,
        write: impl FnOnce(&mut TcpStream) -> Result<()>,
    ) -> Result<Response> {
        self.send(method, path, headers, length)?;
        write(self.connection.get_mut())?;
        let mut response = self.head()?;
        if method != "HEAD" {
            let length = response.length()?;
            (&mut self.connection).take(length).read_to_end(&mut response.body)?;
        }
        Ok(response)
    }

    /// Reads a body and discards it; returns its size.
    pub fn drain(&mut self, path: &str) -> Result<u64> {
        self.send("GET", path, &[], 0)?;
        let length = self.head()?.expect(200, path)?.length()?;
        Ok(io::copy(&mut (&mut self.connection).take(length), &mut io::sink())?)
    }

    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], length: u64) -> Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        Ok(self.connection.get_mut().write_all(head.as_bytes())?)
    }

    fn head(&mut self) -> Result<Response> {
        let mut line = String::new();
        self.connection.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or_else(|| anyhow!("not an HTTP response: {line:?}"))?;
        let mut headers = vec![];
        loop {
            line.clear();
            self.connection.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                return Ok(Response { status, headers, body: vec![] });
            };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

/// Sends a request on its own connection.
pub fn request(host: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
    Connection::open(host)?.request(method, path, headers, body)
}
