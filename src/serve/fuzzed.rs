//! Entry points for the fuzzer: an in-memory registry, and connections without sockets.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite;
use tokio::runtime::{Builder, Runtime};

use super::Registry;
use super::dispatch::dispatch;
use super::range::{RequestedRange, chunk, wanted};
use super::sessions::Sessions;
use super::storage::{Storage, StoredContent};
use crate::image::manifest::Manifest;

/// An in-memory registry.
pub(crate) struct Served(Arc<Registry>);

/// Runs `look` on a new, empty registry, then asserts that all its content matches the digests it is stored under.
pub(crate) fn registry(look: impl FnOnce(&Served)) {
    let (storage, sessions) = (Storage::in_memory(), Sessions::default());
    let served = Served(Arc::new(Registry { storage, sessions, read_only: false }));
    look(&served);
    for (digest, content) in served.0.storage.everything() {
        let StoredContent::Chunks(chunks) = content else { continue };
        let bytes = chunks.concat();
        // A signed schema 1 manifest is stored under the digest of its payload.
        let is_signed = || Manifest::from_bytes("", bytes.clone().into()).is_ok_and(|manifest| manifest.is(&digest));
        assert!(digest.same_algorithm_of(&bytes) == digest || is_signed(), "{digest} holds other bytes");
    }
}

/// The responses to the bytes of one connection, whose client then goes silent.
pub(crate) fn connection(Served(registry): &Served, bytes: &[u8]) -> String {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    }
    let answers = Answers::default();
    let service = service_fn(|request| {
        let registry = Arc::clone(registry);
        async move { Ok::<_, Infallible>(dispatch(&registry, request).await) }
    });
    let io = TokioIo::new(tokio::io::join(bytes, answers.clone()));
    // A broken connection is the client's fault.
    RUNTIME.with(|runtime| {
        let _ = runtime.block_on(async { pin!(http1::Builder::new().serve_connection(io, service)).await });
    });
    let answers = answers.0.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."));
    String::from_utf8_lossy(&answers).into_owned()
}

/// A selected range lies within the blob.
pub(crate) fn ranges(text: &str, size: u64) {
    if let RequestedRange::Part { first, last } = wanted(Some(text), size) {
        assert!(first <= last && last < size);
    }
    if let Some(chunk) = chunk(text) {
        assert!(chunk.length > 0 && chunk.first.checked_add(chunk.length).is_some());
    }
}

/// The bytes that the registry wrote.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<Vec<u8>>>);

impl AsyncWrite for Answers {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
