#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|script: json_fuzz::Script| json_fuzz::encode(&script));

#[cfg(not(fuzzing))]
fn main() {}
