//! See [`foldlog::testing::fuzz::lines`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foldlog::testing::fuzz::lines(data));
