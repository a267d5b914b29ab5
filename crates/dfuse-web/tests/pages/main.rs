//! Pages over recorded chains: what they show equals what the API answers.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod access;
mod cost;
mod counting;
mod equal;
mod hostile;
mod support;
mod walk;
