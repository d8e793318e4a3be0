//! A connection that is refused on purpose, so that no retry changes it.

/// Why it is refused, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct FinalFailure {
    pub(super) text: String,
    pub(super) hint: String,
}

impl FinalFailure {
    pub(super) fn new(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { text: text.into(), hint: hint.into() }
    }
}
