//! See [`foldlog::testing::fuzz::hostile_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foldlog::testing::fuzz::hostile_file(data));
