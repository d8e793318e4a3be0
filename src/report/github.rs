//! GitHub Actions: outputs, the job summary and annotations.

/// How grave an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something a user should know.
    Warning,
    /// The reason why the step failed.
    Error,
}

/// A workflow command that shows `message` at the run's page: `::error title=…::…`, without a newline at its end.
///
/// `title` and `message` may hold anything; what would end the command early is escaped as the runner expects.
pub fn annotation(level: Level, title: &str, message: &str) -> String {
    let name = match level {
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let message = message.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let title =
        title.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A").replace(':', "%3A").replace(',', "%2C");
    format!("::{name} title={title}::{message}")
}
