//! The steps: one file each, a request in and an outcome out. They read no environment, and print nothing but warnings and
//! notes.

pub mod append;
pub mod bundle;
pub mod context;
pub mod destinations;
pub mod digest;
pub mod index;
pub mod inspect;
mod missing;
pub mod mutate;
pub mod platforms;
pub mod promote;
pub mod promote_list;
pub mod sources;
pub mod step_report;
pub mod tag;
