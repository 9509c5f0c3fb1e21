//! Drives the target `tlog_proof` of `tests/src/fuzzing` with libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ledgerstone_tests::fuzzing::run("tlog_proof", bytes));
