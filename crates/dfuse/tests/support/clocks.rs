//! Machines whose clocks differ.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::{path::PathBuf, process::Command};

use tempfile::TempDir;

use super::{machines::Machine, text};

/// A library that shifts the time of day of the process that it is loaded into.
pub(crate) struct Clocks {
    folder: TempDir,
}

impl Clocks {
    pub(crate) fn new() -> Self {
        let clocks = Self { folder: TempDir::new().unwrap() };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/clock.c");
        let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        let made = compiler.args(["-shared", "-fPIC", "-o", text(&clocks.library()), source]).status();
        assert!(made.expect("a C compiler is installed").success());
        clocks
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("clock.so")
    }

    /// The machine with a clock that is so many seconds ahead, or behind if that is below 0.
    pub(crate) fn shift(&self, machine: Machine, seconds: i64) -> Machine {
        machine.with("LD_PRELOAD", text(&self.library())).with("CLOCK_SHIFT_SECONDS", &seconds.to_string())
    }
}
