//! Fields that can be searched, and how a field with a value becomes the key of a term.

use std::ops::RangeInclusive;

use dfuse_antelope::Checksum256;

/// Longest value in bytes of which the key of a term has every byte.
pub const MAX_VALUE_BYTES: usize = 64;
/// How many bytes of a longer value the key has, before a digest of the whole. Also the longest prefix that can be looked
/// for.
pub const MAX_PREFIX_BYTES: usize = 32;
/// Longest path below `data.` or `event.` in bytes; what is deeper is not indexed.
pub const MAX_PATH_BYTES: usize = 128;

/// Ends a path or a value in a key. Within them, 0 and 1 are written as two bytes that begin with [`ESCAPE`].
pub(crate) const END: u8 = 0;
const ESCAPE: u8 = 1;
/// After [`ESCAPE`]: a digest stands for the rest of the value.
const DIGEST: u8 = 3;

/// Key of the list of all indexed actions.
pub(crate) const INDEXED: &[u8] = &[0x01, END];
/// Key of the list of actions with which transactions begin.
pub(crate) const TRANSACTION_START: &[u8] = &[0x02, END];
/// First byte of the key of "the field has a value".
pub(crate) const PRESENCE: u8 = 0x03;

/// A field that can be searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    Receiver,
    Account,
    Action,
    Auth,
    Scheduled,
    Notif,
    Input,
    Status,
    RamConsumed,
    RamReleased,
    DbTable,
    DbKey,
    ActDigest,
    /// Decoded action data, with the path to a value.
    Data(String),
    /// A dfuse event, with its key.
    Event(String),
    BlockNum,
    TrxIdx,
}

/// How values of a field are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// As text.
    Text,
    /// As text that every action has.
    Always,
    /// There is a term for `true` only.
    Flag,
    /// As a number: no term.
    Number,
}

const NAMES: [(&str, Field); 15] = [
    ("receiver", Field::Receiver),
    ("account", Field::Account),
    ("action", Field::Action),
    ("auth", Field::Auth),
    ("scheduled", Field::Scheduled),
    ("notif", Field::Notif),
    ("input", Field::Input),
    ("status", Field::Status),
    ("ram.consumed", Field::RamConsumed),
    ("ram.released", Field::RamReleased),
    ("db.table", Field::DbTable),
    ("db.key", Field::DbKey),
    ("act_digest", Field::ActDigest),
    ("block_num", Field::BlockNum),
    ("trx_idx", Field::TrxIdx),
];

impl Field {
    /// Whether it follows from operations of actions.
    pub(crate) fn is_of_operations(&self) -> bool {
        matches!(self, Self::RamConsumed | Self::RamReleased | Self::DbTable | Self::DbKey)
    }

    /// The field of that name in the query language.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let path = |path: &str| (!path.is_empty() && !path.starts_with('.')).then(|| path.to_owned());
        if let Some(rest) = name.strip_prefix("data.") {
            return path(rest).map(Self::Data);
        }
        if let Some(rest) = name.strip_prefix("event.") {
            return path(rest).map(Self::Event);
        }
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, field)| field.clone())
    }

    pub(crate) fn kind(&self) -> FieldKind {
        match self {
            Self::Scheduled | Self::Notif | Self::Input => FieldKind::Flag,
            Self::Receiver | Self::Account | Self::Action | Self::Status | Self::ActDigest => FieldKind::Always,
            Self::BlockNum | Self::TrxIdx => FieldKind::Number,
            _ => FieldKind::Text,
        }
    }

    /// First byte of its keys.
    fn code(&self) -> u8 {
        match self {
            Self::Receiver => 0x10,
            Self::Account => 0x11,
            Self::Action => 0x12,
            Self::Auth => 0x13,
            Self::Scheduled => 0x14,
            Self::Notif => 0x15,
            Self::Input => 0x16,
            Self::Status => 0x17,
            Self::RamConsumed => 0x18,
            Self::RamReleased => 0x19,
            Self::DbTable => 0x1a,
            Self::DbKey => 0x1b,
            Self::ActDigest => 0x1c,
            Self::Data(_) => 0x20,
            Self::Event(_) => 0x21,
            // Without terms.
            Self::BlockNum | Self::TrxIdx => 0xff,
        }
    }

    fn path(&self) -> Option<&str> {
        match self {
            Self::Data(path) | Self::Event(path) => Some(path),
            _ => None,
        }
    }

    /// Appends what the keys of all its terms begin with.
    pub(crate) fn put_start(&self, key: &mut Vec<u8>) {
        put_start(key, self.code(), self.path().map(str::as_bytes));
    }

    /// The key of a term.
    pub(crate) fn term(&self, value: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        self.put_start(&mut key);
        put_value(&mut key, value);
        key
    }

    /// What the keys of all values that begin so begin with; absent if the beginning is too long.
    pub(crate) fn terms_with_prefix(&self, prefix: &[u8]) -> Option<Vec<u8>> {
        let mut key = Vec::new();
        self.put_start(&mut key);
        escape(&mut key, prefix);
        (prefix.len() <= MAX_PREFIX_BYTES).then_some(key)
    }

    /// The key of "the field has a value".
    pub(crate) fn presence(&self) -> Vec<u8> {
        presence(self.code(), self.path().map(str::as_bytes))
    }
}

pub(crate) const DATA: u8 = 0x20;
pub(crate) const EVENT: u8 = 0x21;

/// Appends the first bytes of the keys of a field.
pub(crate) fn put_start(key: &mut Vec<u8>, code: u8, path: Option<&[u8]>) {
    key.push(code);
    if let Some(path) = path {
        escape(key, path);
        key.push(END);
    }
}

/// The key of "the field has a value".
pub(crate) fn presence(code: u8, path: Option<&[u8]>) -> Vec<u8> {
    let mut key = vec![PRESENCE];
    put_start(&mut key, code, path);
    key.push(END);
    key
}

/// Appends a value to the first bytes of its key.
pub(crate) fn put_value(key: &mut Vec<u8>, value: &[u8]) {
    if value.len() <= MAX_VALUE_BYTES {
        escape(key, value);
    } else {
        escape(key, &value[..MAX_PREFIX_BYTES]);
        key.extend([ESCAPE, DIGEST]);
        escape(key, &Checksum256::sha256(value).0[..16]);
    }
    key.push(END);
}

fn escape(key: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.iter().all(|byte| *byte > ESCAPE) {
        return key.extend_from_slice(bytes);
    }
    for byte in bytes {
        match byte {
            0 | 1 => key.extend([ESCAPE, 1 + byte]),
            _ => key.push(*byte),
        }
    }
}

/// A number, or a range of them: `5`, `5-9` with both ends, `5-` without end.
pub(crate) fn parse_numbers(text: &str) -> Option<RangeInclusive<u32>> {
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let (first, last) = match text.split_once('-') {
        None => (number(text)?, number(text)?),
        Some((first, "")) => (number(first)?, u32::MAX),
        Some((first, last)) => (number(first)?, number(last)?),
    };
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_fields() {
        for (name, field) in NAMES {
            assert_eq!(Field::parse(name), Some(field));
        }
        assert_eq!(Field::parse("data.from"), Some(Field::Data("from".into())));
        assert_eq!(Field::parse("event.a.b"), Some(Field::Event("a.b".into())));
        for name in ["", "data", "data.", "data..x", "event.", "ram", "Receiver"] {
            assert_eq!(Field::parse(name), None, "{name}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(parse_numbers("5"), Some(5..=5));
        assert_eq!(parse_numbers("5-9"), Some(5..=9));
        assert_eq!(parse_numbers("5-"), Some(5..=u32::MAX));
        for text in ["", "-", "-5", "9-5", "5-6-7", "+5", "4294967296", "x"] {
            assert_eq!(parse_numbers(text), None, "{text}");
        }
    }

    proptest! {
        /// No key begins with another, and short values keep their order.
        #[test]
        fn keys_are_told_apart(a: Vec<u8>, b: Vec<u8>, path in "[a-z.\\x00\\x01]{1,4}", other in "[a-z.\\x00\\x01]{1,4}") {
            let (field, second) = (Field::Data(path.clone()), Field::Data(other.clone()));
            let (x, y) = (field.term(&a), second.term(&b));
            prop_assert_eq!(x == y, (&path, &a) == (&other, &b));
            prop_assert!(x == y || !x.starts_with(&y) && !y.starts_with(&x));
            if path == other && a.len() <= MAX_VALUE_BYTES && b.len() <= MAX_VALUE_BYTES {
                prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            }
            let prefix = &a[..a.len().min(3)];
            let with = field.terms_with_prefix(prefix).unwrap();
            prop_assert!(x.starts_with(&with));
            prop_assert_eq!(field.term(&b).starts_with(&with), b.starts_with(prefix));
        }
    }
}
