//! Random faults: which request gets which one is determined by the seed, the request and its number of repetitions. So
//! the same seed does the same to the same requests, in whatever order they arrive.

use std::collections::HashMap;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;

use crate::support::Action;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    ServerError,
    /// The registry handles the request, and the response claims that it didn't.
    LateError,
    TooMany,
    ResetBefore,
    ResetAfter,
    CloseKept,
    CutAnswer,
    CutRequest,
    LostUpload,
    RefusedMount,
    NoDigest,
    RelativeLocation,
    Redirect,
    Stall,
    FlipUp,
    Flip,
    Shorten,
    WrongRange,
    WrongDigest,
    Html,
    Unauthorized,
    RefusedBody,
    LongWait,
    Missing,
    Refused,
}

/// Transient faults: the same request, sent again, succeeds.
pub const PASSING: [Kind; 15] = [
    Kind::ServerError,
    Kind::LateError,
    Kind::TooMany,
    Kind::ResetBefore,
    Kind::ResetAfter,
    Kind::CloseKept,
    Kind::CutAnswer,
    Kind::CutRequest,
    Kind::LostUpload,
    Kind::RefusedMount,
    Kind::NoDigest,
    Kind::RelativeLocation,
    Kind::Redirect,
    Kind::Stall,
    Kind::FlipUp,
];
/// Permanent faults, which may end a step.
pub const WRONG: [Kind; 10] = [
    Kind::Flip,
    Kind::Shorten,
    Kind::WrongRange,
    Kind::WrongDigest,
    Kind::Html,
    Kind::Unauthorized,
    Kind::RefusedBody,
    Kind::LongWait,
    Kind::Missing,
    Kind::Refused,
];
/// A transient fault occurs at most this many times in a row for one request.
const IN_A_ROW: u32 = 3;

/// The faults that a proxy injects.
pub struct Faults {
    pub seed: u64,
    pub rate: f64,
    pub kinds: Vec<Kind>,
    /// A placeholder for the destination's repository, whose name must not influence any decision.
    pub repository: String,
    /// The address of the registry itself.
    pub registry: String,
    /// How often a request arrived, and how many times in a row it got a fault.
    pub seen: HashMap<String, (u64, u32)>,
}

impl Faults {
    /// Decides what is done to a request.
    pub fn decide(&mut self, method: &str, target: &str) -> Vec<Action> {
        let name = self.name(method, target);
        let (count, in_a_row) = self.seen.entry(name.clone()).or_default();
        *count += 1;
        let mut random = Rng::with_seed(self.seed ^ hash(&format!("{name} {count}")));
        let passes = self.kinds.iter().all(|kind| PASSING.contains(kind));
        if random.f64() >= self.rate || passes && *in_a_row >= IN_A_ROW {
            *in_a_row = 0;
            return vec![];
        }
        let fitting: Vec<Kind> = self.kinds.iter().copied().filter(|kind| kind.fits(method, target)).collect();
        let Some(kind) = random.choice(fitting) else { return vec![] };
        *in_a_row += 1;
        vec![kind.action(&mut random, method, target, &self.registry)]
    }

    /// A request without the parts that differ from run to run.
    fn name(&self, method: &str, target: &str) -> String {
        let target = target.replace(&self.repository, "REPOSITORY");
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let path = path.split_once("/blobs/uploads/").map_or(path, |(before, _)| before);
        let query: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("_state=")).collect();
        format!("{method} {path} {}", query.join("&"))
    }
}

impl Kind {
    pub fn chosen(random: &mut Rng, kinds: &[Self]) -> Self {
        kinds[random.usize(0..kinds.len())]
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::ServerError => "500, 502, 503, 504",
            Self::LateError => "5xx after the request was done",
            Self::TooMany => "429",
            Self::ResetBefore => "reset before the request",
            Self::CloseKept => "kept connection closed",
            Self::FlipUp => "flipped byte on the way up",
            Self::Shorten => "short body, Content-Length agrees",
            Self::WrongRange => "wrong Range header",
            Self::RefusedBody => "401 in the middle of an upload",
            Self::ResetAfter => "reset after the request",
            Self::CutAnswer => "reset within an answer",
            Self::CutRequest => "reset within a request",
            Self::LostUpload => "upload forgotten",
            Self::RefusedMount => "mount refused",
            Self::NoDigest => "no digest header",
            Self::RelativeLocation => "relative Location",
            Self::Redirect => "redirect",
            Self::Stall => "stall",
            Self::Flip => "flipped byte",
            Self::WrongDigest => "wrong digest header",
            Self::Html => "HTML with status 200",
            Self::Unauthorized => "401",
            Self::LongWait => "429 for a day",
            Self::Missing => "404",
            Self::Refused => "400",
        }
    }

    /// Whether this kind can happen to such a request.
    fn fits(self, method: &str, target: &str) -> bool {
        let upload = target.contains("/blobs/uploads/");
        match self {
            Self::CutAnswer | Self::Flip | Self::Shorten | Self::Html => method == "GET" && !upload,
            Self::CutRequest => matches!(method, "PUT" | "PATCH"),
            Self::LostUpload | Self::FlipUp | Self::RefusedBody | Self::WrongRange => {
                upload && matches!(method, "PUT" | "PATCH")
            }
            Self::RefusedMount => target.contains("mount="),
            Self::RelativeLocation => upload && method != "DELETE",
            Self::Redirect => method == "GET" && target.contains("/blobs/sha256:"),
            Self::NoDigest | Self::WrongDigest => !upload,
            Self::Missing => matches!(method, "GET" | "HEAD"),
            Self::Refused => method == "PUT",
            _ => true,
        }
    }

    fn action(self, random: &mut Rng, method: &str, target: &str, registry: &str) -> Action {
        // A manifest has a few hundred bytes, a blob at least several thousand.
        let large = if target.contains("/manifests/") { 300 } else { 40_000 };
        match self {
            Self::ServerError => Action::answer([500, 502, 503, 504][random.usize(0..4)]),
            Self::TooMany => match random.u8(0..6) {
                0 => Action::answer(429),
                1 => Action::too_many("1"),
                2 => Action::too_many("Sun, 06 Nov 1994 08:49:37 GMT"),
                other => Action::too_many(["0", "-1", "1.5"][usize::from(other - 3)]),
            },
            Self::LateError => Action::AnswerStatus([500, 502, 504][random.usize(0..3)]),
            Self::ResetBefore => Action::Reset,
            Self::ResetAfter => Action::LoseAnswer,
            Self::CloseKept => Action::CloseKept,
            Self::FlipUp => Action::CorruptRequest(random.u64(0..large)),
            Self::Shorten => Action::Shorten(random.u64(0..large)),
            Self::WrongRange => Action::AnswerHeader("Range", Some(format!("0-{}", random.u64(0..large)))),
            Self::RefusedBody => Action::RefuseBody(401),
            Self::CutAnswer => Action::CutAnswer(random.u64(0..large)),
            Self::CutRequest => Action::CutRequest(random.u64(0..large)),
            Self::LostUpload => Action::error(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown"),
            Self::RefusedMount => Action::DropQuery,
            Self::NoDigest => Action::AnswerHeader("Docker-Content-Digest", None),
            Self::RelativeLocation => Action::Location { host: None },
            Self::Redirect => Action::RedirectTo(registry.to_owned()),
            Self::Stall => Action::Stall(Duration::from_millis(random.u64(20..400))),
            Self::Flip => Action::Corrupt(random.u64(0..large)),
            Self::WrongDigest => {
                Action::AnswerHeader("Docker-Content-Digest", Some(format!("sha256:{}", "0123456789abcdef".repeat(4))))
            }
            Self::Html => Action::Answer {
                status: 200,
                headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
                body: b"<html><body>Please sign in</body></html>".to_vec(),
            },
            Self::Unauthorized => Action::error(401, "UNAUTHORIZED", "authentication required"),
            Self::LongWait => Action::too_many("99999"),
            Self::Missing => {
                let code = if target.contains("/manifests/") { "MANIFEST_UNKNOWN" } else { "BLOB_UNKNOWN" };
                Action::error(404, code, method)
            }
            Self::Refused => Action::error(400, "MANIFEST_INVALID", "injected by the soak"),
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        PASSING.into_iter().chain(WRONG).find(|kind| kind.name() == name).ok_or(())
    }
}

/// FNV-1a: the same on every machine and in every version.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
