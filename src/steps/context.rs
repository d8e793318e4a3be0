//! What all steps need: the client, the logins, the console.

use std::time::Instant;

use crate::credentials::Credentials;
use crate::error::Result;
use crate::image::reference::Reference;
use crate::registry::ConnectionKind;
use crate::registry::client::Client;
use crate::registry::repository::Access;
use crate::report::console::Console;
use crate::report::progress::Progress;
use crate::transfer::layout::Layout;
use crate::transfer::manifest_limits::ManifestMemory;
use crate::transfer::options::{CopyOptions, LargeBlobSlots};
use crate::transfer::store::Store;

/// About the number of requests to each registry that follow the first answers: an index has some eight children, an
/// image some eight blobs.
pub(super) const FIRST_WAVE: usize = 8;

/// What all steps need.
pub struct Context {
    /// The client of all registries.
    pub client: Client,
    /// Logins for what is read.
    pub source_credentials: Credentials,
    /// Logins for what is written.
    pub credentials: Credentials,
    /// Prints warnings and notes.
    pub console: Console,
    /// Shows the progress.
    pub progress: Progress,
    /// When the step began.
    pub started: Instant,
    /// Slots for large blobs, of all images together.
    pub large_blobs: LargeBlobSlots,
    /// Memory for manifests, of all images together.
    pub manifest_memory: ManifestMemory,
}

impl Context {
    /// The context of one image of several: the same connections, tokens and limits, but its own requests and seconds.
    #[must_use]
    pub fn for_one_image(&self) -> Self {
        Self {
            client: self.client.counting_apart(),
            source_credentials: self.source_credentials.clone(),
            credentials: self.credentials.clone(),
            console: self.console.clone(),
            progress: self.progress.clone(),
            started: Instant::now(),
            large_blobs: self.large_blobs.clone(),
            manifest_memory: self.manifest_memory.clone(),
        }
    }

    /// The repository or layout of `reference`, to read it.
    ///
    /// # Errors
    /// Its login can't be found.
    pub async fn source(&self, reference: &Reference) -> Result<Store> {
        self.open(reference, &self.source_credentials, Access::Pull, None).await
    }

    /// As [`Self::source`], for an image whose manifests and configs are read and changed: opens connections for these.
    ///
    /// # Errors
    /// As [`Self::source`].
    pub async fn base(&self, reference: &Reference) -> Result<Store> {
        let store = self.source(reference).await?;
        store.expect_requests(FIRST_WAVE, ConnectionKind::Shared).await;
        Ok(store)
    }

    /// The repository or layout of `reference`, to write to it; blobs may be mounted from `mount_from`, a repository of its
    /// registry.
    ///
    /// # Errors
    /// Its login can't be found.
    pub async fn destination(
        &self,
        reference: &Reference,
        access: Access,
        mount_from: Option<String>,
    ) -> Result<Store> {
        self.open(reference, &self.credentials, access, mount_from).await
    }

    async fn open(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        access: Access,
        mount_from: Option<String>,
    ) -> Result<Store> {
        match reference {
            Reference::Registry(reference) => {
                let login = credentials.find(&reference.registry, &reference.repository).await?;
                let searched = credentials.places();
                Ok(Store::Registry(self.client.repository(reference, login, &searched, access, mount_from)))
            }
            Reference::Layout(reference) => {
                Ok(Store::Layout(Layout::new(&reference.directory, self.client.options().manifest_limit)))
            }
        }
    }

    /// The options of a copy that a step doesn't change.
    pub fn copy_options(&self, dry_run: bool) -> CopyOptions {
        let options = self.client.options();
        CopyOptions {
            include_foreign: false,
            repair: false,
            dry_run,
            retries: options.retries,
            jobs: options.jobs,
            large_blobs: self.large_blobs.clone(),
            manifest_memory: self.manifest_memory.clone(),
        }
    }

    /// Seconds since the step began, to the millisecond.
    pub fn seconds(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }
}

/// The repository that blobs can be mounted from, if both are in one registry and not the same.
pub(crate) fn mount_source(source: &Reference, destination: &Reference) -> Option<String> {
    match (source, destination) {
        (Reference::Registry(source), Reference::Registry(destination))
            if source.api_host() == destination.api_host() && source.repository != destination.repository =>
        {
            Some(source.repository.clone())
        }
        _ => None,
    }
}
