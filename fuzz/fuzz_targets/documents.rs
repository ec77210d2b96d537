//! See [`foldlog::testing::fuzz::documents`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foldlog::testing::fuzz::documents(data));
