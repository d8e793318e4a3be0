//! Bytes in transit, kept in the kernel: spliced from a socket into pipes and from there into another socket, without a
//! copy.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter};
use std::net::TcpStream;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};

/// Requested size of each pipe: 64 slots, each for one packet segment, which is one page or often eight.
const PIPE: i32 = 256 * 1024;
/// All pipes together hold 64 MB in full pages: more than any TCP window.
const PIPES: usize = 256;

/// A queue of bytes, first in, first out.
#[derive(Debug, Default)]
pub struct KernelBuffer {
    /// As many pipes as needed: written at the back, read at the front.
    pipes: VecDeque<Pipe>,
}

#[derive(Debug)]
struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    bytes: usize,
}

impl KernelBuffer {
    pub fn has_room(&self) -> bool {
        self.pipes.len() < PIPES
    }

    /// Reads up to `most` bytes from a readable socket: 0 at its end, `None` if there was nothing to read.
    pub fn read_from(&mut self, from: &TcpStream, most: usize) -> io::Result<Option<usize>> {
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
                // EAGAIN may come from either side. The socket has data, so the pipe's slots are full, however few
                // bytes they hold.
                Err(Errno::EAGAIN) if pipe.bytes > 0 => self.pipes.push_back(Pipe::open()?),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes the first `bytes` to a socket, or as many as it accepts now.
    pub fn write_to(&mut self, to: &TcpStream, bytes: usize) -> io::Result<usize> {
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
        // If it can't be enlarged, it holds less, and there are more pipes.
        let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE));
        Ok(Self { reader, writer, bytes: 0 })
    }
}
