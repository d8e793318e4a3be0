//! Forwards bytes between a client and a registry, whatever they contain. It counts TLS connections, and can cut one
//! off.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::registry::Registry;

/// The first byte of TLS: a handshake record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// A relay in front of a registry. To clients, its address is a registry's host.
pub struct Relay {
    pub host: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    connections: AtomicUsize,
    /// Bytes from the registry after which the first TLS connection is cut off.
    limit: usize,
    broken: AtomicUsize,
}

impl Relay {
    /// Forwards everything.
    pub fn before(registry: &Registry) -> Self {
        Self::breaking(registry, usize::MAX)
    }

    /// Cuts off the first TLS connection after `limit` bytes from the registry.
    pub fn breaking(registry: &Registry, limit: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let upstream = registry.host.clone();
        let shared = Arc::new(Shared { upstream, connections: 0.into(), limit, broken: 0.into() });
        let relay = Self { host, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.pass(client));
            }
        });
        relay
    }

    pub fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }

    /// The number of TLS connections.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Whether a connection was cut off.
    pub fn broke(&self) -> bool {
        self.shared.broken.load(Ordering::SeqCst) > 0
    }
}

impl Shared {
    fn pass(&self, mut client: TcpStream) {
        let mut first = [0; 1];
        if client.read(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let number = if first[0] == HANDSHAKE { self.connections.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        let Ok(mut server) = TcpStream::connect(&self.upstream) else { return };
        let _ = server.write_all(&first);
        let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || carry(from_client, to_server, usize::MAX));
        let limit = if number == 1 { self.limit } else { usize::MAX };
        if carry(server, client, limit) {
            self.broken.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Forwards until one side ends or `limit` bytes have passed; returns whether it was the limit.
fn carry(mut from: TcpStream, mut to: TcpStream, limit: usize) -> bool {
    let mut left = limit;
    let mut piece = vec![0; 16 * 1024];
    while left > 0 {
        let most = piece.len().min(left);
        let read = from.read(&mut piece[..most]).unwrap_or(0);
        if read == 0 || to.write_all(&piece[..read]).is_err() {
            let _ = to.shutdown(Shutdown::Write);
            return false;
        }
        left -= read;
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    true
}
