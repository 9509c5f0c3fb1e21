//! The Ledgerstone server: one binary.

fn main() {}
