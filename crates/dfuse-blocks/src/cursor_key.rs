//! The text of cursors. Opaque for clients; only who has a key can make one: that of the data directory, or one that machines share.
//!
//! The text is base64url without padding of
//!
//! | bytes | what |
//! |---|---|
//! | 1 | kind, [`CursorKind::Stream`] |
//! | 4 | first bytes of SHA-256 of the key: tells a cursor of another data directory from a damaged one |
//! | 1 | step in the low two bits; bit 2: the tip is another block than the event's; bit 3: so is the LIB |
//! | 32 | id of the event's block |
//! | 32 | id of the tip, if bit 2 is set |
//! | 4 | number of the LIB, big-endian, if bit 3 is set |
//! | 16 | first bytes of HMAC-SHA256 of all before, under the key |

use std::{fmt, io::Write, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dfuse_antelope::Checksum256;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{BlockRef, Cursor, CursorKind, Entropy, Error, Result, Step};

const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 5;
/// A text longer than any cursor is not decoded.
const MAX_TEXT: usize = 140;
const OTHER_TIP: u8 = 1 << 2;
const OTHER_LIB: u8 = 1 << 3;
const KEY_FILE: &str = "cursor.key";

/// Seals cursors into text and opens them. Never shown, not even by `Debug`.
#[derive(Clone)]
pub struct CursorKey {
    sealing: Secret,
    /// These open cursors, too.
    others: Arc<[Secret]>,
}

#[derive(Clone)]
struct Secret {
    mac: Hmac<Sha256>,
    fingerprint: [u8; 4],
}

impl Secret {
    fn new(key: &[u8; 32]) -> Self {
        let digest = Checksum256::sha256(key).0;
        let mac = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        Self { mac, fingerprint: [digest[0], digest[1], digest[2], digest[3]] }
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey")
    }
}

impl CursorKey {
    /// A key of these bytes.
    pub fn new(key: [u8; 32]) -> Self {
        Self { sealing: Secret::new(&key), others: Arc::default() }
    }

    /// Cursors that were sealed with one of these keys are opened, too: by another machine, or before the key was changed.
    #[must_use]
    pub fn also_opening(self, keys: &[[u8; 32]]) -> Self {
        let others = self.others.iter().cloned().chain(keys.iter().map(Secret::new));
        Self { others: others.collect(), ..self }
    }

    /// The first of the keys that several machines share seals, and all of them open. So does the key in the data directory,
    /// if there is one: clients keep the cursors that they had before the keys were shared. None without keys.
    ///
    /// # Errors
    /// [`Error::Usage`] if the file of that key cannot be used.
    pub fn shared(data_dir: &Path, keys: &[[u8; 32]]) -> Result<Option<Self>> {
        let Some((first, others)) = keys.split_first() else { return Ok(None) };
        let own = read_key(&data_dir.join(KEY_FILE))?;
        Ok(Some(Self::new(*first).also_opening(others).also_opening(own.as_slice())))
    }

    /// The key in `cursor.key` of the data directory; both are made if they are not there, the file for its owner only.
    pub fn open(data_dir: &Path, entropy: &dyn Entropy) -> Result<Self> {
        let path = data_dir.join(KEY_FILE);
        if let Some(key) = read_key(&path)? {
            return Ok(Self::new(key));
        }
        let mut key = [0; 32];
        entropy.fill(&mut key)?;
        let written = std::fs::create_dir_all(data_dir).and_then(|()| write_key(data_dir, &path, &key));
        written.map_err(|error| unusable(&path, &error))?;
        Ok(Self::new(key))
    }

    /// The text of a cursor, 72 to 120 characters.
    pub fn seal(&self, cursor: &Cursor) -> String {
        let mut bytes = Vec::with_capacity(69);
        let step = match cursor.step {
            Step::New => 1,
            Step::Undo => 2,
            Step::Irreversible => 3,
        };
        let (other_tip, other_lib) = (cursor.tip != cursor.block, cursor.lib != cursor.block.number);
        let flags = if other_tip { OTHER_TIP } else { 0 } | if other_lib { OTHER_LIB } else { 0 };
        bytes.push(step | flags);
        bytes.extend(cursor.block.id.0);
        if other_tip {
            bytes.extend(cursor.tip.id.0);
        }
        if other_lib {
            bytes.extend(cursor.lib.to_be_bytes());
        }
        self.seal_content(CursorKind::Stream, &bytes)
    }

    /// The text of a position of any kind.
    pub fn seal_content(&self, kind: CursorKind, content: &[u8]) -> String {
        let Secret { mac, fingerprint } = &self.sealing;
        let mut bytes = [&[kind as u8], &fingerprint[..], content].concat();
        let tag = mac.clone().chain_update(&bytes).finalize().into_bytes();
        bytes.extend(&tag[..TAG_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the text of a cursor.
    ///
    /// # Errors
    /// [`Error::CursorMalformed`], [`Error::CursorVersion`], [`Error::CursorForeign`].
    pub fn open_cursor(&self, text: &str) -> Result<Cursor> {
        let malformed = || Error::CursorMalformed;
        let content = self.open_content(CursorKind::Stream, text)?;
        let (&flags, mut body) = content.split_first().ok_or_else(malformed)?;

        // Authentic: what follows fails for no text that was sealed.
        let step = match flags & 3 {
            1 => Step::New,
            2 => Step::Undo,
            3 => Step::Irreversible,
            _ => return Err(malformed()),
        };
        let mut block = || {
            let (id, rest) = body.split_first_chunk::<32>()?;
            body = rest;
            let id = dfuse_antelope::Checksum(*id);
            Some(BlockRef { number: id.block_num(), id })
        };
        let at = block().ok_or_else(malformed)?;
        let tip = if flags & OTHER_TIP == 0 { at } else { block().ok_or_else(malformed)? };
        let lib = match (flags & OTHER_LIB, body) {
            (0, []) => at.number,
            (OTHER_LIB, &[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
            _ => return Err(malformed()),
        };
        Ok(Cursor { step, block: at, tip, lib })
    }

    /// Reads a text of [`CursorKey::seal_content`].
    ///
    /// # Errors
    /// [`Error::CursorMalformed`], [`Error::CursorVersion`], [`Error::CursorForeign`].
    pub fn open_content(&self, kind: CursorKind, text: &str) -> Result<Vec<u8>> {
        let malformed = || Error::CursorMalformed;
        if text.len() > MAX_TEXT {
            return Err(malformed());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed())?;
        match bytes.first() {
            Some(found) if *found == kind as u8 => {}
            Some(&found) if bytes.len() > HEADER_BYTES + TAG_BYTES => return Err(Error::CursorVersion(found)),
            _ => return Err(malformed()),
        }
        let (sealed, tag) = bytes.len().checked_sub(TAG_BYTES).map(|at| bytes.split_at(at)).ok_or_else(malformed)?;
        let (header, content) = sealed.split_at_checked(HEADER_BYTES).ok_or_else(malformed)?;
        let mut known = std::iter::once(&self.sealing).chain(&*self.others);
        let secret = known.find(|secret| header[1..] == secret.fingerprint).ok_or(Error::CursorForeign)?;
        secret.mac.clone().chain_update(sealed).verify_truncated_left(tag).map_err(|_| malformed())?;
        Ok(content.to_vec())
    }
}

fn unusable(path: &Path, why: &dyn fmt::Display) -> Error {
    Error::Usage(format!("{}: {why}", path.display()))
}

/// The key in a file, if there is one.
fn read_key(path: &Path) -> Result<Option<[u8; 32]>> {
    match std::fs::read(path) {
        Ok(key) => {
            let wrong = "not a key of 32 bytes; put it back from a copy, or remove it: cursors of clients end then";
            Ok(Some(key.try_into().map_err(|_| unusable(path, &wrong))?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, &error)),
    }
}

/// Readers find the whole key or none.
fn write_key(data_dir: &Path, path: &Path, key: &[u8]) -> std::io::Result<()> {
    let unfinished = data_dir.join("cursor.key.tmp");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(key)?;
    file.sync_all()?;
    std::fs::rename(unfinished, path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::id;

    #[derive(Debug)]
    struct Fixed(u8);

    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) -> Result<()> {
            bytes.fill(self.0);
            Ok(())
        }
    }

    fn block(number: u32) -> BlockRef {
        BlockRef { number, id: id(number, 0) }
    }

    fn cursor() -> impl Strategy<Value = Cursor> {
        let step = prop_oneof![Just(Step::New), Just(Step::Undo), Just(Step::Irreversible)];
        let other = |number: u32| prop_oneof![Just(number), any::<u32>()];
        (step, any::<u32>()).prop_flat_map(move |(step, at)| {
            (other(at), other(at)).prop_map(move |(tip, lib)| Cursor { step, block: block(at), tip: block(tip), lib })
        })
    }

    proptest! {
        #[test]
        fn round_trip(cursor in cursor(), key: [u8; 32]) {
            let key = CursorKey::new(key);
            let text = key.seal(&cursor);
            prop_assert!((72..=120).contains(&text.len()), "{}", text.len());
            prop_assert_eq!(key.open_cursor(&text).unwrap(), cursor);
        }

        #[test]
        fn any_text_is_an_error(text in ".{0,200}", key: [u8; 32]) {
            prop_assert!(CursorKey::new(key).open_cursor(&text).is_err());
        }

        #[test]
        fn any_bytes_are_an_error(mut bytes: Vec<u8>, known: bool) {
            let key = CursorKey::new([7; 32]);
            if known && bytes.len() > 5 {
                bytes[0] = CursorKind::Stream as u8;
                bytes[1..5].copy_from_slice(&key.sealing.fingerprint);
            }
            prop_assert!(key.open_cursor(&URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }
    }

    #[test]
    fn a_changed_bit_is_an_error() {
        let key = CursorKey::new([7; 32]);
        for cursor in [
            Cursor { step: Step::New, block: block(5), tip: block(5), lib: 5 },
            Cursor { step: Step::Irreversible, block: block(5), tip: block(9), lib: 4 },
        ] {
            let text = key.seal(&cursor);
            let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            for bit in 0..bytes.len() * 8 {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let error = key.open_cursor(&URL_SAFE_NO_PAD.encode(&changed)).unwrap_err();
                match bit / 8 {
                    0 => assert!(matches!(error, Error::CursorVersion(_)), "{bit}: {error}"),
                    1..5 => assert!(matches!(error, Error::CursorForeign), "{bit}: {error}"),
                    _ => assert!(matches!(error, Error::CursorMalformed), "{bit}: {error}"),
                }
            }
            for cut in 0..text.len() {
                assert!(key.open_cursor(&text[..cut]).is_err());
            }
            assert!(key.open_cursor(&format!("{text}=")).is_err());
            assert!(matches!(CursorKey::new([8; 32]).open_cursor(&text), Err(Error::CursorForeign)));
        }
    }

    #[test]
    fn machines_share_keys() {
        let folder = tempfile::tempdir().unwrap();
        let cursor = Cursor { step: Step::New, block: block(5), tip: block(5), lib: 2 };
        let own = CursorKey::open(folder.path(), &Fixed(3)).unwrap().seal(&cursor);
        let before = CursorKey::new([1; 32]).seal(&cursor);
        let shared = CursorKey::shared(folder.path(), &[[2; 32], [1; 32]]).unwrap().unwrap();
        let other = tempfile::tempdir().unwrap();
        let elsewhere = CursorKey::shared(other.path(), &[[1; 32], [2; 32]]).unwrap().unwrap();
        for text in [&own, &before, &shared.seal(&cursor), &elsewhere.seal(&cursor)] {
            assert_eq!(shared.open_cursor(text).unwrap(), cursor);
        }
        assert_eq!(shared.seal(&cursor), CursorKey::new([2; 32]).seal(&cursor), "the first seals");
        assert!(matches!(elsewhere.open_cursor(&own), Err(Error::CursorForeign)), "that of another directory");
        assert!(CursorKey::shared(folder.path(), &[]).unwrap().is_none());
        assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0, "no key is made");
    }

    #[test]
    fn the_key_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let cursor = Cursor { step: Step::New, block: block(5), tip: block(5), lib: 2 };
        let text = CursorKey::open(&data_dir, &Fixed(3)).unwrap().seal(&cursor);
        let again = CursorKey::open(&data_dir, &Fixed(4)).unwrap();
        assert_eq!(again.open_cursor(&text).unwrap(), cursor);
        assert_eq!(format!("{again:?}"), "CursorKey");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(data_dir.join(KEY_FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(data_dir.join(KEY_FILE), [1; 31]).unwrap();
        assert!(CursorKey::open(&data_dir, &Fixed(3)).unwrap_err().to_string().contains("cursor.key: not a key"));
    }
}
