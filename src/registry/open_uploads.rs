//! Uploads that are not complete, and how each is cancelled when a step ends.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::join_all;
use url::Url;

use crate::lock::lock;

/// Cancels an upload.
pub(super) type Cancel = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The open uploads of a step by their URLs.
#[derive(Default)]
pub(super) struct OpenUploads(Mutex<HashMap<Url, Cancel>>);

impl OpenUploads {
    fn uploads(&self) -> MutexGuard<'_, HashMap<Url, Cancel>> {
        lock(&self.0)
    }

    /// Remembers an upload that must be cancelled if the step ends before it is complete.
    pub(super) fn insert(&self, session: &Url, cancel: Cancel) {
        self.uploads().insert(session.clone(), cancel);
    }

    /// Forgets an upload: it is complete, or continues at another URL.
    pub(super) fn remove(&self, session: &Url) {
        self.uploads().remove(session);
    }

    /// Cancels all uploads, so that registries need not keep what will never be complete. Failures don't matter:
    /// registries drop old uploads by themselves, and some (Quay) refuse to cancel any.
    pub(super) async fn cancel(&self, time_limit: Duration) {
        let open: Vec<Cancel> = self.uploads().drain().map(|(_, cancel)| cancel).collect();
        let _ = tokio::time::timeout(time_limit, join_all(open.into_iter().map(|cancel| cancel()))).await;
    }
}
