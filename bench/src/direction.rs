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

use crate::kernel_buffer::KernelBuffer;

/// Maximum bytes read at once.
const PIECE: usize = 1 << 20;
/// The same for a connection with limited bandwidth: little, because all of it is delivered when its last byte would
/// have passed.
const LIMITED_PIECE: usize = 64 * 1024;
/// How much time a limited connection may catch up after its thread woke late.
const CREDIT: Duration = Duration::from_millis(5);

/// Forwards bytes in both directions until both have ended.
pub fn forward(directions: &mut [Direction; 2]) -> io::Result<()> {
    while directions.iter().any(|direction| !direction.closed) {
        let readable = wait(directions)?;
        for (direction, readable) in directions.iter_mut().zip(readable) {
            if readable {
                direction.collect()?;
            }
            direction.deliver()?;
        }
    }
    Ok(())
}

/// Waits until there is something to do, and returns which directions have something to collect.
fn wait(directions: &[Direction; 2]) -> io::Result<[bool; 2]> {
    let now = Instant::now();
    let collects = [0, 1].map(|at| directions[at].collects(now));
    let requested = [0, 1].map(|at| {
        let mut events = PollFlags::empty();
        events.set(PollFlags::POLLIN, collects[at]);
        // The socket that one direction reads from is the one that the other writes to.
        events.set(PollFlags::POLLOUT, directions[1 - at].blocked);
        events
    });
    // A socket without requested events is left out, because poll would always report its hangup.
    let asked = [0, 1].into_iter().filter(|&at| !requested[at].is_empty());
    let mut ends: Vec<PollFd> =
        asked.clone().map(|at| PollFd::new(directions[at].from.as_fd(), requested[at])).collect();
    let until = directions.iter().filter_map(|direction| direction.next(now)).min();
    let left = until.map(|until| until.saturating_duration_since(now).into());
    match ppoll(&mut ends, left, None) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut readable = [false; 2];
    for (at, end) in asked.zip(&ends) {
        // Reading also detects an error or the end.
        let events = end.revents().unwrap_or(PollFlags::empty());
        readable[at] = collects[at] && events.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR);
    }
    Ok(readable)
}

/// One direction of one connection.
#[derive(Debug)]
pub struct Direction<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    count: &'a AtomicU64,
    opened: Instant,
    delay: Duration,
    rate: Option<u64>,
    /// When the line is free again.
    free: Instant,
    /// Bytes in transit: their arrival times, and the bytes themselves.
    chunks: VecDeque<Chunk>,
    buffer: KernelBuffer,
    /// The sender has closed.
    ended: bool,
    /// Bytes are due, but `to` doesn't accept them yet.
    blocked: bool,
    /// The end was forwarded.
    closed: bool,
}

/// A number of bytes and their arrival time. Zero bytes are the end.
#[derive(Debug)]
struct Chunk {
    bytes: usize,
    due: Instant,
}

impl<'a> Direction<'a> {
    pub fn new(
        from: &'a TcpStream,
        to: &'a TcpStream,
        count: &'a AtomicU64,
        opened: Instant,
        delay: Duration,
        rate: Option<u64>,
    ) -> Self {
        let (chunks, buffer) = (VecDeque::new(), KernelBuffer::default());
        Self {
            from,
            to,
            count,
            opened,
            delay,
            rate,
            free: opened,
            chunks,
            buffer,
            ended: false,
            blocked: false,
            closed: false,
        }
    }

    /// Whether it reads now: a limited connection only when the line is free.
    fn collects(&self, now: Instant) -> bool {
        !self.ended && self.buffer.has_room() && (self.rate.is_none() || self.free <= now)
    }

    /// When there is something to do regardless of the sockets.
    fn next(&self, now: Instant) -> Option<Instant> {
        let due = self.chunks.front().map(|chunk| chunk.due).filter(|_| !self.blocked);
        let free = Some(self.free).filter(|&free| self.rate.is_some() && !self.ended && free > now);
        due.into_iter().chain(free).min()
    }

    fn collect(&mut self) -> io::Result<()> {
        let most = if self.rate.is_some() { LIMITED_PIECE } else { PIECE };
        let Some(bytes) = self.buffer.read_from(self.from, most)? else { return Ok(()) };
        self.count.fetch_add(bytes as u64, Relaxed);
        self.ended = bytes == 0;
        let now = Instant::now();
        self.free = self.departure(now, bytes);
        self.chunks.push_back(Chunk { bytes, due: self.free.max(now) + self.delay });
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
        self.blocked = false;
        let now = Instant::now();
        while let Some(first) = self.chunks.front_mut().filter(|first| first.due <= now) {
            if first.bytes == 0 {
                self.closed = true;
                self.chunks.pop_front();
                return self.to.shutdown(Shutdown::Write);
            }
            first.bytes -= self.buffer.write_to(self.to, first.bytes)?;
            if first.bytes > 0 {
                self.blocked = true;
                break;
            }
            self.chunks.pop_front();
        }
        Ok(())
    }
}
