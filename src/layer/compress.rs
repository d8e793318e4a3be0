//! Compresses on all cores, with output that doesn't depend on their number: blocks of a fixed size, each compressed
//! into its own gzip member or zstd frame. Both formats allow concatenation (RFC 1952, section 2.2; RFC 8878, section
//! 3).

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor};
use zstd_safe::{CCtx, CParameter};

use crate::error::{Error, Result};
use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::text::printable;

/// Block size for gzip, in bytes. Changing it changes digests. Larger blocks would save less than 1 %.
const GZIP_BLOCK: usize = 1024 * 1024;
/// Block size for zstd, in bytes: the window size at the levels in use.
const ZSTD_BLOCK: usize = 2 * 1024 * 1024;
/// Maximum number of threads. More would only use more memory: each holds a block and its output.
const THREADS_LIMIT: usize = 16;
/// The highest zstd level that stays within the memory budget of a layer. Higher levels need 8 to 40 MiB per thread,
/// and are for those who care about size above all.
const ZSTD_SPARING: i32 = 6;

/// How to compress a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// No compression.
    None,
    /// gzip, level 1 to 9.
    Gzip(i32),
    /// zstd, level 1 to 19.
    Zstd(i32),
}

/// Default gzip level; `bench/NOTES.md` has the curve of time against size.
const GZIP_LEVEL: i32 = 4;
/// Default zstd level, the one zstd itself uses.
const ZSTD_LEVEL: i32 = 3;

impl Default for Compression {
    fn default() -> Self {
        Self::Gzip(GZIP_LEVEL)
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (how, level) = text.split_once(':').map_or((text, None), |(how, level)| (how, Some(level)));
        let within = |limit: i32, default: i32| match level {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(level) if (1..=limit).contains(&level) && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Ok(level)
                }
                _ => Err(format!("`{}` is not a level of {how}: 1 to {limit}", printable(text, 40))),
            },
        };
        match how {
            "none" if level.is_none() => Ok(Self::None),
            "gzip" => within(9, GZIP_LEVEL).map(Self::Gzip),
            "zstd" => within(19, ZSTD_LEVEL).map(Self::Zstd),
            _ => Err(format!(
                "unknown compression `{}`: use gzip, zstd (optionally with a level, gzip:9) or none",
                printable(text, 40)
            )),
        }
    }
}

impl Compression {
    fn block(self) -> usize {
        if matches!(self, Self::Zstd(_)) { ZSTD_BLOCK } else { GZIP_BLOCK }
    }

    /// How many threads to use so that a step stays within 64 MB. Each takes about 3 MiB for gzip and 6 MiB for zstd;
    /// three zstd threads already outrun the hasher.
    pub(crate) fn threads(self) -> usize {
        let limit = match self {
            Self::None | Self::Gzip(_) => 8,
            Self::Zstd(level) if level <= ZSTD_SPARING => 3,
            Self::Zstd(_) => THREADS_LIMIT,
        };
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(limit)
    }
}

/// Runs `produce`, which writes an archive, and hands the compressed bytes to `sink` in order; the digest of the
/// archive itself, uncompressed (the layer's diff id). Memory: about three blocks for each thread.
///
/// # Errors
/// Whatever `produce` or `sink` returns; the first error stops the other.
pub(crate) fn compress(
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
        if compression != Compression::None {
            for _ in 0..threads {
                scope.spawn(move || work(waiting, compression));
            }
        }
        let producer = scope.spawn(move || {
            let mut blocks = Blocks::new(compression, jobs, order);
            produce(&mut blocks)?;
            blocks.finish()
        });
        let consumed = consume(ordered, &mut sink);
        // The producer's error is the cause, unless it only failed because the receiver was gone.
        let outcome = producer.join().map_err(|_| Error::bug("a thread that makes a layer panicked"))?;
        consumed?;
        outcome
    })
}

/// A block and the channel for its result.
struct Job {
    block: Vec<u8>,
    reply: SyncSender<Result<Vec<u8>>>,
}

/// Receives results in order.
fn consume(ordered: Receiver<Receiver<Result<Vec<u8>>>>, sink: &mut impl FnMut(Bytes) -> Result<()>) -> Result<()> {
    for reply in ordered {
        let bytes = reply.recv().map_err(|_| Error::bug("a thread that compresses panicked"))?;
        sink(bytes?.into())?;
    }
    Ok(())
}

fn work(waiting: &Mutex<Receiver<Job>>, compression: Compression) {
    let mut compressor = BlockCompressor::new(compression);
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, reply }) = job else { return };
        // If the receiver is gone, the result isn't needed.
        let _ = reply.send(compressor.compress(&block));
    }
}

/// Compresses blocks one after another, each independently of the ones before.
struct BlockCompressor {
    engine: Encoder,
    /// Output buffer, reused from block to block.
    room: Vec<u8>,
}

enum Encoder {
    Gzip(Compressor),
    Zstd(CCtx<'static>),
    /// The level couldn't be set; reported on first use.
    Unfit,
}

impl BlockCompressor {
    fn new(compression: Compression) -> Self {
        let engine = match compression {
            Compression::Gzip(level) => {
                CompressionLvl::new(level).map_or(Encoder::Unfit, |level| Encoder::Gzip(Compressor::new(level)))
            }
            Compression::Zstd(level) => CCtx::try_create()
                .and_then(|mut context| {
                    context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
                    Some(Encoder::Zstd(context))
                })
                .unwrap_or(Encoder::Unfit),
            Compression::None => Encoder::Unfit,
        };
        Self { engine, room: Vec::new() }
    }

    /// Compresses a block into a complete member or frame in one call, so that the output depends on the block alone.
    fn compress(&mut self, block: &[u8]) -> Result<Vec<u8>> {
        let length = match &mut self.engine {
            Encoder::Gzip(compressor) => {
                self.room.resize(compressor.gzip_compress_bound(block.len()), 0);
                compressor.gzip_compress(block, &mut self.room).ok()
            }
            Encoder::Zstd(context) => {
                self.room.resize(zstd_safe::compress_bound(block.len()), 0);
                context.compress2(self.room.as_mut_slice(), block).ok()
            }
            Encoder::Unfit => None,
        };
        let length = length.ok_or_else(|| Error::bug("a block of a layer could not be compressed"))?;
        // Queued output shouldn't hold unused capacity.
        Ok(self.room[..length].to_vec())
    }
}

/// Splits its input into blocks, hashes it, and queues each block for compression.
struct Blocks {
    block: Vec<u8>,
    size: usize,
    hasher: Hasher,
    compression: Compression,
    jobs: SyncSender<Job>,
    order: SyncSender<Receiver<Result<Vec<u8>>>>,
}

impl Blocks {
    fn new(compression: Compression, jobs: SyncSender<Job>, order: SyncSender<Receiver<Result<Vec<u8>>>>) -> Self {
        let size = compression.block();
        let hasher = Hasher::new(Algorithm::Sha256);
        Self { block: Vec::with_capacity(size), size, hasher, compression, jobs, order }
    }

    fn send(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(self.size));
        self.hasher.update(&block);
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let (reply, done) = sync_channel(1);
        if self.compression == Compression::None {
            reply.send(Ok(block)).map_err(|_| gone())?;
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
        let taken = bytes.len().min(self.size - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == self.size {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error of a producer whose receiver is gone. Never reported.
pub(crate) fn stopped() -> Error {
    Error::bug("the layer is not needed any more")
}

#[cfg(test)]
mod tests {
    use super::super::decompress::{Decompressor, packing};
    use super::*;

    const BLOCK: usize = GZIP_BLOCK;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from((at * at / 7 + at / 1000) % 251).unwrap()).collect()
    }

    /// Compresses input written in pieces of this size.
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

    fn unpacked(bytes: &[u8]) -> Vec<u8> {
        let mut back = Vec::new();
        let mut unpacker = Decompressor::new(packing(bytes), "it".to_owned()).unwrap();
        let mut out = |piece: &[u8]| {
            back.extend(piece);
            Ok(())
        };
        unpacker.push(bytes, &mut out).unwrap();
        unpacker.finish(&mut out).unwrap();
        back
    }

    #[test]
    fn the_bytes_do_not_depend_on_threads_or_on_how_they_are_fed() {
        let content = content(5 * BLOCK + 12345);
        for how in [Compression::default(), Compression::Zstd(3)] {
            let expected = run(how, 1, &content, BLOCK);
            assert_eq!(expected.1, Digest::of(&content));
            for (threads, piece) in [(2, 1000), (7, 3 * BLOCK), (16, 65536)] {
                assert!(run(how, threads, &content, piece) == expected, "{how:?} {threads} {piece}");
            }
            assert!(unpacked(&expected.0) == content);
        }
    }

    #[test]
    fn every_level_and_every_size_can_be_read_back() {
        for length in [1, BLOCK - 1, BLOCK, BLOCK + 1, ZSTD_BLOCK + 1] {
            let content = content(length);
            let gzip = [1, 4, 6, 9].map(Compression::Gzip);
            let zstd = [1, 3, 12].map(Compression::Zstd);
            for how in gzip.into_iter().chain(zstd).chain([Compression::None]) {
                let (bytes, _) = run(how, 2, &content, 4096);
                assert!(unpacked(&bytes) == content, "{length} by {how:?}");
            }
        }
    }

    #[test]
    fn noise_fits_too() {
        let mut noise = vec![0; 2 * BLOCK];
        fastrand::Rng::with_seed(1).fill(&mut noise);
        for how in [Compression::Gzip(1), Compression::Gzip(9), Compression::Zstd(3)] {
            let (bytes, _) = run(how, 2, &noise, BLOCK);
            assert!(bytes.len() < noise.len() + 2048);
        }
    }

    /// If this fails after a dependency update, every layer's digest changes: that is a breaking change.
    #[test]
    fn golden_bytes() {
        let content = content(3 * BLOCK + 1);
        let golden = [
            Compression::Gzip(1),
            Compression::Gzip(4),
            Compression::Gzip(6),
            Compression::Gzip(9),
            Compression::Zstd(1),
            Compression::Zstd(3),
            Compression::Zstd(19),
        ]
        .map(|how| Digest::of(&run(how, 2, &content, 8192).0).to_string());
        assert_eq!(
            golden,
            [
                "sha256:b79b4e4f5ca6bb0947588da4e3f28e626e2782fa47b9885b3c83c095ca398f10",
                "sha256:888d9cbdea6ce1408b576b24bf49afab3ba5552e7f3ac2a282820b9706b252bf",
                "sha256:c4c5c084ea28751d21f87653d8ee69c61a44664a4d71f439be89576f53e183af",
                "sha256:5a53daa07c892be551aa248311e2e7ea6b56aa316bf21413be30c030c62f3cc0",
                "sha256:dda2eb3c8f5eb411be9c515466469e45a93febad96145e54861498f3fe749b73",
                "sha256:d9856f31112388ced1b6603ea7764df54b4fcb034b9ed13a457cb5b0ae1f5ee9",
                "sha256:c6763be2ba92dd79825cb058ea7048f7634cde51845fb45c6940b79c8e5f4f92"
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
            if count > 3 { Err(Error::bug("full")) } else { Ok(()) }
        };
        assert_eq!(compress(Compression::default(), 2, endless, full).unwrap_err().to_string(), "full");
        let broken = |to: &mut dyn Write| {
            to.write_all(&vec![0; 2 * BLOCK]).map_err(|_| stopped())?;
            Err(Error::bug("unreadable"))
        };
        assert_eq!(compress(Compression::None, 2, broken, |_| Ok(())).unwrap_err().to_string(), "unreadable");
    }

    #[test]
    fn words() {
        assert_eq!("gzip:9".parse(), Ok(Compression::Gzip(9)));
        assert_eq!("zstd".parse(), Ok(Compression::Zstd(3)));
        assert_eq!("zstd:19".parse(), Ok(Compression::Zstd(19)));
        assert_eq!("none".parse(), Ok(Compression::None));
        for bad in ["", "gzip:0", "gzip:10", "gzip:+6", "gzip:", "zstd:20", "none:1", "xz"] {
            assert!(bad.parse::<Compression>().is_err(), "{bad}");
        }
    }
}
