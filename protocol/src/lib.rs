//! The gRPC protocol of Ledgerstone: the `.proto` files and the code generated from them.
//!
//! The generated code is committed so that a build needs no `protoc`; a test regenerates it and compares. After a
//! change to a `.proto` file run `LEDGERSTONE_REGENERATE=1 cargo test -p ledgerstone-protocol`.

/// `ledgerstone.v1`: the ledger service and the digest service.
#[allow(missing_docs, clippy::all)]
#[rustfmt::skip]
pub mod v1 {
    include!("gen/ledgerstone.v1.rs");
}
