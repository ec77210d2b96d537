//! See [`foldlog::testing::fuzz::salvaged`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foldlog::testing::fuzz::salvaged(data));
