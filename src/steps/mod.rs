//! The steps: one file each, a request in and an outcome out. They print nothing and read no environment.

pub mod append;
pub mod bundle;
pub mod context;
pub mod digest;
pub mod goals;
pub mod index;
pub mod inspect;
mod missing;
pub mod mutate;
pub mod platforms;
pub mod promote;
pub mod promote_list;
pub mod source;
pub mod tag;
pub mod telling;
