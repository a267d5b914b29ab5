use dfuse_blocks::{CursorKey, CursorKind};
use dfuse_state::KeyType;

/// A primary key of any type: as text, what is read has a text that is read as the same key; of eight bytes, every text is
/// read back.
pub fn primary_keys(data: &[u8]) {
    if let Some(bytes) = data.first_chunk() {
        assert_texts(u64::from_le_bytes(*bytes));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    for kind in KeyType::ALL {
        match kind.parse(text) {
            Ok(key) => assert_texts(key),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn assert_texts(key: u64) {
    for kind in KeyType::ALL {
        assert_eq!(kind.parse(&kind.format(key)), Ok(key));
    }
}

/// Most bytes of a cursor's content, as long as those of any list.
const MAX_CONTENT: usize = 80;

/// The kind of a cursor, a position, and either a cursor's text, which is refused, or its content, which comes back from its
/// text and from no other.
pub fn cursors(data: &[u8]) {
    let [kind, position, data @ ..] = data else { return };
    let at = usize::from(*kind) % CursorKind::ALL.len();
    let kind = CursorKind::ALL[at];
    let key = CursorKey::new([7; 32]);
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(key.open_content(kind, text).is_err());
        assert!(key.open_cursor(text).is_err());
    }
    let content = &data[..data.len().min(MAX_CONTENT)];
    let sealed = key.seal_content(kind, content);
    assert_eq!(key.open_content(kind, &sealed).as_deref().ok(), Some(content));
    assert!(key.open_content(CursorKind::ALL[(at + 1) % CursorKind::ALL.len()], &sealed).is_err());
    let mut other = sealed.into_bytes();
    let at = usize::from(*position) % other.len();
    other[at] = if other[at] == b'A' { b'B' } else { b'A' };
    let other = String::from_utf8(other).expect("letters");
    assert!(key.open_content(kind, &other).is_err());
}
