//! Names of block files, as the Firehose family writes them.

use std::fmt;

use crate::{Error, Linked, Result};

// Folders of a store.
pub(crate) const ONE_BLOCKS: &str = "one-blocks";
pub(crate) const MERGED_BLOCKS: &str = "merged-blocks";
pub(crate) const FORKED_BLOCKS: &str = "forked-blocks";
pub(crate) const ABI_DUMPS: &str = "abi-dumps";

/// Ending of every block file.
pub(crate) const EXTENSION: &str = ".dbin.zst";

/// How much of an id is in a name: its last 16 digits.
const ID_DIGITS: usize = 16;

/// Name of a file with one block: `NNNNNNNNNN-ID-PREV-LIB-SUFFIX`. Orders by number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OneBlockName {
    /// Number of the block.
    pub number: u32,
    /// The last 16 digits of its id.
    pub id: String,
    /// The last 16 digits of the id of the block before.
    pub previous: String,
    /// Number of the last irreversible block, as this block knows it.
    pub lib_number: u32,
    /// Who wrote the file: several readers may each write the same block.
    pub suffix: String,
}

impl OneBlockName {
    /// The name of a block as `suffix` writes it.
    pub fn new(block: &impl Linked, suffix: &str) -> Self {
        let tail = |id: dfuse_antelope::Checksum256| id.to_string().split_off(64 - ID_DIGITS);
        Self {
            number: block.number(),
            id: tail(block.id()),
            previous: tail(block.previous()),
            lib_number: block.lib_number(),
            suffix: suffix.to_owned(),
        }
    }

    /// Reads the name of an object; none for other objects, `.tmp` files among them.
    pub fn parse(file_name: &str) -> Option<Self> {
        let mut parts = file_name.strip_suffix(EXTENSION)?.split('-');
        let mut part = || parts.next().filter(|part| !part.is_empty());
        let name = Self {
            number: block_number(part()?)?,
            id: id(part()?)?,
            previous: id(part()?)?,
            lib_number: unpadded_number(part()?)?,
            suffix: part()?.to_owned(),
        };
        parts.next().is_none().then_some(name)
    }

    /// Whether the file is of this block, whoever wrote it.
    pub fn is_of(&self, block: &impl Linked) -> bool {
        *self == Self::new(block, &self.suffix)
    }

    /// Whether both files are of one block, whoever wrote them.
    pub fn is_same_block(&self, other: &Self) -> bool {
        (self.number, &self.id, &self.previous) == (other.number, &other.id, &other.previous)
    }

    /// Name of the object.
    pub(crate) fn file_name(&self) -> String {
        format!("{self}{EXTENSION}")
    }
}

impl fmt::Display for OneBlockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}-{}-{}-{}-{}", self.number, self.id, self.previous, self.lib_number, self.suffix)
    }
}

/// Refuses a suffix that would make names unreadable.
pub(crate) fn check_suffix(suffix: &str) -> Result<()> {
    if !suffix.is_empty() && suffix.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'.') {
        return Ok(());
    }
    let allowed = "letters, digits, `_` and `.` only, and one of them at least";
    Err(Error::Usage(format!("\"{suffix}\" cannot end names of one-block files: {allowed}")))
}

/// Name of the object of a bundle.
/// What the names of a block's or a bundle's files begin with: before all of them, and after those of lower numbers.
pub(crate) fn beginning(number: u32) -> String {
    format!("{number:010}")
}

pub(crate) fn bundle_file_name(base: u32) -> String {
    format!("{base:010}{EXTENSION}")
}

/// Base of the bundle with this name; none for other objects.
pub(crate) fn parse_bundle(file_name: &str) -> Option<u32> {
    block_number(file_name.strip_suffix(EXTENSION)?)
}

/// Ten digits.
pub(crate) fn block_number(text: &str) -> Option<u32> {
    let digits = text.len() == 10 && text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A number as it is written in names: digits only, no leading zero.
fn unpadded_number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

fn id(text: &str) -> Option<String> {
    (text.len() <= ID_DIGITS && text.bytes().all(|c| c.is_ascii_hexdigit())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::chain;

    #[test]
    fn names_are_those_of_others() {
        let text = "0000000101-dbda3f44afee24dd-24a072678473e4ad-100-mindread1.dbin.zst";
        let name = OneBlockName::parse(text).unwrap();
        assert_eq!((name.number, name.lib_number, name.suffix.as_str()), (101, 100, "mindread1"));
        assert_eq!(name.file_name(), text);
        assert_eq!(parse_bundle("0000000100.dbin.zst"), Some(100));
        assert_eq!(bundle_file_name(4_294_967_200), "4294967200.dbin.zst");
    }

    #[test]
    fn other_objects_are_no_names() {
        for other in [
            "0000000101-dbda3f44afee24dd-24a072678473e4ad-100-mindread1.dbin.zst.tmp",
            "0000000101-dbda3f44afee24dd-24a072678473e4ad-100-mind-read.dbin.zst",
            "0000000101-dbda3f44afee24dd-24a072678473e4ad-100.dbin.zst",
            "0000000101-dbda3f44afee24dd-24a072678473e4ad-x-y.dbin.zst",
            "0000000101-dbda3f44afee24dd-24a072678473e4ad-0100-y.dbin.zst",
            "0000000101-dbda3f44afee24dd-24a072678473e4ad-+5-y.dbin.zst",
            "101-dbda3f44afee24dd-24a072678473e4ad-100-a.dbin.zst",
            "0000000001-20150730T152628.0-13406cb6-b1cb8fa3-0-a.dbin.zst",
            "0000000100.dbin.zst",
        ] {
            assert_eq!(OneBlockName::parse(other), None, "{other}");
        }
        assert_eq!(parse_bundle("0000000100.dbin.zst.tmp"), None);
        assert_eq!(parse_bundle("+000000100.dbin.zst"), None);
        assert_eq!(parse_bundle("9999999999.dbin.zst"), None);
    }

    #[test]
    fn a_block_knows_its_name() {
        let blocks = chain(2, 2, 0);
        let name = OneBlockName::new(&blocks[1], "default");
        assert_eq!(OneBlockName::parse(&name.file_name()).unwrap(), name);
        assert!(name.is_of(&blocks[1]) && !name.is_of(&blocks[0]));
        assert!(blocks[1].id().to_string().ends_with(&name.id));
    }
}
