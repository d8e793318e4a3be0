//! The severity of a line on stderr, and how logs mark it.

/// The title of a group of requests.
pub(crate) const GROUP_TITLE: &str = "imgstep: requests";

/// The severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something a user should know.
    Warning,
    /// The reason why the step failed.
    Error,
}

impl Level {
    /// Its name, as in most logs: `warning`, `error`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// How a log marks warnings and errors, and how it folds a group of lines.
#[derive(Debug, Clone, Copy)]
pub struct LogStyle {
    /// Formats a warning or an error. The console has made the text safe.
    pub mark: fn(Level, &str) -> String,
    /// Whether an error becomes one annotation that includes its hint; otherwise the hint has a line of its own.
    pub one_text: bool,
    /// The lines that start and end the nth group of this process; none if the log has no such groups.
    pub group: Option<fn(usize) -> (String, String)>,
}

impl LogStyle {
    /// A terminal, or a log without marks of its own.
    pub const PLAIN: Self = Self { mark: plain, one_text: false, group: None };

    /// An error and its hint.
    pub fn failure(&self, text: &str, hint: Option<&str>) -> String {
        match hint {
            Some(hint) if self.one_text => (self.mark)(Level::Error, &format!("{text}; {hint}")),
            Some(hint) => format!("{}\nhint: {hint}", (self.mark)(Level::Error, text)),
            None => (self.mark)(Level::Error, text),
        }
    }
}

/// `warning: …` or `error: …`.
pub(crate) fn plain(level: Level, text: &str) -> String {
    format!("{}: {text}", level.name())
}
