//! The journal from outside, as the query engine and an operator see it.

mod basics;
mod proofs;
mod support;
