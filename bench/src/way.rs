//! The two ways of a connection through a proxy, in one thread: bytes are collected, wait for their time, and are
//! delivered.
//!
//! The thread waits by `ppoll`, which wakes within some 60 µs, where timers of event loops are a millisecond late, and a
//! millisecond each way would show at a round trip of 10 ms.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use crate::held::Held;

/// Taken at once, at most.
const PIECE: usize = 1 << 20;
/// The same of a connection that is held to a bandwidth: little, as all of it leaves when the last of it has passed.
const LIMITED_PIECE: usize = 64 * 1024;
/// How much a limited connection may make up for, when its thread woke late.
const CREDIT: Duration = Duration::from_millis(5);

/// Passes what comes either way, until both have ended.
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

/// Waits until there is something to do, and says which ways have something to collect.
fn wait(ways: &[Way; 2]) -> io::Result<[bool; 2]> {
    let now = Instant::now();
    let collects = [0, 1].map(|at| ways[at].collects(now));
    let events = [0, 1].map(|at| {
        let mut events = PollFlags::empty();
        events.set(PollFlags::POLLIN, collects[at]);
        // What one way reads from the other writes to.
        events.set(PollFlags::POLLOUT, ways[1 - at].stuck);
        events
    });
    // One that nothing is asked of is left out, as its end would be told all the time.
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
        // An error or an end too is found by reading.
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
    /// Until when the line is taken.
    free: Instant,
    /// What is on its way, and its bytes.
    parcels: VecDeque<Parcel>,
    held: Held,
    /// Nothing more comes.
    ended: bool,
    /// Something is due that `to` doesn't take yet.
    stuck: bool,
    /// The end was passed on.
    over: bool,
}

/// How many bytes, and when they arrive. None are the end.
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

    /// Whether it takes what comes: a limited connection only when the line is free.
    fn collects(&self, now: Instant) -> bool {
        !self.ended && self.held.has_room() && (self.rate.is_none() || self.free <= now)
    }

    /// When there is something to do, whatever the sockets say.
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

    /// When `bytes` that are there now have left, if the line was taken until `free`.
    fn departure(&self, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.rate else { return self.opened };
        let earliest = now.checked_sub(CREDIT).unwrap_or(now).max(self.opened);
        self.free.max(earliest) + Duration::from_secs_f64(bytes as f64 / rate as f64)
    }

    /// Passes on what is due.
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
