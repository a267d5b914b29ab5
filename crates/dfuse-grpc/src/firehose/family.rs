//! Cursors of other servers of the Firehose family, so that a client can come from one of them.
//!
//! Their text is base64url with padding of a NaCl secretbox whose key and nonce are the same everywhere: it hides, and protects
//! nothing. Inside are numbers and ids between colons:
//!
//! | form | content |
//! |---|---|
//! | `c1` | step, block, LIB: the block is the head |
//! | `c2` | step, block, head: the block is the LIB |
//! | `c3` | step, block, head, LIB |

use base64::{Engine, engine::general_purpose::URL_SAFE};
use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
use dfuse_antelope::Checksum256;
use dfuse_blocks::BlockRef;

const KEY: [u8; 32] = [
    0x7b, 0xfc, 0xac, 0xee, 0x25, 0x74, 0x09, 0x09, 0x9e, 0xdd, 0x2b, 0xb6, 0xa4, 0x42, 0x63, 0x8b, 0x55, 0x9a, 0x80,
    0xbf, 0xbf, 0xc0, 0xb9, 0xac, 0xde, 0xa0, 0xd8, 0x34, 0x4b, 0x10, 0xeb, 0x00,
];
const NONCE: [u8; 24] = [
    0x26, 0x15, 0x54, 0xc4, 0x5a, 0xb9, 0xb7, 0x52, 0xab, 0xad, 0x4f, 0x19, 0xc2, 0x42, 0x60, 0x57, 0x02, 0xd5, 0x5a,
    0x0d, 0x91, 0x61, 0x6a, 0x1b,
];
/// A text longer than any cursor is not decoded.
const MAX_TEXT: usize = 512;

/// What a client had when it got the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FamilyCursor {
    pub(super) step: FamilyStep,
    pub(super) block: BlockRef,
    /// Up to here blocks were final for the client.
    pub(super) lib: BlockRef,
}

/// What happened to the block of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FamilyStep {
    /// It was new, and final at once or not.
    New,
    /// It was undone.
    Undo,
    /// It became final.
    Final,
}

impl FamilyCursor {
    /// Reads the text of a cursor. Absent if it is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let sealed = URL_SAFE.decode(text).ok()?;
        let plain = XSalsa20Poly1305::new(&KEY.into()).decrypt(&NONCE.into(), &*sealed).ok()?;
        Self::parse(std::str::from_utf8(&plain).ok()?)
    }

    fn parse(plain: &str) -> Option<Self> {
        let parts: Vec<_> = plain.split(':').collect();
        let (step, block, lib) = match parts[..] {
            ["c1", step, number, id, lib_number, lib_id] => {
                (step, block_ref(number, id)?, block_ref(lib_number, lib_id)?)
            }
            ["c2", step, number, id, head_number, head_id] => {
                block_ref(head_number, head_id)?;
                let block = block_ref(number, id)?;
                (step, block, block)
            }
            ["c3", step, number, id, head_number, head_id, lib_number, lib_id] => {
                block_ref(head_number, head_id)?;
                (step, block_ref(number, id)?, block_ref(lib_number, lib_id)?)
            }
            _ => return None,
        };
        let step = match step {
            "1" | "17" => FamilyStep::New,
            "2" => FamilyStep::Undo,
            "16" => FamilyStep::Final,
            _ => return None,
        };
        (lib.number <= block.number).then_some(Self { step, block, lib })
    }
}

/// A block whose id carries its number.
fn block_ref(number: &str, id: &str) -> Option<BlockRef> {
    let number = number.parse().ok()?;
    let id: Checksum256 = id.parse().ok()?;
    (id.block_num() == number).then_some(BlockRef { number, id })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seal(plain: &str) -> String {
        URL_SAFE.encode(XSalsa20Poly1305::new(&KEY.into()).encrypt(&NONCE.into(), plain.as_bytes()).unwrap())
    }

    fn block(number: u32, filling: u8) -> BlockRef {
        let mut id: Checksum256 = dfuse_antelope::Checksum([filling; 32]);
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        BlockRef { number, id }
    }

    #[test]
    fn cursors_of_the_family_are_read() {
        let (a, l, h) = (block(0x16d, 0xaa), block(0x159, 0xbb), block(0x16e, 0xcc));
        for (plain, beginning, length, step, at, lib) in [
            (
                format!("c1:1:365:{}:345:{}", a.id, l.id),
                "6Y4uV_96RPyq1fMYRXNVPaWwLpcyBVxqXwvlKhFBhI2ioSOU",
                212,
                FamilyStep::New,
                a,
                l,
            ),
            (
                format!("c2:16:345:{}:365:{}", l.id, a.id),
                "QBEIs3wwcVoG_gGJPKLVlKWzLpc-DFlrUAHlKhFBhYrz-SCX",
                212,
                FamilyStep::Final,
                l,
                l,
            ),
            (
                format!("c3:2:365:{}:366:{}:345:{}", a.id, h.id, l.id),
                "JRiy-GQIHTwBoZb73xl4H6WyLpQyBVxqXwvlKhFBhI2ioSOU",
                304,
                FamilyStep::Undo,
                a,
                l,
            ),
            (
                format!("c1:17:345:{}:345:{}", l.id, l.id),
                "FnnmlTrFfTj8XTPSRiGDmKWwLpc_DFlrUAHlKhFBhYrz-SCX",
                212,
                FamilyStep::New,
                l,
                l,
            ),
        ] {
            let text = seal(&plain);
            assert_eq!((&text[..48], text.len()), (beginning, length), "{plain}");
            assert_eq!(FamilyCursor::read(&text), Some(FamilyCursor { step, block: at, lib }), "{plain}");
        }
        assert_eq!(seal(""), "9hd1ai3EX1dUhNPvo0dj0Q==");
        assert_eq!(seal("blah:super:secret"), "xE77fJ_z6Z7UXwyx-e0kWqTtdc4yRR8vAEnvaUQSx96y");
    }

    #[test]
    fn what_contradicts_itself_is_none() {
        let (a, l) = (block(0x16d, 0xaa).id, block(0x159, 0xbb).id);
        for plain in [
            String::new(),
            format!("c1:1:365:{a}:345"),
            format!("c4:1:365:{a}:345:{l}"),
            format!("c1:3:365:{a}:345:{l}"),
            format!("c1:1:366:{a}:345:{l}"),
            format!("c1:1:345:{l}:365:{a}"),
            format!("c1:1:365:{}:345:{l}", &a.to_string()[..60]),
            format!("c1:1:-365:{a}:345:{l}"),
        ] {
            assert_eq!(FamilyCursor::read(&seal(&plain)), None, "{plain}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_none(text in ".{0,600}", plain in "(c[1-4])?(:[0-9a-f]{0,64}){0,9}") {
            let _ = (FamilyCursor::read(&text), FamilyCursor::read(&seal(&plain)));
        }
    }
}
