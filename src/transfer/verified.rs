//! A blob being read, with every byte hashed on its way: its last bytes are only handed out if the digest matches.

use bytes::Bytes;

use super::blob_source::{BlobSource, SourceReader};
use super::read_attempts::ReadAttempts;
use super::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Hasher;

/// A reader that proves what it hands out.
pub(crate) struct Verified<'a> {
    source: BlobSource<'a>,
    blob: &'a Descriptor,
    reader: SourceReader,
    hasher: Option<Hasher>,
    /// Bytes read and hashed.
    read: u64,
    /// Bytes before this one are hashed but not handed out.
    from: u64,
    attempts: ReadAttempts,
}

impl<'a> Verified<'a> {
    /// Begins to read `blob` at byte `from`; a reader that is `opened` already is at byte 0.
    ///
    /// # Errors
    /// The blob can't be opened, or its size is 0 and its digest isn't that of nothing.
    pub(crate) async fn open(
        source: BlobSource<'a>,
        blob: &'a Descriptor,
        from: u64,
        opened: Option<SourceReader>,
        attempts: &ReadAttempts,
    ) -> Result<Self> {
        let fresh = || (0, Hasher::new(blob.digest.algorithm()));
        let (read, hasher) = if opened.is_some() { fresh() } else { attempts.before(from).unwrap_or_else(fresh) };
        let reader = match opened {
            Some(reader) => reader,
            None => source.open_blob(blob, read, attempts).await.map_err(|error| recorded(attempts, error))?,
        };
        let mut verified = Self { source, blob, reader, hasher: Some(hasher), read, from, attempts: attempts.clone() };
        if blob.size == 0 && blob.digest.same_algorithm_of(b"") != blob.digest {
            return Err(Error::malformed(
                format!("blob {} of {}", blob.digest, source.name()),
                "its descriptor says that it has 0 bytes, but that is not the digest of nothing: the manifest gives a wrong size",
            ));
        }
        if blob.size == 0 {
            // It has no last bytes to keep back: a writer would take its end for the end of the right bytes.
            verified.check()?;
        }
        Ok(verified)
    }

    /// The next bytes; `None` when all have been handed out and were right.
    ///
    /// # Errors
    /// The bytes can't be read, are too many, or don't match the digest. Then the last of them were kept back.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.read == self.blob.size {
                // An empty blob comes here first, the others a second time.
                return self.check().map(|()| None);
            }
            let next = self.reader.next().await.map_err(|error| recorded(&self.attempts, error))?;
            let Some(piece) = next else {
                let goes_on = self.reader.ended_early(self.blob.size).await;
                goes_on.map_err(|error| recorded(&self.attempts, error))?;
                continue;
            };
            let start = self.read;
            self.read += piece.len() as u64;
            if self.read > self.blob.size {
                return Err(self.too_long());
            }
            if let Some(hasher) = self.hasher.as_mut() {
                hasher.update(&piece);
                self.attempts.add(self.read, hasher);
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
        let (what, expected) = (format!("blob of {}", self.source.name()), self.blob.digest.clone());
        if self.source.repository().is_some() {
            let found = self.attempts.came_wrong([actual.to_string()]);
            return Err(Error::from(ErrorKind::WrongBytes { what, expected, found }));
        }
        Err(Error::from(ErrorKind::DigestMismatch { what, expected, actual }))
    }

    fn too_long(&self) -> Error {
        let size = self.blob.size;
        if self.source.repository().is_some() {
            let (what, expected) = (format!("blob of {}", self.source.name()), self.blob.digest.clone());
            let found = self.attempts.came_wrong([format!("more than {size} bytes")]);
            return Error::from(ErrorKind::WrongBytes { what, expected, found });
        }
        Error::malformed(
            format!("blob {} of {}", self.blob.digest, self.source.name()),
            format!("it is longer than the {size} bytes that its descriptor says"),
        )
    }
}

/// Records wrong bytes; too few of them are wrong too.
fn recorded(attempts: &ReadAttempts, error: Error) -> Error {
    error.map_kind(|kind| match kind {
        ErrorKind::WrongBytes { what, expected, found } => {
            ErrorKind::WrongBytes { what, expected, found: attempts.came_wrong(found) }
        }
        other => other,
    })
}

/// Reads all bytes of a blob that is small enough for memory, and again if a registry sent wrong ones.
///
/// # Errors
/// It can't be read, or doesn't match its digest however often it is read.
pub(crate) async fn read_whole(store: &Store, blob: &Descriptor) -> Result<Vec<u8>> {
    let attempts = ReadAttempts::default();
    loop {
        match read_once(store, blob, &attempts).await {
            Err(error) if attempts.once_more(&error) => {}
            result => return result,
        }
    }
}

async fn read_once(store: &Store, blob: &Descriptor, attempts: &ReadAttempts) -> Result<Vec<u8>> {
    let mut verified = Verified::open(store.into(), blob, 0, None, attempts).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = verified.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
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
        let layout = Layout::new(&folder, 1024);
        let mut writer = layout.create_blob(digest).await.unwrap();
        writer.write(content).await.unwrap();
        writer.commit().await.unwrap();
        (folder, Store::Layout(layout))
    }

    async fn read_all(store: &Store, blob: &Descriptor, from: u64, attempts: &ReadAttempts) -> Result<Vec<u8>> {
        let mut verified = Verified::open(store.into(), blob, from, None, attempts).await?;
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
            let attempts = ReadAttempts::default();
            assert_eq!(read_all(&store, &blob, 0, &attempts).await.unwrap(), content);
            assert!(attempts.before(20_000_000).is_some());
            assert_eq!(read_all(&store, &blob, 20_000_001, &attempts).await.unwrap(), content[20_000_001..]);
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
                async move { read_all(store, &blob, 0, &ReadAttempts::default()).await.unwrap_err().to_string() }
            };
            assert!(read(5).await.contains("they were not passed on"));
            assert!(read(4).await.contains("longer than the 4 bytes"));
            assert!(read(6).await.contains("shorter than its 6 bytes"));
            std::fs::remove_dir_all(folder).unwrap();
        });
    }
}
