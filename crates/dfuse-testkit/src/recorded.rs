//! Recorded chains: finds the files and reads them, whatever they are packed in.
//!
//! Files are named relative to one folder: the one in `DFUSE_TEST_DATA`, else `shared/data` beside the repository. Where a
//! file is absent every function prints one line that says so and returns `None`; the test returns then.
//!
//! ```
//! use dfuse_testkit::recorded;
//!
//! let Some(log) = recorded::open("small/small.dmlog.zst") else { return };
//! let Some(members) = recorded::tar("small/ship-and-blocks.tar.zst") else { return };
//! ```

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The folder of recorded data; it need not exist.
pub fn folder() -> PathBuf {
    match std::env::var_os("DFUSE_TEST_DATA") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    }
}

/// The path of `file`, or `None` and a line on standard error when it is absent.
#[allow(clippy::print_stderr)] // the line is for whoever runs the tests
pub fn find(file: &str) -> Option<PathBuf> {
    let path = folder().join(file);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: {file} is absent; set DFUSE_TEST_DATA");
    None
}

/// The content of `file` as a stream, unpacked if its name ends in `.zst` or `.gz`.
///
/// # Panics
/// When the file is there but cannot be opened.
pub fn open(file: &str) -> Option<BufReader<Box<dyn Read + Send>>> {
    let path = find(file)?;
    Some(unpacked(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The whole content of `file`, unpacked.
///
/// # Panics
/// When the file is there but cannot be read to its end; so do the functions below.
pub fn bytes(file: &str) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    open(file)?.read_to_end(&mut content).unwrap_or_else(|error| panic!("{file}: {error}"));
    Some(content)
}

/// The lines of `file`, unpacked, without their line ends. Logs may hold invalid UTF-8, hence bytes.
pub fn lines(file: &str) -> Option<impl Iterator<Item = Vec<u8>> + use<>> {
    let name = file.to_owned();
    Some(open(file)?.split(b'\n').map(move |line| line.unwrap_or_else(|error| panic!("{name}: {error}"))))
}

/// `file` as one JSON document.
pub fn json(file: &str) -> Option<Value> {
    Some(serde_json::from_reader(open(file)?).unwrap_or_else(|error| panic!("{file}: {error}")))
}

/// `file` as one JSON document a line; empty lines are left out.
pub fn json_lines(file: &str) -> Option<impl Iterator<Item = Value> + use<>> {
    let name = file.to_owned();
    Some(lines(file)?.filter(|line| !line.is_empty()).enumerate().map(move |(number, line)| {
        serde_json::from_slice(&line).unwrap_or_else(|error| panic!("{name}, document {}: {error}", number + 1))
    }))
}

/// A file inside a tar archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path in the archive, without a leading `./`.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// The regular files of a `.tar`, `.tar.zst` or `.tar.gz` archive, in its order.
pub fn tar(file: &str) -> Option<impl Iterator<Item = Member> + use<>> {
    let mut archive = open(file)?;
    let name = file.to_owned();
    Some(std::iter::from_fn(move || next_member(&mut archive).unwrap_or_else(|error| panic!("{name}: {error}"))))
}

/// The content of one file of an archive; `path` without a leading `./`.
///
/// # Panics
/// When the archive is there but the file is not in it.
pub fn tar_member(file: &str, path: &str) -> Option<Vec<u8>> {
    let member = tar(file)?.find(|member| member.path == path);
    Some(member.unwrap_or_else(|| panic!("{file} has no {path}")).content)
}

fn unpacked(path: &Path) -> io::Result<BufReader<Box<dyn Read + Send>>> {
    let packed = File::open(path)?;
    let reader: Box<dyn Read + Send> = match path.extension().and_then(|extension| extension.to_str()) {
        Some("zst") => Box::new(zstd::Decoder::new(packed)?),
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        _ => Box::new(packed),
    };
    Ok(BufReader::with_capacity(1 << 18, reader))
}

/// Reads up to the next regular file: blocks of 512 bytes, name at 0, size in octal at 124, type at 156, prefix at 345.
fn next_member(archive: &mut impl Read) -> io::Result<Option<Member>> {
    let mut header = [0; 512];
    loop {
        archive.read_exact(&mut header)?;
        if header[0] == 0 {
            return Ok(None);
        }
        let size = u64::from_str_radix(text(&header[124..136])?.trim(), 8).map_err(invalid)?;
        let mut content = Vec::new();
        archive.by_ref().take(size.next_multiple_of(512)).read_to_end(&mut content)?;
        if (content.len() as u64) < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        content.truncate(usize::try_from(size).map_err(invalid)?);
        if matches!(header[156], b'0' | 0) {
            let (prefix, name) = (text(&header[345..500])?, text(&header[..100])?);
            let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            return Ok(Some(Member { path: path.trim_start_matches("./").to_owned(), content }));
        }
    }
}

/// A header field up to its first NUL.
fn text(field: &[u8]) -> io::Result<&str> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    std::str::from_utf8(&field[..end]).map_err(invalid)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_unpacked_by_line() {
        let Some(mut log) = lines("small/small.dmlog.zst") else { return };
        assert!(log.next().unwrap().starts_with(b"DMLOG RLIMIT_OP CONFIG INS {"));
        assert_eq!(log.count(), 8562);
        let Some(empty) = bytes("empty.dmlog.gz") else { return };
        assert!(empty.ends_with(b"\n"));
    }

    #[test]
    fn documents_are_parsed() {
        let Some(answers) = json("small/answers.json.gz") else { return };
        assert_eq!(answers["get_info"]["head_block_num"], 365);
        let Some(blocks) = json_lines("small/trace_api_blocks.jsonl.gz") else { return };
        assert!(blocks.count() > 300);
    }

    #[test]
    fn archives_are_read_by_member() {
        let Some(members) = tar("small/ship-and-blocks.tar.zst") else { return };
        for member in members {
            assert!(!member.content.is_empty(), "{}", member.path);
            assert_eq!(tar_member("small/ship-and-blocks.tar.zst", &member.path), Some(member.content));
        }
    }

    #[test]
    fn an_absent_file_is_none() {
        assert!(open("no such file").is_none());
        assert!(json("no such file").is_none());
    }
}
