#![no_main]
//! The same as `log_reader`, but inputs are logs whose fields change, also inside of hex.

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| dfuse_fuzz::log_lines(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    dfuse_fuzz::mutate_log(data, size, max_size, seed, fuzzer_mutate)
});
