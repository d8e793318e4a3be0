//! A destination while an image is brought to it: what is known of it, and how it comes to have a blob.

use std::sync::Arc;

use super::layout::Layout;
use super::store::Store;
use super::transfer_log::TransferLog;
use crate::error::{Error, Result};
use crate::image::descriptor::Descriptor;
use crate::registry::host::SelfMount;
use crate::registry::repository::{Permit, Repository};
use crate::registry::uploads::{UploadSession, UploadStart};

/// A place that content is brought to.
pub struct Destination {
    /// The place.
    pub store: Store,
    /// The tag that is to be written was not there: most likely nothing of the image is.
    pub is_new: bool,
    /// It is the source's own repository: all content is there.
    pub is_source: bool,
    /// What was done. Where a result has several sources, each has a view of its own of the place, and all share this.
    pub ledger: Arc<TransferLog>,
}

/// What it takes to get a blob to a destination.
pub enum Prepared<'a> {
    /// It is there.
    Present,
    /// It was linked from the source's repository.
    Mounted,
    /// Its bytes must be sent, to this upload.
    Upload(&'a Repository, UploadSession),
    /// Its bytes must be written to this layout.
    File(&'a Layout),
}

impl Destination {
    /// Finds out whether `blob` must be sent, in as few round trips as the registry allows: a mount asks whether the
    /// blob is there (or elsewhere in the registry) and begins the upload if not, all in one.
    ///
    /// `repair` trusts no earlier answer: it looks for the blob itself, and sends it without a mount, which would only
    /// link again what is broken.
    ///
    /// # Errors
    /// The destination can't be asked, or refuses an upload.
    pub async fn prepare(&self, blob: &Descriptor, repair: bool, room: Permit) -> Result<Prepared<'_>> {
        let repository = match &self.store {
            Store::Registry(repository) => repository,
            Store::Layout(layout, _) => {
                let there = self.store.has_blob(&blob.digest, Some(blob.size), repair, room).await?;
                return Ok(if there { Prepared::Present } else { Prepared::File(layout) });
            }
            Store::Generated(_) => return Err(Error::bug("what a step made is not a destination")),
        };
        if repair {
            if self.store.has_blob(&blob.digest, Some(blob.size), repair, room).await? {
                return Ok(Prepared::Present);
            }
            return begin(repository, blob, None, room).await;
        }
        let mount_from = repository.mount_from().map(str::to_owned);
        if let Some(from) = mount_from {
            let prepared = begin(repository, blob, Some(&from), room).await?;
            return self.unless_present(prepared, blob, room).await;
        }
        if repository.host().self_mount() == SelfMount::Refused {
            if self.store.has_blob(&blob.digest, Some(blob.size), false, room).await? {
                return Ok(Prepared::Present);
            }
            return begin(repository, blob, None, room).await;
        }
        match begin(repository, blob, Some(repository.path()), room).await? {
            Prepared::Mounted => Ok(Prepared::Present),
            prepared if repository.host().self_mount() == SelfMount::Answered => Ok(prepared),
            prepared => self.unless_present(prepared, blob, room).await,
        }
    }

    /// An upload that was begun though the blob may be there: registries may decline a mount for any reason.
    async fn unless_present<'a>(
        &'a self,
        prepared: Prepared<'a>,
        blob: &Descriptor,
        room: Permit,
    ) -> Result<Prepared<'a>> {
        let Prepared::Upload(repository, session) = prepared else { return Ok(prepared) };
        if self.store.has_blob(&blob.digest, Some(blob.size), false, room).await? {
            repository.abandon_upload(&session).await;
            return Ok(Prepared::Present);
        }
        Ok(Prepared::Upload(repository, session))
    }
}

async fn begin<'a>(
    repository: &'a Repository,
    blob: &Descriptor,
    from: Option<&str>,
    room: Permit,
) -> Result<Prepared<'a>> {
    Ok(match repository.begin_upload(&blob.digest, from, room, &repository.budget()).await? {
        UploadStart::Mounted => Prepared::Mounted,
        UploadStart::Session(session) => Prepared::Upload(repository, session),
    })
}
