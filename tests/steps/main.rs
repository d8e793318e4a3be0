//! The steps, tested through the built binary against real registries on loopback.

// A test stops at the first failure, with a message on stderr.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::too_many_lines)]

mod append;
mod bundle;
mod ci;
mod command_line;
mod completion;
mod digest;
mod documents;
mod github_action;
mod guides;
mod help;
mod index;
mod inspect;
mod messages;
mod mutate;
mod promote;
mod specified;
mod support;
mod tag;
mod taught;
mod tekton;
mod workspace;
