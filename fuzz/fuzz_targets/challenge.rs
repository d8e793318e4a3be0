#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| imgstep::fuzzing::challenge::run(bytes));
