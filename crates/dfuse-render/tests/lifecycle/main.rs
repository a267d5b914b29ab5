//! Lifecycles as clients see them: of recorded chains against what the nodes answered, of odd blocks, and their golden files.
#![allow(clippy::unwrap_used)]

mod chain;
mod golden;
mod odd;
mod pushed;
mod recorded;
mod streams;

use dfuse_testkit::pretty;
