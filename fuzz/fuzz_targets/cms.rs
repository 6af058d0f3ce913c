#![no_main]
#[path = "../bodies/cms.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
