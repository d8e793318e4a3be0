//! The exit status of the process.

/// The process exit status: documented and stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A guard said no and nothing was written.
    Guard = 3,
    /// Credentials were refused.
    Credentials = 4,
    /// The source does not exist.
    SourceMissing = 5,
    /// The registry or the network failed in a way that a retry may cure.
    Temporary = 6,
    /// Ended by `SIGINT` (128 + 2, as shells report it).
    Interrupted = 130,
    /// Ended by `SIGTERM` (128 + 15).
    Terminated = 143,
}
