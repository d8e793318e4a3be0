//! Bytes on their way, held by the kernel: moved from a socket into pipes and from there into another socket, and never
//! copied.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter};
use std::net::TcpStream;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};

/// Asked of each pipe: 64 places, each for a segment of a packet, which is a page and often eight of them.
const PIPE: i32 = 256 * 1024;
/// All pipes together hold 64 MB of whole pages: more than any window of TCP.
const PIPES: usize = 256;

/// First in, first out.
#[derive(Debug, Default)]
pub struct Held {
    /// As many as are needed: written at the back, read at the front.
    pipes: VecDeque<Pipe>,
}

#[derive(Debug)]
struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    bytes: usize,
}

impl Held {
    pub fn has_room(&self) -> bool {
        self.pipes.len() < PIPES
    }

    /// Takes up to `most` bytes from a socket that was found readable: none are its end, `None` that it had nothing.
    pub fn take(&mut self, from: &TcpStream, most: usize) -> io::Result<Option<usize>> {
        loop {
            let Some(pipe) = self.pipes.back_mut() else {
                self.pipes.push_back(Pipe::open()?);
                continue;
            };
            match splice(from, None, &pipe.writer, None, most, SpliceFFlags::SPLICE_F_NONBLOCK) {
                Ok(bytes) => {
                    pipe.bytes += bytes;
                    return Ok(Some(bytes));
                }
                // Either side may be the one that would wait; the socket has something, so the pipe's places are taken,
                // however few bytes are in them.
                Err(Errno::EAGAIN) if pipe.bytes > 0 => self.pipes.push_back(Pipe::open()?),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives the first `bytes` to a socket, or as many of them as it takes now.
    pub fn give(&mut self, to: &TcpStream, bytes: usize) -> io::Result<usize> {
        let mut given = 0;
        while given < bytes {
            let Some(pipe) = self.pipes.front_mut() else { break };
            let most = pipe.bytes.min(bytes - given);
            match splice(&pipe.reader, None, to, None, most, SpliceFFlags::SPLICE_F_NONBLOCK) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(moved) => {
                    pipe.bytes -= moved;
                    given += moved;
                }
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error.into()),
            }
            if pipe.bytes == 0 && self.pipes.len() > 1 {
                self.pipes.pop_front();
            }
        }
        Ok(given)
    }
}

impl Pipe {
    fn open() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        // One that stays small holds less, and there are more of them.
        let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE));
        Ok(Self { reader, writer, bytes: 0 })
    }
}
