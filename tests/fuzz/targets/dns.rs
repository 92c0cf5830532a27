//! Fuzz target `dns`; what is done with the bytes is in `duetector_actors::exercise`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| duetector_actors::exercise::run("dns", bytes));
