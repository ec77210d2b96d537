//! See [`foldlog::testing::fuzz::schedules`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| foldlog::testing::fuzz::schedules(data));
