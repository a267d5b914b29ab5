//! Test support: recorded data, a seeded synthetic chain, searches without an index, nodes' own descriptions, and damage to logs. Nothing outside tests and benchmarks depends on it.

pub mod compare;
pub mod damage;
mod pretty;
mod random;
pub mod recorded;
pub mod search;
pub mod ship;
mod small_disk;
pub mod synthetic;

pub use pretty::pretty;
pub use random::Random;
pub use small_disk::SmallDisk;
