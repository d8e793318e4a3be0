//! The download server for releases in these tests, on loopback; it can fail for a while.

use std::collections::VecDeque;
use std::io::{BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::wire::Head;

/// A server with one file.
pub struct Downloads {
    /// `http://127.0.0.1:PORT`
    pub base: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Downloads {
    /// Serves `content` for paths that end with `name`, after responses with these statuses.
    pub fn of(name: &str, content: Vec<u8>, first: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, name, mut first) = (Arc::clone(&asked), name.to_owned(), VecDeque::from(first.to_vec()));
        // It lives as long as the process and isn't joined.
        thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(connection) = connection else { return };
                let Ok(Some(head)) = Head::read(&mut BufReader::new(&connection)) else { continue };
                log.lock().unwrap().push(head.word(1).to_owned());
                let found = if head.word(1).ends_with(&name) { 200 } else { 404 };
                let status = first.pop_front().unwrap_or(found);
                let body = if status == 200 { content.as_slice() } else { b"::error::from the server" };
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status} ::error::x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                let _ = (&connection).write_all(&[head.as_bytes(), body].concat());
            }
        });
        Self { base, asked }
    }

    /// The requested targets.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}
