//! All destinations of a step, on their way from a command line to written tags.
//!
//! Each state is a type, and only the methods of a state lead to the next one: [`Opened`] → [`Resolved`] → [`Approved`]
//! → [`Written`]. So the order can't be got wrong:
//!
//! - A tag is only written by `Destinations<Approved>`, and for the very manifest that the guards approved.
//! - A manifest is only written to a [`Pending`] destination, and only `Destinations<Approved>` gives these.
//! - Before the guards, in `Destinations<Resolved>`, a step can read at a destination and send blobs. Without a manifest
//!   nobody sees those, and the registry removes them in time.
//!
//! `Store`'s methods that write manifests and tags are private to `transfer`: a step has no other way.

use std::ops::Deref;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};

use super::destination::{Destination, DestinationId, DestinationSpec, Tag, TagTarget};
use super::store::Store;
use crate::error::{Error, ErrorKind, GuardKind, Result};
use crate::image::descriptor::Descriptor;
use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::reference::Reference;
use crate::registry::manifests::Presence;
use crate::report::outcome::Action;

/// The conditions under which a step writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WritePolicy {
    /// What to do with a tag that points to another image.
    pub if_exists: IfExists,
    /// Whether to only find out what would be written.
    pub dry_run: bool,
}

/// What to do with a destination's tag that points to another image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Move it to the result.
    Overwrite,
    /// Keep it, and go on with the other tags.
    Skip,
    /// Write nothing at all.
    Fail,
}

/// The destinations of a step, in the order of the command line.
pub(crate) struct Destinations<State> {
    policy: WritePolicy,
    state: State,
}

/// They can be asked.
pub(crate) struct Opened {
    destinations: Vec<OpenDestination>,
    source: String,
}

/// What their tags point to is known.
pub(crate) struct Resolved(Vec<Arc<Destination>>);

/// The guards let the result pass.
pub(crate) struct Approved {
    result: Manifest,
    targets: Vec<Target>,
}

/// Their tags point to the result. (After a dry run: nothing was written.)
pub(crate) struct Written {
    result: Manifest,
    targets: Vec<Target>,
}

/// A destination before its tags are resolved.
pub(crate) struct OpenDestination {
    /// What to write there.
    pub spec: DestinationSpec,
    /// Its repository or layout.
    pub store: Store,
}

/// A destination, and the tags that have to be written there.
pub(crate) struct Target {
    /// The destination.
    pub destination: Arc<Destination>,
    /// The tags.
    pub pending: Vec<TagTarget>,
}

/// Destinations that the guards approved and that may lack content of the result.
#[derive(Clone)]
pub(crate) struct Pending(Vec<Arc<Destination>>);

impl<State> Destinations<State> {
    /// The conditions under which the step writes.
    pub(crate) fn policy(&self) -> WritePolicy {
        self.policy
    }
}

impl Destinations<Opened> {
    /// Destinations that were opened to mount blobs from `source`.
    pub(crate) fn new(policy: WritePolicy, source: &Reference, destinations: Vec<OpenDestination>) -> Self {
        Self { policy, state: Opened { destinations, source: source.name() } }
    }

    /// Their repositories and layouts.
    pub(crate) fn stores(&self) -> impl Iterator<Item = &Store> {
        self.state.destinations.iter().map(|destination| &destination.store)
    }

    /// Asks what all tags point to, at once. Without a tag, the question is whether the digest exists that the
    /// destination's reference requires, or else the `expected` one.
    ///
    /// # Errors
    /// One of them can't be asked.
    pub(crate) async fn resolve(self, expected: Option<&Digest>) -> Result<Destinations<Resolved>> {
        let Opened { destinations, source } = self.state;
        let resolving = destinations.into_iter().enumerate().map(|(number, OpenDestination { spec, store })| {
            let source = source.clone();
            async move {
                let tags = resolve_tags(&spec, &store, expected).await?.into();
                let DestinationSpec { reference, pinned, .. } = spec;
                let id = DestinationId(number);
                Ok(Arc::new(Destination { id, reference, pinned, tags, store, source, log: Arc::default() }))
            }
        });
        // All answers are waited for, so that the first error by order is reported, not the first by time.
        let resolved: Result<Vec<Arc<Destination>>> = join_all(resolving).await.into_iter().collect();
        Ok(Destinations { policy: self.policy, state: Resolved(resolved?) })
    }
}

async fn resolve_tags(spec: &DestinationSpec, store: &Store, expected: Option<&Digest>) -> Result<Vec<Tag>> {
    let digest = spec.pinned.iter().find_map(Reference::digest).or(expected);
    let resolving = spec.tags.iter().map(|target| async move {
        let current = match target.tag().or(digest.map(Digest::as_str)) {
            Some(reference) => store.head(reference).await?,
            None => Presence::Absent,
        };
        Ok(Tag { target: target.clone(), current })
    });
    join_all(resolving).await.into_iter().collect()
}

impl Destinations<Resolved> {
    /// All of them.
    pub(crate) fn all(&self) -> &[Arc<Destination>] {
        &self.state.0
    }

    /// Whether all tags of all destinations point to `digest`.
    pub(crate) fn all_point_to(&self, digest: &Digest) -> bool {
        let points = |tag: &Tag| matches!(&tag.current, Presence::Present(current) if current.digest == *digest);
        self.all().iter().all(|destination| destination.tags.iter().all(points))
    }

    /// Those whose tags will be written whatever the result is: no guard of a destination can refuse it. Blobs may be
    /// sent to these before the result is known.
    pub(crate) fn certain(&self) -> Vec<Arc<Destination>> {
        let is_certain = |destination: &&Arc<Destination>| {
            destination.pinned.is_empty() && (self.policy.if_exists == IfExists::Overwrite || destination.is_new())
        };
        self.all().iter().filter(is_certain).cloned().collect()
    }

    /// Asks the guards of all destinations.
    ///
    /// # Errors
    /// One refuses ([`ErrorKind::Guard`]). Nothing was written anywhere.
    pub(crate) fn approve(&self, result: &Manifest) -> Result<Destinations<Approved>> {
        self.all().iter().try_for_each(|destination| guard(self.policy, destination, result))?;
        let needs_writing = |tag: &&Tag| match &tag.current {
            Presence::Present(_) => !tag.points_to(result) && self.policy.if_exists != IfExists::Skip,
            Presence::Absent | Presence::Unknown => true,
        };
        let target = |destination: &Arc<Destination>| Target {
            pending: destination.tags.iter().filter(needs_writing).map(|tag| tag.target.clone()).collect(),
            destination: Arc::clone(destination),
        };
        let targets = self.all().iter().map(target).collect();
        Ok(Destinations { policy: self.policy, state: Approved { result: result.clone(), targets } })
    }
}

fn guard(policy: WritePolicy, destination: &Destination, result: &Manifest) -> Result<()> {
    let is_other = |pinned: &&Reference| pinned.digest().is_some_and(|digest| !result.is(digest));
    if let Some(pinned) = destination.pinned.iter().find(is_other) {
        let text = format!("the result is {}, but {pinned} requires another digest", result.digest);
        return Err(Error::guard(GuardKind::DigestMismatch, text));
    }
    for tag in &*destination.tags {
        let name = || destination.named(&tag.target, &result.digest);
        match &tag.current {
            Presence::Present(other) if policy.if_exists == IfExists::Fail && !result.is(&other.digest) => {
                let text = format!("{} already points to {}, not {}", name(), other.digest, result.digest);
                let hint = "--if-exists overwrite moves the tag, --if-exists skip keeps it";
                return Err(Error::guard(GuardKind::TagExists, text).with_hint(hint));
            }
            Presence::Unknown if policy.if_exists != IfExists::Overwrite => {
                let text = format!("the registry doesn't reveal whether {} exists (403)", name());
                let hint = "use a login that may read it; --if-exists overwrite writes it in any case";
                return Err(Error::guard(GuardKind::TagUnknown, text).with_hint(hint));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Destinations<Approved> {
    /// The manifest that the guards approved.
    pub(crate) fn result(&self) -> &Manifest {
        &self.state.result
    }

    /// Those that have tags to be written.
    pub(crate) fn pending(&self) -> Pending {
        self.select(|target| !target.pending.is_empty())
    }

    /// Those that have the result or get it now. What a tag that is kept points to isn't ours to repair.
    pub(crate) fn to_repair(&self) -> Pending {
        self.select(|target| !target.pending.is_empty() || target.destination.points_to(&self.state.result))
    }

    fn select(&self, is_wanted: impl Fn(&&Target) -> bool) -> Pending {
        let wanted = self.state.targets.iter().filter(is_wanted);
        Pending(wanted.map(|target| Arc::clone(&target.destination)).collect())
    }

    /// Adds the tags that point to the result where its manifest is broken or gone: the index of a layout may have
    /// entries without files.
    ///
    /// # Errors
    /// A destination can't be asked.
    pub(crate) async fn restore_lost(&mut self) -> Result<()> {
        let Approved { result, targets } = &mut self.state;
        for Target { destination, pending } in targets {
            let is_up_to_date = pending.is_empty() && destination.points_to(result);
            if is_up_to_date && !destination.store.holds_manifest(&result.digest).await? {
                pending.extend(destination.tags.iter().map(|tag| tag.target.clone()));
            }
        }
        Ok(())
    }

    /// The children of an index in the result's index, if it was met while it was copied.
    pub(crate) fn children_of(&self, index: &Digest) -> Option<Vec<Descriptor>> {
        self.state.targets.iter().find_map(|target| target.destination.log.children_of(index))
    }

    /// Writes the children of the result, by digest, to all pending destinations that lack them.
    ///
    /// # Errors
    /// One can't be asked or written.
    pub(crate) async fn put_children(&self, children: &[Manifest]) -> Result<()> {
        let pending = self.pending();
        let writes = pending.iter().flat_map(|destination| children.iter().map(move |child| (destination, child)));
        let writes = writes.map(|(destination, child)| async move {
            let is_present = !destination.is_new() && destination.store.has(&child.digest).await?;
            if !is_present && !self.policy.dry_run {
                destination.store.put_manifest(child).await?;
            }
            destination.log.manifest(child, 1, if is_present { Action::Present } else { Action::Sent });
            Ok::<_, Error>(())
        });
        try_join_all(writes).await.map(drop)
    }

    /// Writes all tags, or none in a dry run. All content is there by now, so that each tag is one request, which holds
    /// or doesn't.
    ///
    /// # Errors
    /// One can't be written; the error names those that were.
    pub(crate) async fn write_tags(self) -> Result<Destinations<Written>> {
        let Approved { result, targets } = self.state;
        if !self.policy.dry_run {
            write_tags(&result, &targets).await?;
        }
        Ok(Destinations { policy: self.policy, state: Written { result, targets } })
    }
}

async fn write_tags(result: &Manifest, targets: &[Target]) -> Result<()> {
    let writes = targets.iter().flat_map(|Target { destination, pending }| {
        pending.iter().map(move |target| async move {
            let name = match target {
                TagTarget::Tag(tag) => format!("{}:{tag}", destination.store.name()),
                TagTarget::DigestOnly => result.digest.to_string(),
            };
            (name, destination.store.tag_manifest(target, result).await)
        })
    });
    let (mut written, mut failed) = (Vec::new(), Vec::new());
    for (name, result) in join_all(writes).await {
        match result {
            Ok(()) => written.push(name),
            Err(error) => failed.push(error),
        }
    }
    match failed.into_iter().next() {
        None => Ok(()),
        Some(error) if written.is_empty() => Err(error),
        Some(error) => Err(Error::from(ErrorKind::Partly { written: written.join(", "), source: Box::new(error) })),
    }
}

impl Destinations<Written> {
    /// The manifest that was written.
    pub(crate) fn result(&self) -> &Manifest {
        &self.state.result
    }

    /// Each destination, and the tags that were written there.
    pub(crate) fn targets(&self) -> &[Target] {
        &self.state.targets
    }
}

impl Pending {
    /// Without the source's own repository, which has all content already.
    #[must_use]
    pub(crate) fn without_source(mut self) -> Self {
        self.0.retain(|destination| !destination.is_source());
        self
    }

    /// Without these.
    pub(crate) fn except(&self, others: &[Arc<Destination>]) -> Vec<Arc<Destination>> {
        let is_other = |destination: &Destination| others.iter().any(|other| other.id == destination.id);
        self.iter().filter(|destination| !is_other(destination)).cloned().collect()
    }

    /// Whether a destination is one of these.
    pub(super) fn contains(&self, destination: &Destination) -> bool {
        self.iter().any(|pending| pending.id == destination.id)
    }

    /// The same destinations, opened to mount blobs from another source. They share tags and log.
    ///
    /// # Errors
    /// One can't be opened.
    pub(crate) async fn mounting_from(
        &self,
        source: &Reference,
        open: impl AsyncFn(&Reference) -> Result<Store>,
    ) -> Result<Self> {
        let name = source.name();
        let mut reopened = Vec::new();
        for destination in &self.0 {
            if destination.source == name {
                reopened.push(Arc::clone(destination));
                continue;
            }
            reopened.push(Arc::new(Destination {
                id: destination.id,
                reference: destination.reference.clone(),
                pinned: destination.pinned.clone(),
                tags: Arc::clone(&destination.tags),
                store: open(&destination.reference).await?,
                source: name.clone(),
                log: Arc::clone(&destination.log),
            }));
        }
        Ok(Self(reopened))
    }
}

impl Deref for Pending {
    type Target = [Arc<Destination>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::layout::Layout;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    fn guard_of(error: &Error) -> Option<GuardKind> {
        match error.kind() {
            ErrorKind::Guard { guard, .. } => Some(*guard),
            _ => None,
        }
    }

    fn index(mark: &str) -> Manifest {
        let media_type = crate::image::media_type::OCI_INDEX;
        let text = format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[],"mark":"{mark}"}}"#);
        Manifest::from_bytes("", text.into_bytes().into()).unwrap()
    }

    async fn resolved(folder: &std::path::Path, names: &[&str], if_exists: IfExists) -> Destinations<Resolved> {
        let name = |tag: &&str| format!("oci:{}{tag}", folder.display()).parse().unwrap();
        let references: Vec<Reference> = names.iter().map(name).collect();
        let open = |spec| OpenDestination { spec, store: Store::Layout(Layout::new(folder, 1024)) };
        let destinations = DestinationSpec::merge(&references, &[]).into_iter().map(open).collect();
        let policy = WritePolicy { if_exists, dry_run: false };
        Destinations::new(policy, &references[0], destinations).resolve(None).await.unwrap()
    }

    #[test]
    fn a_taken_tag_is_a_matter_of_policy() {
        runtime().block_on(async {
            let folder = std::env::temp_dir().join(format!("imgstep-destinations-{:x}", fastrand::u64(..)));
            let (old, new) = (index("old"), index("new"));
            let first = resolved(&folder, &[":v1"], IfExists::Fail).await;
            assert_eq!(first.certain().len(), 1, "a new tag is written whatever the result is");
            first.approve(&old).unwrap().write_tags().await.unwrap();

            let again = resolved(&folder, &[":v1"], IfExists::Fail).await;
            assert!(again.certain().is_empty());
            assert!(again.all_point_to(&old.digest));
            assert!(again.approve(&old).unwrap().pending().is_empty());
            let refused = again.approve(&new).err().unwrap();
            assert_eq!(guard_of(&refused), Some(GuardKind::TagExists), "{refused}");

            let skipping = resolved(&folder, &[":v1", ":v2"], IfExists::Skip).await.approve(&new).unwrap();
            let pending: Vec<_> = skipping.state.targets.iter().map(|target| target.pending.clone()).collect();
            assert_eq!(pending, [[TagTarget::Tag("v2".to_owned())]], "one destination, and one of its two tags");

            let pinned = format!(":v3@{}", old.digest);
            let other = resolved(&folder, &[&pinned], IfExists::Overwrite).await;
            assert!(other.certain().is_empty(), "a required digest can refuse the result");
            assert_eq!(guard_of(&other.approve(&new).err().unwrap()), Some(GuardKind::DigestMismatch));
            other.approve(&old).unwrap();
            std::fs::remove_dir_all(folder).unwrap();
        });
    }

    #[test]
    fn a_repository_is_one_destination_with_all_its_tags() {
        let names = ["r.example/app:v1", "r.example/other@sha256:", "r.example/app", "r.example/app:v1", "oci:out"];
        let digest = "0".repeat(64);
        let references: Vec<Reference> = names
            .iter()
            .map(|name| if name.ends_with(':') { format!("{name}{digest}") } else { (*name).to_owned() })
            .map(|name| name.parse().unwrap())
            .collect();
        let specs = DestinationSpec::merge(&references, &["v2".to_owned(), "latest".to_owned()]);
        let tags = |spec: &DestinationSpec| {
            let tags: Vec<&str> = spec.tags.iter().map(|target| target.tag().unwrap_or("-")).collect();
            format!("{} {} {}", spec.reference.name(), tags.join(" "), spec.pinned.len())
        };
        let found: Vec<String> = specs.iter().map(tags).collect();
        assert_eq!(
            found,
            ["r.example/app v1 latest v2 0", "r.example/other - v2 latest 1", "oci:out latest v2 0"],
            "a name without tag and digest means latest"
        );
    }
}
