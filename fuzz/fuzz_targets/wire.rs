//! See [`foldlog::testing::fuzz::wire`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foldlog::testing::fuzz::wire(data));
