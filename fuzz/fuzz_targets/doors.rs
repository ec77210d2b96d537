//! See [`foldlog::testing::fuzz::doors`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foldlog::testing::fuzz::doors(data));
