//! How serious a line on stderr is, and how a log marks it.

/// The title of a group of requests.
pub(crate) const GROUP_TITLE: &str = "imgstep: requests";

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something a user should know.
    Warning,
    /// The reason why the step failed.
    Error,
}

impl Level {
    /// Its name, which most logs use too: `warning`, `error`.
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
    /// The line for a warning or an error. The text may hold anything that the console has made safe.
    pub mark: fn(Level, &str) -> String,
    /// Whether an error is one text, an annotation: then a hint is part of it, otherwise it has a line of its own.
    pub one_text: bool,
    /// The lines that begin and end the nth group of this process; none if the log has no groups that end.
    pub group: Option<fn(usize) -> (String, String)>,
}

impl LogStyle {
    /// A terminal, or a log without marks of its own.
    pub const PLAIN: Self = Self { mark: plain, one_text: false, group: None };

    /// What went wrong, and what to do about it.
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
