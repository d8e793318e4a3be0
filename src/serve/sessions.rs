//! Upload sessions: opening, finding and expiring them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::RETRY_AFTER;

use super::answer::{Code, Refusal};
use super::storage::writer::BlobWriter;

use crate::lock::lock;

/// Maximum number of open sessions.
const LIMIT: usize = 4096;
/// How long a session may be idle before it expires.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// How long a request waits for another request on the same session, whose client may be dead.
const PATIENCE: Duration = Duration::from_secs(20);

/// The open sessions.
pub(super) struct Sessions {
    open: Mutex<HashMap<String, Arc<Session>>>,
    limit: usize,
}

/// An upload session. One request at a time holds its writer.
pub(super) struct Session {
    id: String,
    name: String,
    writer: tokio::sync::Mutex<Option<BlobWriter>>,
    last_used: Mutex<Instant>,
}

/// A session's writer, for one request.
pub(super) struct Open<'a>(tokio::sync::MutexGuard<'a, Option<BlobWriter>>);

impl Default for Sessions {
    fn default() -> Self {
        Self { open: Mutex::default(), limit: LIMIT }
    }
}

fn unknown() -> Refusal {
    Refusal::not_found(Code::BlobUploadUnknown, "there is no such upload; it may have ended or been idle for too long")
}

/// A new upload id: a version 4 UUID, as the specification requires.
pub(super) fn new_id() -> String {
    let bits = (fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

impl Sessions {
    /// Opens a session.
    ///
    /// # Errors
    /// `429` if too many are open.
    pub(super) fn begin(&self, id: String, name: &str, writer: BlobWriter) -> Result<(), Refusal> {
        let mut open = lock(&self.open);
        if open.len() >= self.limit {
            drop_idle(&mut open, Instant::now());
        }
        if open.len() >= self.limit {
            let message = format!("{} uploads are open; end or cancel some", self.limit);
            return Err(
                Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, message).with(RETRY_AFTER, "10")
            );
        }
        let session = Session {
            id: id.clone(),
            name: name.to_owned(),
            writer: tokio::sync::Mutex::new(Some(writer)),
            last_used: Mutex::new(Instant::now()),
        };
        open.insert(id, Arc::new(session));
        Ok(())
    }

    /// Finds an open session of a repository.
    ///
    /// # Errors
    /// `404` if there is none.
    pub(super) fn find(&self, name: &str, id: &str) -> Result<Arc<Session>, Refusal> {
        let session = lock(&self.open).get(id).filter(|session| session.name == name).cloned().ok_or_else(unknown)?;
        session.touch();
        Ok(session)
    }

    /// Ends a session.
    pub(super) fn end(&self, id: &str) {
        lock(&self.open).remove(id);
    }

    /// Ends the sessions that have expired at `now`.
    pub(super) fn expire(&self, now: Instant) {
        drop_idle(&mut lock(&self.open), now);
    }
}

fn drop_idle(open: &mut HashMap<String, Arc<Session>>, now: Instant) {
    // A session whose writer is held isn't idle, however slow.
    open.retain(|_, session| {
        now.saturating_duration_since(*lock(&session.last_used)) < IDLE || session.writer.try_lock().is_err()
    });
}

impl Session {
    /// The session's id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Records that the session was just used.
    pub(super) fn touch(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    /// Waits for the writer.
    ///
    /// # Errors
    /// `429` if another request holds it for too long.
    pub(super) async fn lock(&self) -> Result<Open<'_>, Refusal> {
        tokio::time::timeout(PATIENCE, self.writer.lock()).await.map(Open).map_err(|_| {
            let message = "another request writes to this upload";
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, message).with(RETRY_AFTER, "5")
        })
    }
}

impl Open<'_> {
    /// The writer.
    ///
    /// # Errors
    /// `404` if the session ended while this request waited for it.
    pub(super) fn writer(&mut self) -> Result<&mut BlobWriter, Refusal> {
        self.0.as_mut().ok_or_else(unknown)
    }

    /// Takes the writer for good.
    ///
    /// # Errors
    /// `404` where the session ended while this request waited for it.
    pub(super) fn close(&mut self) -> Result<BlobWriter, Refusal> {
        self.0.take().ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Algorithm;

    fn writer() -> BlobWriter {
        BlobWriter::new(Algorithm::Sha256, None)
    }

    #[test]
    fn names_are_uuids_and_differ() {
        let (one, two) = (new_id(), new_id());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }

    #[test]
    fn a_session_belongs_to_its_repository() {
        let sessions = Sessions::default();
        sessions.begin("x".to_owned(), "a", writer()).unwrap();
        assert!(sessions.find("a", "x").is_ok());
        assert!(sessions.find("b", "x").is_err());
        sessions.end("x");
        assert!(sessions.find("a", "x").is_err());
    }

    #[test]
    fn idle_sessions_make_room() {
        let sessions = Sessions { open: Mutex::default(), limit: 1 };
        sessions.begin("x".to_owned(), "a", writer()).unwrap();
        assert!(sessions.begin("y".to_owned(), "a", writer()).is_err());
        sessions.expire(Instant::now() + IDLE / 2);
        assert!(sessions.find("a", "x").is_ok());
        sessions.expire(Instant::now() + IDLE * 2);
        assert!(sessions.find("a", "x").is_err());
        sessions.begin("y".to_owned(), "a", writer()).unwrap();
    }

    #[test]
    fn a_session_in_use_is_not_idle() {
        let sessions = Sessions::default();
        sessions.begin("x".to_owned(), "a", writer()).unwrap();
        let session = sessions.find("a", "x").unwrap();
        let held = session.writer.try_lock().unwrap();
        sessions.expire(Instant::now() + IDLE * 2);
        drop(held);
        assert!(sessions.find("a", "x").is_ok());
    }
}
