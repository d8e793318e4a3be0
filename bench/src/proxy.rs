//! Simulates distance on one machine: a TCP proxy that delays each direction, adds the round trip of the handshake, may
//! limit the bandwidth of each connection, and counts the traffic.
//!
//! It shares the CPU with registries and clients, so it has to be cheap: bytes stay in the kernel, and each connection
//! has one thread.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crate::direction::{Direction, forward};

/// Settings for connections opened from now on.
#[derive(Debug, Default)]
pub struct Distance {
    one_way_micros: AtomicU64,
    bytes_per_second: AtomicU64,
}

impl Distance {
    /// `bytes_per_second` applies to each connection and direction; `None` means no limit.
    pub fn set(&self, round_trip: Duration, bytes_per_second: Option<u64>) {
        self.one_way_micros.store(round_trip.as_micros() as u64 / 2, Relaxed);
        self.bytes_per_second.store(bytes_per_second.unwrap_or(0), Relaxed);
    }
}

/// Traffic through a proxy since its start.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

/// A snapshot of [`Counters`]. Up is from the client to the server.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub connections: u64,
    pub up: u64,
    pub down: u64,
}

impl Counters {
    pub fn read(&self) -> Traffic {
        Traffic {
            connections: self.connections.load(Relaxed),
            up: self.up.load(Relaxed),
            down: self.down.load(Relaxed),
        }
    }
}

/// A proxy that runs until the program ends.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    pub counters: Arc<Counters>,
}

/// Listens on a free port of `ip` and forwards each connection to `target`.
pub fn start(ip: IpAddr, target: SocketAddr, distance: Arc<Distance>) -> io::Result<Proxy> {
    let listener = TcpListener::bind((ip, 0))?;
    let address = listener.local_addr()?;
    let counters = Arc::new(Counters::default());
    let counted = Arc::clone(&counters);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            counted.connections.fetch_add(1, Relaxed);
            let (counted, distance) = (Arc::clone(&counted), Arc::clone(&distance));
            // A connection that can't be set up is closed, and the client reports it.
            let _ = spawn(move || open(&client, target, &distance, &counted).unwrap_or_default());
        }
    });
    Ok(Proxy { address, counters })
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(256 * 1024).spawn(work).map(drop)
}

fn open(client: &TcpStream, target: SocketAddr, distance: &Distance, counters: &Counters) -> io::Result<()> {
    let accepted = Instant::now();
    let delay = Duration::from_micros(distance.one_way_micros.load(Relaxed));
    let rate = Some(distance.bytes_per_second.load(Relaxed)).filter(|&rate| rate > 0);
    let server = &TcpStream::connect(target)?;
    for end in [client, server] {
        end.set_nodelay(true)?;
        end.set_nonblocking(true)?;
    }
    // On loopback `connect` returns at once. Over a distance it would take a round trip, and the client could only send
    // after it: whatever it sends earlier counts as sent then.
    let up = Direction::new(client, server, &counters.up, accepted + 2 * delay, delay, rate);
    let down = Direction::new(server, client, &counters.down, accepted, delay, rate);
    let done = forward(&mut [up, down]);
    if done.is_err() {
        // An error on one side closes the other side, too.
        for end in [client, server] {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::Ipv4Addr;

    /// A connection through a proxy: the client's end and the server's.
    fn connection(distance: Distance) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = start(Ipv4Addr::LOCALHOST.into(), listener.local_addr().unwrap(), Arc::new(distance)).unwrap();
        (TcpStream::connect(proxy.address).unwrap(), listener.accept().unwrap().0)
    }

    fn distance(round_trip: u64, bytes_per_second: Option<u64>) -> Distance {
        let distance = Distance::default();
        distance.set(Duration::from_millis(round_trip), bytes_per_second);
        distance
    }

    #[test]
    fn many_small_segments_arrive_whole_however_few_bytes_fill_a_pipe() {
        let (mut client, mut server) = connection(distance(200, None));
        client.set_nodelay(true).unwrap();
        let sent: Vec<u8> = (0..5000_u32).map(|number| number as u8).collect();
        let begun = Instant::now();
        for byte in sent.chunks(1) {
            client.write_all(byte).unwrap();
        }
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = vec![];
        server.read_to_end(&mut received).unwrap();
        assert!(received == sent);
        // The handshake's round trip, and one direction.
        assert!(begun.elapsed() >= Duration::from_millis(300));
    }

    #[test]
    fn a_response_arrives_after_the_whole_request() {
        let (mut client, mut server) = connection(distance(20, None));
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).unwrap();
        server.write_all(b"answer").unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!((question.as_str(), answer.as_str()), ("question", "answer"));
    }

    #[test]
    fn a_large_body_arrives_complete_at_a_late_reader() {
        for round_trip in [0, 50] {
            let (mut client, mut server) = connection(distance(round_trip, None));
            let sent: Vec<u8> = (0..100_000_000_u32).map(|number| (number % 251) as u8).collect();
            thread::scope(|scope| {
                scope.spawn(|| {
                    client.write_all(&sent).unwrap();
                    client.shutdown(Shutdown::Write).unwrap();
                });
                thread::sleep(Duration::from_millis(300));
                let mut received = vec![];
                server.read_to_end(&mut received).unwrap();
                assert!(received == sent);
            });
        }
    }

    #[test]
    fn a_limited_connection_keeps_its_rate() {
        let (mut client, mut server) = connection(distance(0, Some(20_000_000)));
        let begun = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                client.write_all(&vec![0; 10_000_000]).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            });
            assert_eq!(server.read_to_end(&mut vec![]).unwrap(), 10_000_000);
        });
        let took = begun.elapsed().as_secs_f64();
        assert!((0.49..0.8).contains(&took), "{took}");
    }

    #[test]
    fn a_connection_that_breaks_on_one_side_ends_on_the_other() {
        let (client, mut server) = connection(distance(20, None));
        server.write_all(b"never read").unwrap();
        thread::sleep(Duration::from_millis(50));
        // Closing with unread bytes sends a reset.
        drop(client);
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(server.read(&mut [0; 8]).unwrap_or(0), 0);
    }
}
