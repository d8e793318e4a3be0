//! How requests to a registry are authorized: its challenge, and the tokens of its token service.

mod authorizer;
mod basic;
pub(crate) mod challenge;
mod token;

pub(crate) use authorizer::Access;
pub(crate) use authorizer::{Authorizer, HostAuthorization};
