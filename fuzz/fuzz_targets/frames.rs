//! See [`foldlog::testing::fuzz::frames`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foldlog::testing::fuzz::frames(data));
