//! The steps: one file each, a request in and an outcome out. They read no environment, and print nothing but warnings and
//! notes.

pub(crate) mod append;
pub(crate) mod bundle;
pub(crate) mod context;
pub(crate) mod destinations;
pub(crate) mod digest;
pub(crate) mod index;
pub(crate) mod inspect;
mod missing;
pub(crate) mod mutate;
pub(crate) mod platforms;
pub(crate) mod promote;
pub(crate) mod promote_list;
pub(crate) mod sources;
pub(crate) mod step_report;
pub(crate) mod tag;
