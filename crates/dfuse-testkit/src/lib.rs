//! Test support: recorded data, a seeded synthetic chain, and damage to logs. Nothing outside tests and benchmarks depends on it.

pub mod compare;
pub mod damage;
mod random;
pub mod recorded;
mod small_disk;
pub mod synthetic;

pub use small_disk::SmallDisk;
