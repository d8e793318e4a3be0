//! How a request is authorized: the registry's challenge and the tokens of its token service.

pub mod challenge;
pub(crate) mod token;
