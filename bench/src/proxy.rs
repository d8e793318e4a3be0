//! Distance on one machine: a TCP proxy that delays each way, charges connections their handshake, may hold each
//! connection to a bandwidth, and counts what passes.
//!
//! Threads that block, not an event loop: sleeping threads wake within some 60 µs, timers of event loops within a
//! millisecond, and a millisecond each way would show at a round trip of 10 ms.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Read at once, at most.
const PIECE: usize = 64 * 1024;
/// Pieces on their way in one direction of one connection: 64 MB, more than any window of TCP, so that the delay alone
/// takes no throughput.
const ON_THE_WAY: usize = 1024;
/// How much a limited connection may make up for, when its thread woke late.
const CREDIT: Duration = Duration::from_millis(5);

/// What all proxies do with the connections that are opened from now on.
#[derive(Debug, Default)]
pub struct Distance {
    one_way_micros: AtomicU64,
    bytes_per_second: AtomicU64,
}

impl Distance {
    /// `bytes_per_second` holds for each connection and direction; `None` is no limit.
    pub fn set(&self, round_trip: Duration, bytes_per_second: Option<u64>) {
        self.one_way_micros.store(round_trip.as_micros() as u64 / 2, Relaxed);
        self.bytes_per_second.store(bytes_per_second.unwrap_or(0), Relaxed);
    }
}

/// What passed a proxy since it started.
#[derive(Debug, Default)]
pub struct Counters {
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

/// A reading of [`Counters`]. Up is from the client to the server.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    pub connections: u64,
    pub up: u64,
    pub down: u64,
}

impl Counters {
    pub fn read(&self) -> Passed {
        Passed { connections: self.connections.load(Relaxed), up: self.up.load(Relaxed), down: self.down.load(Relaxed) }
    }
}

/// A proxy that runs until the program ends.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    pub counters: Arc<Counters>,
}

/// Listens on a free port of `ip` and passes each connection to `target`.
pub fn start(ip: IpAddr, target: SocketAddr, distance: Arc<Distance>) -> io::Result<Proxy> {
    let listener = TcpListener::bind((ip, 0))?;
    let address = listener.local_addr()?;
    let counters = Arc::new(Counters::default());
    let counted = Arc::clone(&counters);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            counted.connections.fetch_add(1, Relaxed);
            let (counted, distance) = (Arc::clone(&counted), Arc::clone(&distance));
            // A connection that can't be set up is closed, which its client will say.
            let _ = spawn(move || open(client, target, &distance, &counted).unwrap_or_default());
        }
    });
    Ok(Proxy { address, counters })
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(256 * 1024).spawn(work).map(drop)
}

fn open(client: TcpStream, target: SocketAddr, distance: &Distance, counters: &Arc<Counters>) -> io::Result<()> {
    let accepted = Instant::now();
    let delay = Duration::from_micros(distance.one_way_micros.load(Relaxed));
    let rate = Some(distance.bytes_per_second.load(Relaxed)).filter(|&rate| rate > 0);
    let server = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // On the loopback `connect` returns at once. Over a distance it would take a round trip, and only then could the
    // client send: so whatever it sends before counts as sent then.
    let up = Way { delay, rate, opened: accepted + 2 * delay };
    let down = Way { delay, rate, opened: accepted };
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let counted = Arc::clone(counters);
    spawn(move || up.carry(from_client, to_server, &counted.up))?;
    down.carry(server, client, &counters.down);
    Ok(())
}

/// One direction of one connection.
#[derive(Debug, Clone, Copy)]
struct Way {
    delay: Duration,
    rate: Option<u64>,
    opened: Instant,
}

/// Bytes, and when they arrive. None are the end.
struct Parcel {
    bytes: Vec<u8>,
    due: Instant,
}

impl Way {
    fn carry(self, from: TcpStream, to: TcpStream, count: &AtomicU64) {
        let ends = [from.try_clone(), to.try_clone()];
        let done = if self.delay.is_zero() { self.pass(from, to, count) } else { self.queue(from, to, count) };
        if done.is_err() {
            // Both directions of a broken connection end, so that no thread stays behind.
            for end in ends.iter().flatten() {
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    }

    /// Without a delay, from hand to hand.
    fn pass(self, mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) -> io::Result<()> {
        let mut buffer = vec![0; if self.rate.is_some() { PIECE } else { 4 * PIECE }];
        let mut free = self.opened;
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                return to.shutdown(Shutdown::Write);
            }
            count.fetch_add(read as u64, Relaxed);
            free = self.departure(free, read);
            sleep_until(free);
            to.write_all(&buffer[..read])?;
        }
    }

    fn queue(self, mut from: TcpStream, to: TcpStream, count: &AtomicU64) -> io::Result<()> {
        let (sender, receiver) = sync_channel(ON_THE_WAY);
        spawn(move || deliver(to, &receiver))?;
        self.collect(&mut from, &sender, count)
    }

    /// Takes what `from` sends, as fast as the connection may.
    fn collect(self, from: &mut TcpStream, queue: &SyncSender<Parcel>, count: &AtomicU64) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        let mut free = self.opened;
        loop {
            let read = from.read(&mut buffer)?;
            count.fetch_add(read as u64, Relaxed);
            free = self.departure(free, read);
            let parcel = Parcel { bytes: buffer[..read].to_vec(), due: free.max(Instant::now()) + self.delay };
            if queue.send(parcel).is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            if read == 0 {
                return Ok(());
            }
            if self.rate.is_some() {
                sleep_until(free);
            }
        }
    }

    /// When `bytes` that are there now have left, if the line was taken until `free`.
    fn departure(self, free: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.rate else { return self.opened };
        let now = Instant::now();
        let earliest = now.checked_sub(CREDIT).unwrap_or(now).max(self.opened);
        free.max(earliest) + Duration::from_secs_f64(bytes as f64 / rate as f64)
    }
}

fn deliver(mut to: TcpStream, queue: &Receiver<Parcel>) {
    for parcel in queue {
        sleep_until(parcel.due);
        let done = if parcel.bytes.is_empty() { to.shutdown(Shutdown::Write) } else { to.write_all(&parcel.bytes) };
        if done.is_err() {
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn sleep_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}
