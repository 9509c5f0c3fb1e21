//! The integration tests of the query crate: one binary, a module per subject.

mod store_basic;
mod support;
