//! `orchestrix_locking::fuzz::connection_string` for what libFuzzer finds.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| orchestrix_locking::fuzz::connection_string(data));
