//! Drives the target `journal_blocks` of `tests/src/fuzzing` with libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ledgerstone_tests::fuzzing::run("journal_blocks", bytes));
