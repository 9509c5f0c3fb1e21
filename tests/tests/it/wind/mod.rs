//! The wind tunnel: the real binary on a real file system, real clients over sockets, real faults.
//!
//! Each test is one row: a fault, what the user then sees (exit status, SQLSTATE, a message that names the file, the
//! offset and what helps), and that nothing acknowledged is lost and every checkpoint handed out before still verifies.
//! Rows on damage at rest say instead that the server refuses to start, and touches nothing.

pub mod clients;
mod clock;
mod derived;
mod disk;
mod full_disk;
mod keys;
mod limits;
mod log;
mod network;
mod packing;
pub mod place;
mod scrubbing;
mod segments;
mod signals;
mod spill;
pub mod tools;
mod two_of_one;
