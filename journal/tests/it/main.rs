//! The journal from outside, as the query engine and an operator see it.

mod basics;
mod model;
mod proofs;
mod support;
mod verifying;
