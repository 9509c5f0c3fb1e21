//! Catalogue, transactions, and the PartiQL and SQL front ends over the journal: the meaning of statements.
#![forbid(unsafe_code)]

pub mod ast;
pub mod session;
