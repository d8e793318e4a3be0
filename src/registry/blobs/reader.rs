//! A blob being read: by one connection, or by several if the first turns out to be throttled.

use std::cmp::Ordering;

use bytes::Bytes;

use super::connection::RangeReader;
use super::parallel::ParallelFetch;
use crate::error::Error;

/// A blob being read. It is resumed when its connection breaks; its bytes are not verified here.
pub struct BlobReader {
    reader: RangeReader,
    mode: ReadMode,
}

enum ReadMode {
    /// By one connection, to the end.
    Single,
    /// By one connection, whose throughput is watched.
    Watched,
    /// By one connection up to the first part, if the registry turns out to support ranges.
    Switching(ParallelFetch),
    /// By several connections.
    Parallel(ParallelFetch),
}

impl BlobReader {
    pub(super) fn new(reader: RangeReader) -> Self {
        let mode = if reader.may_be_parallel() { ReadMode::Watched } else { ReadMode::Single };
        Self { reader, mode }
    }

    /// The next piece; `None` at the end of what the server sends.
    ///
    /// # Errors
    /// The connection broke too often.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match &mut self.mode {
                ReadMode::Single => return self.reader.next().await,
                ReadMode::Watched => {
                    if let Some(fetch) = ParallelFetch::start(&mut self.reader) {
                        self.mode = ReadMode::Switching(fetch);
                    }
                    return self.reader.next().await;
                }
                ReadMode::Switching(fetch) => {
                    if fetch.supports_ranges() == Some(false) || self.reader.offset() >= fetch.first_byte() {
                        // Either there are no ranges, or the connection was faster than the answer.
                        self.mode = ReadMode::Single;
                        continue;
                    }
                    return self.next_before_parts().await;
                }
                ReadMode::Parallel(fetch) => {
                    let Some(piece) = fetch.next().await else {
                        self.mode = ReadMode::Single;
                        continue;
                    };
                    self.reader.advance(piece.len());
                    return Ok(Some(piece));
                }
            }
        }
    }

    /// The next piece from the first connection, which ends where the first part begins.
    async fn next_before_parts(&mut self) -> Result<Option<Bytes>, Error> {
        if let ReadMode::Switching(fetch) = &mut self.mode
            && fetch.supports_ranges() == Some(true)
        {
            fetch.fill();
        }
        let Some(mut piece) = self.reader.next().await? else { return Ok(None) };
        let fetch = match std::mem::replace(&mut self.mode, ReadMode::Single) {
            ReadMode::Switching(fetch) if fetch.supports_ranges() == Some(true) => fetch,
            mode => {
                self.mode = mode;
                return Ok(Some(piece));
            }
        };
        let (offset, first_byte) = (self.reader.offset(), fetch.first_byte());
        self.mode = match offset.cmp(&first_byte) {
            Ordering::Less => ReadMode::Switching(fetch),
            Ordering::Equal | Ordering::Greater => {
                let excess = usize::try_from(offset - first_byte).unwrap_or(usize::MAX);
                piece.truncate(piece.len().saturating_sub(excess));
                self.reader.seek(first_byte);
                ReadMode::Parallel(fetch)
            }
        };
        Ok(Some(piece))
    }

    /// The server ended the body before the end of the blob: the rest is requested once.
    ///
    /// # Errors
    /// The body ended at the same byte before: there is no more.
    pub async fn ended_early(&mut self) -> Result<(), Error> {
        self.reader.ended_early().await
    }
}
