//! The two directions of a connection through a proxy, in one thread: bytes are collected, delayed, and delivered.
//!
//! The thread waits with `ppoll`, which wakes within about 60 µs. The timers of event loops are up to a millisecond
//! late, and a millisecond in each direction would distort a round trip of 10 ms.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use crate::held::Held;

/// Maximum bytes read at once.
const PIECE: usize = 1 << 20;
/// The same for a connection with limited bandwidth: little, because all of it is delivered when its last byte would
/// have passed.
const LIMITED_PIECE: usize = 64 * 1024;
/// How much time a limited connection may catch up after its thread woke late.
const CREDIT: Duration = Duration::from_millis(5);

/// Forwards bytes in both directions until both have ended.
pub fn carry(ways: &mut [Way; 2]) -> io::Result<()> {
    while ways.iter().any(|way| !way.over) {
        let readable = wait(ways)?;
        for (way, readable) in ways.iter_mut().zip(readable) {
            if readable {
                way.collect()?;
            }
            way.deliver()?;
        }
    }
    Ok(())
}

/// Waits until there is something to do, and returns which directions have something to collect.
fn wait(ways: &[Way; 2]) -> io::Result<[bool; 2]> {
    let now = Instant::now();
    let collects = [0, 1].map(|at| ways[at].collects(now));
    let events = [0, 1].map(|at| {
        let mut events = PollFlags::empty();
        events.set(PollFlags::POLLIN, collects[at]);
        // The socket that one direction reads from is the one that the other writes to.
        events.set(PollFlags::POLLOUT, ways[1 - at].stuck);
        events
    });
    // A socket without requested events is left out, because poll would always report its hangup.
    let asked = [0, 1].into_iter().filter(|&at| !events[at].is_empty());
    let mut ends: Vec<PollFd> = asked.clone().map(|at| PollFd::new(ways[at].from.as_fd(), events[at])).collect();
    let until = ways.iter().filter_map(|way| way.next(now)).min();
    let left = until.map(|until| until.saturating_duration_since(now).into());
    match ppoll(&mut ends, left, None) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut readable = [false; 2];
    for (at, end) in asked.zip(&ends) {
        // Reading also detects an error or the end.
        let told = end.revents().unwrap_or(PollFlags::empty());
        readable[at] = collects[at] && told.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR);
    }
    Ok(readable)
}

/// One direction of one connection.
#[derive(Debug)]
pub struct Way<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    count: &'a AtomicU64,
    opened: Instant,
    delay: Duration,
    rate: Option<u64>,
    /// When the line is free again.
    free: Instant,
    /// Bytes in transit: their arrival times, and the bytes themselves.
    parcels: VecDeque<Parcel>,
    held: Held,
    /// The sender has closed.
    ended: bool,
    /// Bytes are due, but `to` doesn't accept them yet.
    stuck: bool,
    /// The end was forwarded.
    over: bool,
}

/// A number of bytes and their arrival time. Zero bytes are the end.
#[derive(Debug)]
struct Parcel {
    bytes: usize,
    due: Instant,
}

impl<'a> Way<'a> {
    pub fn new(
        from: &'a TcpStream,
        to: &'a TcpStream,
        count: &'a AtomicU64,
        opened: Instant,
        delay: Duration,
        rate: Option<u64>,
    ) -> Self {
        let (parcels, held) = (VecDeque::new(), Held::default());
        Self {
            from,
            to,
            count,
            opened,
            delay,
            rate,
            free: opened,
            parcels,
            held,
            ended: false,
            stuck: false,
            over: false,
        }
    }

    /// Whether it reads now: a limited connection only when the line is free.
    fn collects(&self, now: Instant) -> bool {
        !self.ended && self.held.has_room() && (self.rate.is_none() || self.free <= now)
    }

    /// When there is something to do regardless of the sockets.
    fn next(&self, now: Instant) -> Option<Instant> {
        let due = self.parcels.front().map(|parcel| parcel.due).filter(|_| !self.stuck);
        let free = Some(self.free).filter(|&free| self.rate.is_some() && !self.ended && free > now);
        due.into_iter().chain(free).min()
    }

    fn collect(&mut self) -> io::Result<()> {
        let most = if self.rate.is_some() { LIMITED_PIECE } else { PIECE };
        let Some(bytes) = self.held.take(self.from, most)? else { return Ok(()) };
        self.count.fetch_add(bytes as u64, Relaxed);
        self.ended = bytes == 0;
        let now = Instant::now();
        self.free = self.departure(now, bytes);
        self.parcels.push_back(Parcel { bytes, due: self.free.max(now) + self.delay });
        Ok(())
    }

    /// When `bytes` that are there now have left, if the line is busy until `free`.
    fn departure(&self, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.rate else { return self.opened };
        let earliest = now.checked_sub(CREDIT).unwrap_or(now).max(self.opened);
        self.free.max(earliest) + Duration::from_secs_f64(bytes as f64 / rate as f64)
    }

    /// Forwards what is due.
    fn deliver(&mut self) -> io::Result<()> {
        self.stuck = false;
        let now = Instant::now();
        while let Some(first) = self.parcels.front_mut().filter(|first| first.due <= now) {
            if first.bytes == 0 {
                self.over = true;
                self.parcels.pop_front();
                return self.to.shutdown(Shutdown::Write);
            }
            first.bytes -= self.held.give(self.to, first.bytes)?;
            if first.bytes > 0 {
                self.stuck = true;
                break;
            }
            self.parcels.pop_front();
        }
        Ok(())
    }
}
