//! HTTP/1.1 on a socket: only what a proxy and a token service for tests need.

use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

/// The head of a request or response.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The first line: `GET /v2/ HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub first: String,
    /// The header fields in order of arrival.
    pub headers: Vec<(String, String)>,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Head {
    /// Reads the next head on a connection; `None` if the other side closed it between messages.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut head = Self { first: first.trim_end().to_owned(), headers: Vec::new() };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(Some(head));
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            head.headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    pub fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        let mut text = format!("{}\r\n", self.first);
        for (name, value) in &self.headers {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        writer.write_all(text.as_bytes())
    }

    /// The word at `position` of the first line: method and target of a request, status of a response.
    pub fn word(&self, position: usize) -> &str {
        self.first.split(' ').nth(position).unwrap_or_default()
    }

    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.into()));
    }

    /// The body that follows a request.
    pub fn request_body(&self) -> Body {
        if self.is_chunked() { Body::Chunked } else { self.length().map_or(Body::None, Body::Length) }
    }

    /// The body that follows the response to a request with this method.
    pub fn answer_body(&self, method: &str) -> Body {
        if method == "HEAD" || matches!(self.status(), 100..=199 | 204 | 304) {
            Body::None
        } else if self.is_chunked() {
            Body::Chunked
        } else {
            self.length().map_or(Body::UntilClose, Body::Length)
        }
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    fn length(&self) -> Option<u64> {
        self.header("content-length").and_then(|value| value.parse().ok())
    }
}

/// The value of the first field with this name.
pub fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// What happens to a body in transit.
#[derive(Debug, Clone, Default)]
pub struct Tap {
    /// The connection breaks after this many bytes.
    pub cut_after: Option<u64>,
    /// The byte at this offset is changed.
    pub corrupt_at: Option<u64>,
    /// Waits this long before the byte at this offset.
    pub stall_at: Option<(u64, Duration)>,
    /// At most this many bytes per second.
    pub rate: Option<u64>,
    /// Bytes pass one at a time, each after this delay.
    pub trickle: Option<Duration>,
    /// Bytes seen so far.
    pub seen: u64,
}

impl Tap {
    /// Handles the next piece of the body; returns the number of bytes to forward, fewer than its length if the
    /// connection is cut.
    fn pass(&mut self, piece: &mut [u8]) -> usize {
        let start = self.seen;
        let end = start + piece.len() as u64;
        self.seen = end;
        let within = |offset: u64| (start..end).contains(&offset).then(|| usize_of(offset - start));
        if let Some(position) = self.corrupt_at.and_then(within) {
            piece[position] ^= 1;
        }
        if let Some((offset, time)) = self.stall_at
            && within(offset).is_some()
        {
            std::thread::sleep(time);
        }
        if let Some(time) = self.trickle {
            std::thread::sleep(time);
        }
        if let Some(rate) = self.rate {
            std::thread::sleep(Duration::from_secs(piece.len() as u64) / u32::try_from(rate).unwrap());
        }
        match self.cut_after {
            Some(limit) if limit < end => usize_of(limit.saturating_sub(start)),
            _ => piece.len(),
        }
    }
}

/// Forwards a body, keeping its framing. The error is `ConnectionAborted` if the tap cut the connection.
pub fn copy_body(body: Body, from: &mut impl BufRead, to: &mut impl Write, tap: &mut Tap) -> io::Result<()> {
    match body {
        Body::None => {}
        Body::Length(length) => copy_exactly(length, from, to, tap, false)?,
        Body::UntilClose => copy_pieces(&mut from.take(u64::MAX), to, tap, false)?,
        Body::Chunked => loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let size = line.trim_end().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if size > 0 {
                copy_exactly(size, from, to, tap, true)?;
            }
            let mut end = String::new();
            from.read_line(&mut end)?;
            if size == 0 {
                to.write_all(b"0\r\n\r\n")?;
                break;
            }
        },
    }
    to.flush()
}

fn copy_exactly(
    length: u64,
    from: &mut impl BufRead,
    to: &mut impl Write,
    tap: &mut Tap,
    chunked: bool,
) -> io::Result<()> {
    let before = tap.seen;
    copy_pieces(&mut from.take(length), to, tap, chunked)?;
    if tap.seen - before < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn copy_pieces(from: &mut impl Read, to: &mut impl Write, tap: &mut Tap, chunked: bool) -> io::Result<()> {
    let mut buffer = vec![0; if tap.trickle.is_some() { 1 } else { 64 * 1024 }];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let kept = tap.pass(&mut buffer[..count]);
        if chunked && kept > 0 {
            write!(to, "{kept:x}\r\n")?;
        }
        to.write_all(&buffer[..kept])?;
        if chunked && kept > 0 {
            to.write_all(b"\r\n")?;
        }
        to.flush()?;
        if kept < count {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

/// Reads the rest of a body and discards it.
pub fn drain_body(body: Body, from: &mut impl BufRead, tap: &mut Tap) -> io::Result<()> {
    copy_body(body, from, &mut io::sink(), tap)
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A complete response with its own body.
pub fn answer_head(status: u16, headers: &[(String, String)], length: usize) -> Head {
    let mut head = Head { first: format!("HTTP/1.1 {status} Answer"), headers: headers.to_vec() };
    head.set("Content-Length", length.to_string());
    head
}
