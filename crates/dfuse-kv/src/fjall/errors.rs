//! What the engine's errors mean.

use std::{io, path::Path};

use ::fjall::LsmError;

use super::layout::{DIRECTORY, VERSION_FILE};
use crate::Error;

pub(super) fn corrupt(path: &Path, why: impl Into<String>) -> Error {
    Error::Corrupt { path: path.to_owned(), why: why.into() }
}

pub(super) fn engine_error(path: &Path, error: ::fjall::Error) -> Error {
    use ::fjall::Error as Engine;
    use io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    match error {
        Engine::Io(source) | Engine::Storage(LsmError::Io(source)) => match source.kind() {
            // The engine looks only for what it has written, where it has written that.
            NotFound | UnexpectedEof | InvalidData | InvalidInput => corrupt(path, source.to_string()),
            _ => Error::io(path, source),
        },
        Engine::Locked => Error::Locked { path: path.to_owned() },
        Engine::InvalidVersion(Some(version)) => {
            Error::Format { path: path.to_owned(), why: format!("{}: version {version}", version_file(path)) }
        }
        Engine::InvalidVersion(None) => {
            let why = format!("{}: unknown version, perhaps a newer one", version_file(path));
            Error::Format { path: path.to_owned(), why }
        }
        Engine::Storage(LsmError::InvalidVersion(version)) => {
            Error::Format { path: path.to_owned(), why: format!("table format {version}") }
        }
        Engine::Poisoned => Error::Failed,
        Engine::KeyspaceDeleted => Error::Closed,
        other => corrupt(path, kind_of_damage(&other)),
    }
}

fn version_file(path: &Path) -> String {
    path.join(DIRECTORY).join(VERSION_FILE).display().to_string()
}

/// The engine's own words are those of its code.
fn kind_of_damage(error: &::fjall::Error) -> String {
    use ::fjall::Error as Engine;
    let known = match error {
        Engine::Storage(LsmError::ChecksumMismatch { .. }) => "a piece of a file does not match its checksum",
        Engine::Storage(LsmError::Unrecoverable) | Engine::Unrecoverable => {
            "a file is missing or not what it should be"
        }
        Engine::Storage(
            LsmError::InvalidTag(_) | LsmError::InvalidTrailer | LsmError::InvalidHeader(_) | LsmError::Decompress(_),
        )
        | Engine::InvalidTag(_)
        | Engine::InvalidTrailer
        | Engine::Decompress(_) => "a piece of a file is not of the form that it should have",
        Engine::JournalRecovery(_) => "the journal has a batch that is not whole",
        other => return other.to_string(),
    };
    known.to_owned()
}
