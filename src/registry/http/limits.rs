//! Time limits of connections.

use std::time::Duration;

/// The longest time for connecting, including TLS and a proxy.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a silent connection is probed.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(15);
/// How long an idle connection is kept.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
