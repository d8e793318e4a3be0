//! The OCI distribution specification, spoken to one host at a time.

pub mod error;
