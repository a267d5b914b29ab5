//! What commands read: a log or block files, compressed or not, recognised by content rather than by name.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use anyhow::Context;
use dfuse_blocks::StoreOptions;
use dfuse_node::{decompressed, open_log};
use url::Url;

use crate::failure::{self, usage};

/// The recorded chain that comes with the program: a real node's log of half an hour of varied traffic.
pub(crate) static DEMO: &[u8] = include_bytes!("../demo/demo.dmlog.zst");

/// What that chain began with.
pub(crate) static DEMO_GENESIS: &[u8] = include_bytes!("../demo/genesis.json");

/// What the content of a block file begins with.
const BLOCK_FILE_MAGIC: &[u8] = b"dbin";

/// What gzip files begin with.
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// What a place named on the command line turned out to be.
pub(crate) enum Input {
    /// A deep-mind log, decompressed.
    Log(Box<dyn Read + Send>),
    /// A file of blocks: a bundle or a one-block file, as it is stored.
    BlockFile(Vec<u8>),
    /// A block store, by its place.
    Store(String),
}

/// How to open a block store of this machine or of others, with the credentials that the environment has.
pub(crate) fn store_options(fsync: bool) -> StoreOptions {
    StoreOptions { fsync, ..StoreOptions::with_variables(std::env::vars_os()) }
}

/// Opens `demo`, `-` (standard input), a log, a block file, or a block store (a directory or a URL).
pub(crate) fn open(place: &str) -> anyhow::Result<Input> {
    match place {
        "demo" => return Ok(Input::Log(decompressed(DEMO)?)),
        "-" => return Ok(Input::Log(decompressed(io::stdin()).context("cannot read standard input")?)),
        _ if place.contains("://") && !place.starts_with("file://") => return Ok(Input::Store(place.to_owned())),
        _ => {}
    }
    let unknown = || usage(format!("{place} is not the URL of a file or directory of this machine"));
    let path = match place.starts_with("file://") {
        true => Url::parse(place).ok().and_then(|url| url.to_file_path().ok()).ok_or_else(unknown)?,
        false => PathBuf::from(place),
    };
    let metadata = std::fs::metadata(&path).map_err(|e| usage(format!("cannot open {place}: {e}")))?;
    if metadata.is_dir() {
        return Ok(Input::Store(place.to_owned()));
    }
    let mut content = open_log(&path).map_err(|e| usage(failure::one_line(&e.into())))?;
    let mut magic = Vec::with_capacity(BLOCK_FILE_MAGIC.len());
    let limit = BLOCK_FILE_MAGIC.len() as u64;
    content.by_ref().take(limit).read_to_end(&mut magic).with_context(|| format!("cannot read {place}"))?;
    if magic == BLOCK_FILE_MAGIC {
        let mut file = std::fs::read(&path).with_context(|| format!("cannot read {place}"))?;
        // Block files are compressed with zstd or not at all.
        if file.starts_with(GZIP_MAGIC) {
            file = magic;
            content.read_to_end(&mut file).with_context(|| format!("cannot read {place}"))?;
        }
        return Ok(Input::BlockFile(file));
    }
    Ok(Input::Log(Box::new(io::Cursor::new(magic).chain(content))))
}
