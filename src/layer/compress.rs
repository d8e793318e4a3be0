//! Compression on all cores, to bytes that don't depend on their number: blocks of one size, each compressed by itself.

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flate2::{Compress, Crc, FlushCompress};

use crate::error::{Error, Result, printable};
use crate::image::digest::{Algorithm, Digest, Hasher};

/// What is compressed at once, in bytes. Another size would give other digests.
const BLOCK: usize = 1024 * 1024;
/// More threads would only take more memory: each holds a block and what becomes of it.
const THREADS_LIMIT: usize = 16;
/// RFC 1952: gzip, deflate, no flags, no time, no extra flags, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// RFC 1951: a last block that holds nothing.
const DEFLATE_END: [u8; 2] = [3, 0];

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip, at a level from 1 to 9.
    Gzip(u32),
}

impl Default for Compression {
    fn default() -> Self {
        Self::Gzip(6)
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "gzip" => Ok(Self::default()),
            Some(("gzip", level)) => match level.parse() {
                Ok(level @ 1..=9) if level.to_string() == text[5..] => Ok(Self::Gzip(level)),
                _ => Err(format!("`{}` is not a level of gzip: 1 to 9", printable(level, 40))),
            },
            _ if text == "zstd" || text.starts_with("zstd:") => {
                Err("zstd can't be written: write gzip, gzip:1 to gzip:9, or none".to_owned())
            }
            _ => Err(format!("`{}` is no compression: write gzip, gzip:1 to gzip:9, or none", printable(text, 40))),
        }
    }
}

/// The threads that are of use here.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS_LIMIT)
}

/// Runs `produce`, which writes an archive, and hands the compressed bytes to `sink` in order; the digest of the
/// archive itself, uncompressed (the layer's diff id). Memory: about three blocks for each thread.
///
/// # Errors
/// Those of `produce` and of `sink`; the first stops the other.
pub fn compress(
    compression: Compression,
    threads: usize,
    produce: impl FnOnce(&mut dyn Write) -> Result<()> + Send,
    mut sink: impl FnMut(Bytes) -> Result<()>,
) -> Result<Digest> {
    let threads = threads.clamp(1, THREADS_LIMIT);
    let (jobs, waiting) = sync_channel(threads);
    let waiting = Mutex::new(waiting);
    let (order, ordered) = sync_channel(threads);
    std::thread::scope(|scope| {
        let waiting = &waiting;
        if let Compression::Gzip(level) = compression {
            for _ in 0..threads {
                scope.spawn(move || work(waiting, level));
            }
        }
        let producer = scope.spawn(move || {
            let hasher = Hasher::new(Algorithm::Sha256);
            let mut blocks = Blocks { block: Vec::with_capacity(BLOCK), hasher, compression, jobs, order };
            produce(&mut blocks)?;
            blocks.finish()
        });
        if compression != Compression::None {
            sink(Bytes::from_static(&GZIP_HEADER))?;
        }
        let consumed = consume(ordered, &mut sink);
        // What stopped the producer is the reason, unless it was only that nobody listened any more.
        let outcome = producer.join().map_err(|_| Error::Other("a thread that makes a layer broke".to_owned()))?;
        let crc = consumed?;
        let digest = outcome?;
        if compression != Compression::None {
            let trailer = [&DEFLATE_END[..], &crc.sum().to_le_bytes(), &crc.amount().to_le_bytes()].concat();
            sink(trailer.into())?;
        }
        Ok(digest)
    })
}

/// A block and where its result is awaited.
struct Job {
    block: Vec<u8>,
    reply: SyncSender<Done>,
}

/// A compressed block, and the check sum of what it was.
struct Done {
    bytes: Result<Vec<u8>>,
    crc: Crc,
}

/// Takes results in their order.
fn consume(ordered: Receiver<Receiver<Done>>, sink: &mut impl FnMut(Bytes) -> Result<()>) -> Result<Crc> {
    let mut whole = Crc::new();
    for reply in ordered {
        let done = reply.recv().map_err(|_| Error::Other("a thread that compresses broke".to_owned()))?;
        whole.combine(&done.crc);
        sink(done.bytes?.into())?;
    }
    Ok(whole)
}

fn work(waiting: &Mutex<Receiver<Job>>, level: u32) {
    let mut compress = Compress::new(flate2::Compression::new(level), false);
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, reply }) = job else { return };
        let mut crc = Crc::new();
        crc.update(&block);
        // The reader may be gone: then nobody wants this.
        let _ = reply.send(Done { bytes: deflate(&mut compress, &block), crc });
    }
}

/// One block, whole in one call with room for all that may come of it: the bytes depend on how the input is fed.
fn deflate(compress: &mut Compress, block: &[u8]) -> Result<Vec<u8>> {
    compress.reset();
    let mut out = Vec::with_capacity(block.len() + block.len() / 8 + 1024);
    let result = compress.compress_vec(block, &mut out, FlushCompress::Sync);
    if result.is_err() || compress.total_in() != block.len() as u64 || out.len() == out.capacity() {
        return Err(Error::Other("a block of a layer could not be compressed".to_owned()));
    }
    Ok(out)
}

/// Cuts what is written into blocks, hashes it, and sends each block to be compressed.
struct Blocks {
    block: Vec<u8>,
    hasher: Hasher,
    compression: Compression,
    jobs: SyncSender<Job>,
    order: SyncSender<Receiver<Done>>,
}

impl Blocks {
    fn send(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        self.hasher.update(&block);
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let (reply, done) = sync_channel(1);
        if self.compression == Compression::None {
            reply.send(Done { bytes: Ok(block), crc: Crc::new() }).map_err(|_| gone())?;
        } else {
            self.jobs.send(Job { block, reply }).map_err(|_| gone())?;
        }
        self.order.send(done).map_err(|_| gone())
    }

    fn finish(mut self) -> Result<Digest> {
        if !self.block.is_empty() {
            self.send().map_err(|_| stopped())?;
        }
        Ok(self.hasher.finish())
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error of a producer that nobody listens to any more; never the one that is told.
pub fn stopped() -> Error {
    Error::Other("the layer is not wanted any more".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from((at * at / 7 + at / 1000) % 251).unwrap()).collect()
    }

    /// The bytes that come out, fed in pieces of this size.
    fn run(compression: Compression, threads: usize, content: &[u8], piece: usize) -> (Vec<u8>, Digest) {
        let mut out = Vec::new();
        let produce =
            |to: &mut dyn Write| content.chunks(piece).try_for_each(|piece| to.write_all(piece)).map_err(|_| stopped());
        let sink = |bytes: Bytes| {
            out.extend_from_slice(&bytes);
            Ok(())
        };
        let digest = compress(compression, threads, produce, sink).unwrap();
        (out, digest)
    }

    #[test]
    fn the_bytes_do_not_depend_on_threads_or_on_how_they_are_fed() {
        let content = content(5 * BLOCK + 12345);
        let expected = run(Compression::default(), 1, &content, BLOCK);
        assert_eq!(expected.1, Digest::of(&content));
        for (threads, piece) in [(2, 1000), (7, 3 * BLOCK), (16, 65536)] {
            assert!(run(Compression::default(), threads, &content, piece) == expected, "{threads} {piece}");
        }
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(expected.0.as_slice()).read_to_end(&mut back).unwrap();
        assert!(back == content);
    }

    #[test]
    fn every_level_and_every_size_can_be_read_back() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1] {
            let content = content(length);
            for level in [1, 6, 9] {
                let (bytes, _) = run(Compression::Gzip(level), 2, &content, 4096);
                let mut back = Vec::new();
                flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut back).unwrap();
                assert!(back == content, "{length} at {level}");
            }
            assert!(run(Compression::None, 2, &content, 4096).0 == content);
        }
    }

    #[test]
    fn noise_fits_too() {
        let mut noise = vec![0; 2 * BLOCK];
        fastrand::Rng::with_seed(1).fill(&mut noise);
        let (bytes, _) = run(Compression::Gzip(9), 2, &noise, BLOCK);
        assert!(bytes.len() < noise.len() + 2048);
    }

    /// If this fails after an update of a dependency, every layer gets another digest: that is a breaking change.
    #[test]
    fn golden_bytes() {
        let content = content(3 * BLOCK + 1);
        let golden = [1, 6, 9].map(|level| Digest::of(&run(Compression::Gzip(level), 2, &content, 8192).0).to_string());
        assert_eq!(
            golden,
            [
                "sha256:36a809de86378ffb44b8f071c1e08abb8b4d68cfb3e4ba28e0efd05885dfe0ce",
                "sha256:577e7069e5a9b80e6056b417b9548de445b4f893146d71bc37c487259b30c277",
                "sha256:c09552c15e9af3d379cf35a53847010047c5c0eb3076b37669c3082aacd49df6",
            ]
        );
    }

    #[test]
    fn an_error_at_either_end_stops_the_other() {
        let endless = |to: &mut dyn Write| loop {
            to.write_all(&[0; 4096]).map_err(|_| stopped())?;
        };
        let mut count = 0;
        let full = |_| {
            count += 1;
            if count > 3 { Err(Error::Other("full".to_owned())) } else { Ok(()) }
        };
        assert_eq!(compress(Compression::default(), 2, endless, full).unwrap_err().to_string(), "full");
        let broken = |to: &mut dyn Write| {
            to.write_all(&vec![0; 2 * BLOCK]).map_err(|_| stopped())?;
            Err(Error::Other("unreadable".to_owned()))
        };
        assert_eq!(compress(Compression::None, 2, broken, |_| Ok(())).unwrap_err().to_string(), "unreadable");
    }

    #[test]
    fn words() {
        assert_eq!("gzip:9".parse(), Ok(Compression::Gzip(9)));
        assert_eq!("none".parse(), Ok(Compression::None));
        for bad in ["", "gzip:0", "gzip:10", "gzip:+6", "zstd", "xz"] {
            assert!(bad.parse::<Compression>().is_err(), "{bad}");
        }
    }
}
