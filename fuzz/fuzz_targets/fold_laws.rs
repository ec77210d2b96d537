//! See [`foldlog::testing::fuzz::fold_laws`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foldlog::testing::fuzz::fold_laws(data));
