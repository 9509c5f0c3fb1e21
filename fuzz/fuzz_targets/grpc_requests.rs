//! Drives the target `grpc_requests` of `tests/src/fuzzing` with libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ledgerstone_tests::fuzzing::run("grpc_requests", bytes));
