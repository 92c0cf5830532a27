//! Fuzz target `config`; what is done with the bytes is in `duetector_actors::fuzz_targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| duetector_actors::fuzz_targets::run("config", bytes));
