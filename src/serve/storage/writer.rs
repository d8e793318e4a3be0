//! Receives one blob: hashes what arrives and stores it, in memory or in a temporary file.
//!
//! Bytes are collected without copying until a batch is worth handing to another thread, which hashes it and writes it
//! to the file while the next batch arrives. An upload thus holds at most two batches in memory in addition to what it
//! stores.

use std::fs::File;
use std::io::{self, IoSlice, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use tempfile::NamedTempFile;
use tokio::task::JoinHandle;

use crate::atomic_file;
use crate::image::digest::{Algorithm, Digest, Hasher};

/// Batch size for another thread, in bytes.
const BATCH: usize = 1024 * 1024;
/// Up to this size, a remainder is hashed on the spot: handing it to another thread would cost more.
const AT_ONCE: usize = 64 * 1024;
/// Up to this size, an in-memory blob is copied into one buffer, since its chunks would keep whole network buffers
/// alive.
const SMALL: u64 = 64 * 1024;
/// Block size for reading a file back, in bytes.
const BLOCK: usize = 256 * 1024;

/// A blob being received.
pub(crate) struct BlobWriter {
    work: WriterTask,
    gathered: Vec<Bytes>,
    gathered_length: usize,
    length: u64,
    /// The bytes in memory; `None` if a file is written.
    chunks: Option<Vec<Bytes>>,
}

/// The hasher and the file, or the thread that has them now.
enum WriterTask {
    Idle(WriterSink),
    Busy(JoinHandle<(WriterSink, io::Result<()>)>),
    /// A thread failed, and they are lost.
    Lost,
}

struct WriterSink {
    hasher: Hasher,
    file: Option<TemporaryFile>,
}

/// A complete blob whose digest is the one its client announced.
pub(crate) struct Finished {
    /// The digest.
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
    /// The bytes.
    pub bytes: FinishedBytes,
}

/// Where a received blob is stored.
pub(crate) enum FinishedBytes {
    /// In memory.
    Chunks(Vec<Bytes>),
    /// In a temporary file.
    File(TemporaryFile),
}

/// Why a blob was not finished.
#[derive(Debug)]
pub(crate) enum FinishError {
    /// The bytes have this digest, not the announced one.
    Mismatch(Digest),
    /// The storage failed.
    Io(io::Error),
}

impl From<io::Error> for FinishError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A file that is deleted unless it is given its final name.
pub(crate) struct TemporaryFile {
    folder: PathBuf,
    /// Created by the first write.
    file: Option<NamedTempFile>,
}

impl TemporaryFile {
    /// A file in `folder` that is created on the first write.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, file: None }
    }

    fn open(&mut self) -> io::Result<&mut NamedTempFile> {
        let file = match self.file.take() {
            Some(file) => file,
            None => atomic_file::create_in(&self.folder, "upload-")?,
        };
        Ok(self.file.insert(file))
    }

    /// Gives the file its final name. Whoever opens that name finds the whole content or nothing.
    pub(crate) fn keep_as(mut self, path: &Path) -> io::Result<()> {
        self.open()?;
        self.file.map_or(Ok(()), |file| Ok(file.persist(path).map(drop)?))
    }
}

impl WriterSink {
    fn take_in(&mut self, batch: &[Bytes]) -> io::Result<()> {
        for bytes in batch {
            self.hasher.update(bytes);
        }
        if let Some(file) = &mut self.file {
            write_all(file.open()?.as_file_mut(), batch)?;
        }
        Ok(())
    }

    /// Hashes everything again with another algorithm.
    fn hash_again(&mut self, algorithm: Algorithm, chunks: Option<&[Bytes]>) -> io::Result<()> {
        self.hasher = Hasher::new(algorithm);
        for bytes in chunks.unwrap_or_default() {
            self.hasher.update(bytes);
        }
        if let Some(file) = &mut self.file {
            let file = file.open()?.as_file_mut();
            file.rewind()?;
            let mut block = vec![0; BLOCK];
            loop {
                let length = file.read(&mut block)?;
                if length == 0 {
                    break;
                }
                self.hasher.update(&block[..length]);
            }
        }
        Ok(())
    }
}

/// Writes many small pieces with few system calls.
fn write_all(file: &mut File, batch: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|bytes| IoSlice::new(bytes)).collect();
    let mut left = &mut slices[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn lost() -> io::Error {
    io::Error::other("an earlier write of this upload failed")
}

impl BlobWriter {
    /// A writer that has received nothing. With a temporary file, the bytes go there; without, they stay in memory.
    pub(crate) fn new(algorithm: Algorithm, file: Option<TemporaryFile>) -> Self {
        let chunks = file.is_none().then(Vec::new);
        let work = WriterTask::Idle(WriterSink { hasher: Hasher::new(algorithm), file });
        Self { work, gathered: Vec::new(), gathered_length: 0, length: 0, chunks }
    }

    /// The number of bytes received.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Hashes with this algorithm from the start, if nothing was received yet. Otherwise [`Self::finish`] hashes again
    /// if necessary.
    pub(crate) fn expect(&mut self, algorithm: Algorithm) {
        if self.length == 0
            && let WriterTask::Idle(hands) = &mut self.work
        {
            hands.hasher = Hasher::new(algorithm);
        }
    }

    /// Appends bytes. They are appended even if the future is dropped.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.length += bytes.len() as u64;
        self.gathered_length += bytes.len();
        if let Some(chunks) = &mut self.chunks {
            chunks.push(bytes.clone());
        }
        self.gathered.push(bytes);
        if self.gathered_length >= BATCH {
            self.settle().await?;
            self.hand_over();
        }
        Ok(())
    }

    /// Waits for the thread that works for this upload.
    async fn settle(&mut self) -> io::Result<()> {
        if let WriterTask::Busy(handle) = &mut self.work {
            // Borrowed, so that a request dropped here leaves the thread's result to the next one.
            let joined = handle.await;
            self.work = WriterTask::Lost;
            let (hands, result) = joined.map_err(io::Error::other)?;
            result?;
            self.work = WriterTask::Idle(hands);
        }
        if matches!(self.work, WriterTask::Lost) { Err(lost()) } else { Ok(()) }
    }

    fn hand_over(&mut self) {
        self.work = match std::mem::replace(&mut self.work, WriterTask::Lost) {
            WriterTask::Idle(mut hands) => {
                let batch = std::mem::take(&mut self.gathered);
                self.gathered_length = 0;
                WriterTask::Busy(tokio::task::spawn_blocking(move || {
                    let result = hands.take_in(&batch);
                    (hands, result)
                }))
            }
            other => other,
        };
    }

    /// Discards the blob. Its file is gone when this returns.
    pub(crate) async fn discard(mut self) {
        // Its errors no longer matter.
        let _ = self.settle().await;
    }

    /// Completes the blob and verifies its digest.
    ///
    /// # Errors
    /// [`FinishError::Mismatch`] where the bytes are others; they are gone then.
    pub(crate) async fn finish(mut self, digest: Digest) -> Result<Finished, FinishError> {
        self.settle().await?;
        if self.gathered_length > AT_ONCE {
            self.hand_over();
            self.settle().await?;
        }
        let WriterTask::Idle(mut hands) = self.work else {
            return Err(lost().into());
        };
        hands.take_in(&self.gathered)?;
        let mut chunks = self.chunks;
        if algorithm_of(&hands.hasher) != digest.algorithm() {
            let algorithm = digest.algorithm();
            (hands, chunks) = tokio::task::spawn_blocking(move || {
                hands.hash_again(algorithm, chunks.as_deref())?;
                Ok::<_, io::Error>((hands, chunks))
            })
            .await
            .map_err(io::Error::other)??;
        }
        let actual = hands.hasher.finish();
        if actual != digest {
            return Err(FinishError::Mismatch(actual));
        }
        let bytes = match hands.file {
            Some(file) => FinishedBytes::File(file),
            None => FinishedBytes::Chunks(together(chunks.unwrap_or_default(), self.length)),
        };
        Ok(Finished { digest, size: self.length, bytes })
    }
}

fn algorithm_of(hasher: &Hasher) -> Algorithm {
    match hasher {
        Hasher::Sha256(_) => Algorithm::Sha256,
        Hasher::Sha512(_) => Algorithm::Sha512,
    }
}

/// The chunks as they are, or one exact copy for a small blob.
fn together(chunks: Vec<Bytes>, length: u64) -> Vec<Bytes> {
    if length > SMALL {
        return chunks;
    }
    let mut all = BytesMut::with_capacity(usize::try_from(length).unwrap_or_default());
    for chunk in &chunks {
        all.extend_from_slice(chunk);
    }
    vec![all.freeze()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    async fn written(pieces: usize, piece: usize) -> (BlobWriter, Vec<u8>) {
        let mut writer = BlobWriter::new(Algorithm::Sha256, None);
        let mut all = Vec::new();
        for number in 0..pieces {
            let bytes = vec![u8::try_from(number % 251).unwrap(); piece];
            all.extend_from_slice(&bytes);
            writer.write(Bytes::from(bytes)).await.unwrap();
        }
        (writer, all)
    }

    fn bytes_of(finished: Finished) -> Vec<u8> {
        match finished.bytes {
            FinishedBytes::Chunks(chunks) => chunks.concat(),
            FinishedBytes::File(_) => Vec::new(),
        }
    }

    #[test]
    fn blobs_of_many_sizes_are_proved_by_both_algorithms() {
        run(async {
            for (pieces, piece) in [(0, 0), (1, 1), (3, 1000), (5, 300_000), (40, 100_000)] {
                for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                    let (writer, all) = written(pieces, piece).await;
                    let mut hasher = Hasher::new(algorithm);
                    hasher.update(&all);
                    let finished = writer.finish(hasher.finish()).await;
                    let finished = finished.ok().unwrap();
                    assert_eq!(finished.size, all.len() as u64);
                    assert_eq!(bytes_of(finished), all);
                }
            }
        });
    }

    #[test]
    fn other_bytes_are_refused() {
        run(async {
            let (writer, all) = written(2, 1_000_000).await;
            let result = writer.finish(Digest::of(b"something else")).await;
            assert!(matches!(result, Err(FinishError::Mismatch(actual)) if actual == Digest::of(&all)));
        });
    }
}
