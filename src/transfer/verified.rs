//! A blob being read with every byte hashed on its way: its last bytes are not handed out unless the digest holds.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::store::{Reader, Store};
use crate::error::{Error, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Hasher;

/// The state of the hasher is kept each time so many bytes have passed, so that a reader that begins in the middle (an
/// upload that is resumed) need not hash, nor fetch, from the start.
const CHECKPOINT_DISTANCE: u64 = 16 * 1024 * 1024;

/// Hasher states of one blob, by the number of bytes that they have seen. Shared by all readers of that blob.
#[derive(Clone, Default)]
pub struct Checkpoints(Arc<Mutex<Vec<(u64, Hasher)>>>);

impl Checkpoints {
    fn add(&self, offset: u64, hasher: &Hasher) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = known.last().map_or(0, |(last, _)| *last);
        if offset >= last + CHECKPOINT_DISTANCE {
            known.push((offset, hasher.clone()));
        }
    }

    /// The last state at or before `offset`.
    fn before(&self, offset: u64) -> Option<(u64, Hasher)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().rev().find(|(at, _)| *at <= offset).cloned()
    }
}

/// A reader that proves what it hands out.
pub struct Verified<'a> {
    source: &'a Store,
    blob: &'a Descriptor,
    reader: Reader,
    hasher: Option<Hasher>,
    /// Bytes read and hashed.
    read: u64,
    /// Bytes before this one are hashed but not handed out.
    from: u64,
    checkpoints: Checkpoints,
}

impl<'a> Verified<'a> {
    /// Begins to read `blob` at byte `from`, with a reader that stands at byte 0 if one is `opened` already.
    ///
    /// # Errors
    /// The blob can't be opened, or is said to be empty by a digest that is not that of nothing.
    pub async fn open(
        source: &'a Store,
        blob: &'a Descriptor,
        from: u64,
        opened: Option<Reader>,
        checkpoints: &Checkpoints,
    ) -> Result<Self> {
        let fresh = || (0, Hasher::new(blob.digest.algorithm()));
        let (read, hasher) = if opened.is_some() { fresh() } else { checkpoints.before(from).unwrap_or_else(fresh) };
        let reader = match opened {
            Some(reader) => reader,
            None => source.open_blob(blob, read).await?,
        };
        let mut verified =
            Self { source, blob, reader, hasher: Some(hasher), read, from, checkpoints: checkpoints.clone() };
        if blob.size == 0 {
            // It has no last bytes to keep back: who writes it would take the end for the end of the right ones.
            verified.check()?;
        }
        Ok(verified)
    }

    /// The next bytes; `None` when all have been handed out and were the right ones.
    ///
    /// # Errors
    /// The bytes can't be had, are too many, or don't have the digest. Then the last of them were kept back.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.read == self.blob.size {
                // An empty blob comes here first, the others a second time.
                return self.check().map(|()| None);
            }
            let Some(piece) = self.reader.next().await? else {
                self.reader.ended_early(self.blob.size).await?;
                continue;
            };
            let start = self.read;
            self.read += piece.len() as u64;
            if self.read > self.blob.size {
                return Err(Error::Malformed {
                    what: format!("blob {} of {}", self.blob.digest, self.source.name()),
                    reason: format!("it is longer than the {} bytes that its descriptor says", self.blob.size),
                });
            }
            if let Some(hasher) = self.hasher.as_mut() {
                hasher.update(&piece);
                self.checkpoints.add(self.read, hasher);
            }
            if self.read == self.blob.size {
                self.check()?;
            }
            if self.read <= self.from {
                continue;
            }
            let skip = usize::try_from(self.from.saturating_sub(start)).unwrap_or(usize::MAX).min(piece.len());
            return Ok(Some(piece.slice(skip..)));
        }
    }

    fn check(&mut self) -> Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let actual = hasher.finish();
        if actual == self.blob.digest {
            return Ok(());
        }
        let what = format!("blob of {}", self.source.name());
        Err(Error::DigestMismatch { what, expected: self.blob.digest.clone(), actual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;
    use crate::transfer::layout::Layout;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    async fn layout_with(content: &[u8], digest: &Digest) -> (std::path::PathBuf, Store) {
        let folder = std::env::temp_dir().join(format!("imgstep-verified-{:x}", fastrand::u64(..)));
        let layout = Layout::new(&folder);
        let mut writer = layout.create_blob(digest).await.unwrap();
        writer.write(content).await.unwrap();
        writer.commit().await.unwrap();
        (folder, Store::Layout(layout, 1024))
    }

    async fn read_all(store: &Store, blob: &Descriptor, from: u64, checkpoints: &Checkpoints) -> Result<Vec<u8>> {
        let mut verified = Verified::open(store, blob, from, None, checkpoints).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = verified.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    #[test]
    fn a_reader_that_begins_in_the_middle_proves_the_whole() {
        runtime().block_on(async {
            let content: Vec<u8> = (0..40_000_000_u32).map(|i| (i % 251) as u8).collect();
            let blob = Descriptor::new("", Digest::of(&content), content.len() as u64);
            let (folder, store) = layout_with(&content, &blob.digest).await;
            let checkpoints = Checkpoints::default();
            assert_eq!(read_all(&store, &blob, 0, &checkpoints).await.unwrap(), content);
            assert!(checkpoints.before(20_000_000).unwrap().0 >= CHECKPOINT_DISTANCE);
            assert_eq!(read_all(&store, &blob, 20_000_001, &checkpoints).await.unwrap(), content[20_000_001..]);
            std::fs::remove_dir_all(folder).unwrap();
        });
    }

    #[test]
    fn what_is_wrong_is_not_handed_out_whole() {
        runtime().block_on(async {
            let right = Digest::of(b"right");
            let (folder, store) = layout_with(b"wrong", &right).await;
            let read = |size| {
                let blob = Descriptor::new("", right.clone(), size);
                let store = &store;
                async move { read_all(store, &blob, 0, &Checkpoints::default()).await.unwrap_err().to_string() }
            };
            assert!(read(5).await.contains("they were not passed on"));
            assert!(read(4).await.contains("longer than the 4 bytes"));
            assert!(read(6).await.contains("shorter than its 6 bytes"));
            std::fs::remove_dir_all(folder).unwrap();
        });
    }
}
