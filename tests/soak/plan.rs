//! The plan of a run: everything follows from its seed.

use std::fmt;

use crate::cases::Case;
use crate::faults::{Kind, PASSING};
use crate::storage::Layout;

/// What happens in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Transient faults of every kind.
    Passing,
    /// The same, plus wrong bytes and responses.
    Everything,
    /// Faults of one kind.
    One(Kind),
    /// A signal stops the step at a random moment.
    Kill(Signal),
    /// A promotion writes the same tags at the same time.
    Race,
}

/// How a step is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Kill,
    Terminate,
    Interrupt,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub case: Case,
    pub trouble: Trouble,
    /// The share of requests that get a fault.
    pub rate: f64,
    /// The tags of the result.
    pub tags: Vec<&'static str>,
    pub layout: Layout,
    /// Whether the step reads from the registry that it writes to.
    pub within: bool,
    /// When the signal is sent, as a share of the requests that the step takes.
    pub moment: f64,
}

impl Plan {
    pub fn of(seed: u64, rate: Option<f64>, kind: Option<Kind>) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x736f_616b);
        let case = Case::chosen(&mut random);
        let trouble = match random.u8(0..100) {
            0..52 => Trouble::Passing,
            52..67 => Trouble::Everything,
            67..80 => Trouble::One(Kind::chosen(&mut random, &PASSING)),
            80..92 => Trouble::Kill([Signal::Kill, Signal::Terminate, Signal::Interrupt][random.usize(0..3)]),
            _ => Trouble::Race,
        };
        let trouble = kind.map_or(trouble, Trouble::One);
        let own = match trouble {
            Trouble::Passing | Trouble::Everything => [0.02, 0.1, 0.1, 0.1, 0.3][random.usize(0..5)],
            Trouble::One(_) => 0.2,
            Trouble::Kill(_) | Trouble::Race => [0.0, 0.05][random.usize(0..2)],
        };
        let tags = if random.u8(0..100) < 40 { vec!["v1", "v2", "latest"] } else { vec!["v1"] };
        // The concurrent promotion reads from the source, so this one does too.
        let races = trouble == Trouble::Race;
        let case = if races && case == Case::PromoteWithin { Case::Promote } else { case };
        let within = case == Case::PromoteWithin || !races && case == Case::Append && random.bool();
        Self {
            seed,
            case,
            within,
            trouble,
            rate: rate.unwrap_or(own),
            tags,
            layout: if random.bool() { Layout::Inside } else { Layout::Distribution },
            moment: random.f64() * 1.05,
        }
    }

    /// Whether the step must succeed: its faults are transient, and at most one in ten requests gets one.
    pub fn must_succeed(&self) -> bool {
        matches!(self.trouble, Trouble::Passing | Trouble::Race) && self.rate <= 0.1
    }

    /// The table row that counts it.
    pub fn line(&self) -> String {
        let percent = (self.rate * 100.0).round();
        match self.trouble {
            Trouble::Passing => format!("faults that pass, {percent} %"),
            Trouble::Everything => format!("wrong bytes and answers too, {percent} %"),
            Trouble::One(kind) => format!("one kind, {percent} %: {}", kind.name()),
            Trouble::Kill(signal) => format!("ended by {}", signal.name()),
            Trouble::Race => "raced by a promotion to the same tags".to_owned(),
        }
    }
}

impl Signal {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags = self.tags.len();
        write!(to, "{}; {}; {tags} tag(s); {:?}", self.case.name(), self.line(), self.layout)
    }
}
