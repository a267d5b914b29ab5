//! The dfuse binary.
fn main() {}
