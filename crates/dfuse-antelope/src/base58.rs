//! Base58 in Bitcoin's alphabet, as keys and signatures are written.
//!
//! Works on limbs of five characters and 32-bit words instead of single characters and bytes, which is an order of
//! magnitude less work for a signature. The time is quadratic in the length: callers bound it.

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// Marks a byte outside [`ALPHABET`].
const NONE: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut i = 0;
    while i < ALPHABET.len() {
        values[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// Characters per limb, and the base that makes: the most that leaves `limb * 2^32 + carry` in 64 bits.
const LIMB_CHARS: usize = 5;
const LIMB_BASE: u64 = 58u64.pow(LIMB_CHARS as u32);

/// Limbs or words that fit on the stack: enough for a signature of 65 bytes with its checksum.
const INLINE: usize = 24;

/// Appends the text of `bytes` to `out`.
pub fn encode_to(bytes: &[u8], out: &mut Vec<u8>) {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    let bytes = &bytes[zeros..];
    // A limb holds more than 29 bits.
    with_scratch(bytes.len() * 8 / 29 + 1, |limbs| {
        let mut used = 0;
        let mut push = |word: u32| {
            let mut carry = u64::from(word);
            for limb in &mut limbs[..used] {
                let value = (u64::from(*limb) << 32) + carry;
                *limb = (value % LIMB_BASE) as u32;
                carry = value / LIMB_BASE;
            }
            while carry > 0 {
                limbs[used] = (carry % LIMB_BASE) as u32;
                carry /= LIMB_BASE;
                used += 1;
            }
        };
        let (first, words) = bytes.split_at(bytes.len() % 4);
        push(first.iter().fold(0, |word, &byte| word << 8 | u32::from(byte)));
        for word in words.as_chunks().0 {
            push(u32::from_be_bytes(*word));
        }

        let start = out.len();
        out.resize(start + zeros + used * LIMB_CHARS, ALPHABET[0]);
        let (chars, _) = out[start + zeros..].as_chunks_mut::<LIMB_CHARS>();
        for (chars, limb) in chars.iter_mut().zip(limbs[..used].iter().rev()) {
            let mut rest = *limb;
            for char in chars.iter_mut().rev() {
                *char = ALPHABET[rest as usize % 58];
                rest /= 58;
            }
        }
        let padding = chars.first().map_or(0, |chars| chars.iter().take_while(|&&char| char == ALPHABET[0]).count());
        out.drain(start..start + padding);
    });
}

/// The bytes that `text` stands for, or none when a character is not of the alphabet.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let zeros = text.iter().take_while(|&&char| char == ALPHABET[0]).count();
    let text = &text[zeros..];
    // Five characters hold less than 30 bits, and the first word may be partly filled.
    with_scratch(text.len().div_ceil(LIMB_CHARS) * 30 / 32 + 1, |words| {
        let mut used = 0;
        let mut push = |chars: &[u8]| {
            let mut carry = chars.iter().try_fold(0, |value, &char| match VALUES[usize::from(char)] {
                NONE => None,
                digit => Some(value * 58 + u64::from(digit)),
            })?;
            for word in &mut words[..used] {
                let value = u64::from(*word) * LIMB_BASE + carry;
                *word = value as u32;
                carry = value >> 32;
            }
            if carry > 0 {
                words[used] = carry as u32;
                used += 1;
            }
            Some(())
        };
        let (first, limbs) = text.split_at(text.len() % LIMB_CHARS);
        push(first)?;
        for limb in limbs.chunks_exact(LIMB_CHARS) {
            push(limb)?;
        }

        let mut bytes = vec![0; zeros];
        if let Some((first, words)) = words[..used].split_last() {
            bytes.reserve(used * 4);
            bytes.extend_from_slice(&first.to_be_bytes()[first.leading_zeros() as usize / 8..]);
            bytes.extend(words.iter().rev().flat_map(|word| word.to_be_bytes()));
        }
        Some(bytes)
    })
}

/// Runs `body` with `count` zeros, without allocating for few.
fn with_scratch<T>(count: usize, body: impl FnOnce(&mut [u32]) -> T) -> T {
    if count <= INLINE { body(&mut [0; INLINE]) } else { body(&mut vec![0; count]) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(bytes: &[u8]) -> String {
        let mut out = b">".to_vec();
        encode_to(bytes, &mut out);
        String::from_utf8(out).unwrap()[1..].to_owned()
    }

    #[test]
    fn extremes() {
        for length in 0..200 {
            for byte in [0, 1, 0x7f, 0xff] {
                let bytes = vec![byte; length];
                assert_eq!(encode(&bytes), bs58::encode(&bytes).into_string());
                assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
            }
            let text = "z".repeat(length);
            assert_eq!(decode(text.as_bytes()).unwrap(), bs58::decode(&text).into_vec().unwrap());
        }
    }

    #[test]
    fn characters_outside_the_alphabet_are_refused() {
        for char in ["0", "O", "I", "l", " ", "\u{e9}", "\0"] {
            assert_eq!(decode(format!("2{char}").as_bytes()), None);
            assert_eq!(decode(format!("2222{char}22222").as_bytes()), None);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_reference(zeros in 0usize..4, rest: Vec<u8>) {
            let mut bytes = vec![0; zeros];
            bytes.extend(rest);
            let text = encode(&bytes);
            prop_assert_eq!(&text, &bs58::encode(&bytes).into_string());
            prop_assert_eq!(decode(text.as_bytes()), Some(bytes));
        }

        #[test]
        fn reads_what_the_reference_reads(text in "[1-9A-HJ-NP-Za-km-z]{0,120}") {
            prop_assert_eq!(decode(text.as_bytes()), Some(bs58::decode(&text).into_vec().unwrap()));
        }
    }
}
