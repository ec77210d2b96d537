//! See [`foldlog::testing::fuzz::sessions`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foldlog::testing::fuzz::sessions(data));
