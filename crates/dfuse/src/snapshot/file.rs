//! The snapshot in a file, whatever it is packed in.

use std::{
    io::{self, Cursor, Read},
    path::Path,
};

use anyhow::Context;
use dfuse_node::{decompressed, open_log, open_url};
use dfuse_ship::is_snapshot;

use crate::failure::{self, usage};

/// Bytes that tell a snapshot and an archive from anything else.
const START: usize = 512;
/// Where an archive says that it is one, and how.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");

/// Opens a file and hands on the snapshot in it, decompressed; in an archive, its first file that is one.
pub(crate) fn read(file: &str, use_it: impl FnOnce(&mut dyn Read) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let content = match file {
        "-" => decompressed(io::stdin()).context("cannot read standard input")?,
        url if url.contains("://") => open_url(url).map_err(|error| usage(failure::one_line(&error.into())))?,
        _ => open_log(Path::new(file)).map_err(|error| usage(failure::one_line(&error.into())))?,
    };
    snapshot_in(content, use_it).with_context(|| file.to_owned())
}

fn snapshot_in(mut content: impl Read, use_it: impl FnOnce(&mut dyn Read) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let start = start_of(&mut content)?;
    let is_archive = start.get(TAR_MAGIC.0..).is_some_and(|rest| rest.starts_with(TAR_MAGIC.1));
    let mut whole = Cursor::new(start).chain(content);
    if !is_archive {
        return use_it(&mut whole);
    }
    let mut archive = tar::Archive::new(whole);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let start = start_of(&mut entry)?;
        if is_snapshot(&start) {
            return use_it(&mut Cursor::new(start).chain(entry));
        }
    }
    Err(usage("there is no portable snapshot in the archive"))
}

fn start_of(content: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(START);
    content.take(START as u64).read_to_end(&mut start)?;
    Ok(start)
}
