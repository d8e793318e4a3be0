//! What a step is asked to write, and its destinations opened with the logins of its context.

use futures_util::future::join_all;

use super::context::{Context, FIRST_WAVE, mount_source};
use crate::error::{Error, Result};
use crate::image::reference::Reference;
use crate::registry::ConnectionKind;
use crate::registry::repository::{Access, Repository};
use crate::transfer::destination::DestinationSpec;
pub(crate) use crate::transfer::destinations::IfExists;
use crate::transfer::destinations::{Approved, Destinations, OpenDestination, Opened, Pending, WritePolicy};
use crate::transfer::store::Store;

/// What a step writes, and under which conditions.
#[derive(Debug, Clone)]
pub struct WriteRequest {
    /// Where the result is written.
    pub destinations: Vec<Reference>,
    /// Further tags in the repository of each destination.
    pub tags: Vec<String>,
    /// What to do with a tag that points to another image.
    pub if_exists: IfExists,
    /// Whether to only find out what would be written.
    pub dry_run: bool,
}

impl WriteRequest {
    /// The first destination.
    ///
    /// # Errors
    /// There is none ([`crate::error::ErrorKind::Usage`]).
    pub fn first(&self) -> Result<&Reference> {
        self.destinations.first().ok_or_else(|| Error::usage("no destination"))
    }

    /// Each repository or layout once, with all its tags.
    pub fn specs(&self) -> Vec<DestinationSpec> {
        DestinationSpec::merge(&self.destinations, &self.tags)
    }
}

impl Destinations<Opened> {
    /// Opens all destinations. Blobs can be mounted from `source`, where it is in the same registry.
    ///
    /// # Errors
    /// A login can't be found.
    pub(crate) async fn open(context: &Context, request: &WriteRequest, source: &Reference) -> Result<Self> {
        let policy = WritePolicy { if_exists: request.if_exists, dry_run: request.dry_run };
        let mut destinations = Vec::new();
        for spec in request.specs() {
            let store = open(context, policy, &spec.reference, source).await?;
            destinations.push(OpenDestination { spec, store });
        }
        Ok(Self::new(policy, source, destinations))
    }

    /// As [`Self::open`], for a step that copies all of `source`: opens connections to all of them, while the first
    /// answers are on their way.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) async fn open_for_copy(
        context: &Context,
        request: &WriteRequest,
        (source, store): (&Reference, &Store),
    ) -> Result<Self> {
        let opened = Self::open(context, request, source).await?;
        expect_copy(opened.stores().filter(|_| !request.dry_run).chain([store])).await;
        Ok(opened)
    }
}

impl Destinations<Approved> {
    /// The pending ones, opened to mount blobs from `source`, which may be another source than that of [`Self::open`].
    ///
    /// # Errors
    /// A login can't be found.
    pub(crate) async fn pending_from(&self, context: &Context, source: &Reference) -> Result<Pending> {
        let policy = self.policy();
        self.pending().mounting_from(source, async |reference| open(context, policy, reference, source).await).await
    }
}

async fn open(context: &Context, policy: WritePolicy, destination: &Reference, source: &Reference) -> Result<Store> {
    let access = if policy.dry_run { Access::Pull } else { Access::PullPush };
    context.destination(destination, access, mount_source(source, destination)).await
}

/// Opens connections for a copy between these, while the first answers are on their way. Within one registry, blobs are
/// mounted, and mounts share a connection. If there turns out to be nothing to do, they were opened in vain: a few,
/// which save a round trip (with TLS two) in every other case.
async fn expect_copy(stores: impl Iterator<Item = &Store>) {
    let mut hosts: Vec<(&Repository, usize)> = Vec::new();
    for repository in stores.filter_map(Store::repository) {
        let authority = repository.host().authority();
        match hosts.iter_mut().find(|(known, _)| known.host().authority() == authority) {
            Some((_, count)) => *count += FIRST_WAVE,
            None => hosts.push((repository, FIRST_WAVE)),
        }
    }
    let opening = hosts.into_iter().map(|(repository, count)| {
        let kind = if count > FIRST_WAVE { ConnectionKind::Shared } else { ConnectionKind::Dedicated };
        repository.expect_requests(count, kind)
    });
    join_all(opening).await;
}
