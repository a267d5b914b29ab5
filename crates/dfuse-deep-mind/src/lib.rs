//! Deep-mind logs: the text in which an Antelope node tells what it executes, line by line, to blocks and ABI dumps.
//!
//! [`Reader`] reads a log from any byte stream; [`Decoder`] takes single lines and does no I/O. Both understand
//! Leap 3.1 to 5 (`leap 13`), Spring 1 (`spring 1`), EOSIO 2.1 (`13`), and the dfuse forks of EOSIO 1.8 and 2.0 (`12`).
//! The last two are built from the description of their format: no recorded log of them was at hand.
//!
//! Lines that cannot be right, such as a transaction for another block, end the reading with the exact line. So does a
//! block that contradicts its own lines. What nodes are known to do is tolerated and counted in [`Stats`]: a block begun
//! anew, unknown operations, text of other programs between the lines, and what a killed node leaves before its next run.
//!
//! | module | what |
//! |---|---|
//! | `lines` | splits a stream |
//! | `decoder` | the state machine over lines |
//! | `runs` | where one run of the node ends and the next begins |
//! | `fields`, `operations` | the text of each kind of line |
//! | `trace`, `block_state` | the binary payloads |
//! | `creation` | the tree of which action caused which |
//! | `verify` | a complete block against its own lines |

mod abi_dump;
mod arena;
mod block_state;
mod creation;
mod decoder;
mod error;
mod event;
mod fields;
mod json;
mod lines;
mod operations;
mod pending;
mod reader;
mod runs;
mod trace;
mod variant;
mod verify;
mod version;

pub use decoder::Decoder;
pub use error::{Error, Result};
pub use event::{Event, Stats};
pub use lines::MAX_LINE;
pub use reader::Reader;
pub use version::Software;
