//! The journal from outside, as the query engine and an operator see it.

mod backups;
mod basics;
mod commits;
mod damage;
mod model;
mod packing;
mod proofs;
mod qldb;
mod qldb_export;
mod redacting;
mod rotating;
mod support;
mod verifying;
