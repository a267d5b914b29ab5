use std::{
    fmt::{Debug, Display},
    str::FromStr,
};

use dfuse_antelope::{
    Asset, Checksum256, Error, ExtendedAsset, Name, PrivateKey, PublicKey, Signature, Symbol, SymbolCode,
    raw::{Reader, Writer},
};

/// A name as text and as its eight bytes: both ways round, and only trailing dots are lost.
pub fn names(data: &[u8]) {
    if let Some(bytes) = data.first_chunk() {
        let name = Name(u64::from_le_bytes(*bytes));
        assert_text(&name);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(name) = text.parse::<Name>() {
        assert_eq!(name.to_string(), text.trim_end_matches('.'));
        assert_text(&name);
    }
}

/// Symbols and assets as text and as bytes. Any bytes have a text; it is read back exactly if the value is valid.
pub fn assets(data: &[u8]) {
    if let Ok(value) = assert_bytes(data, SymbolCode::read, |value, writer| value.write(writer)) {
        assert_eq!(value.to_string().parse() == Ok(value), value.is_valid());
    }
    if let Ok(value) = assert_bytes(data, Symbol::read, |value, writer| value.write(writer)) {
        assert_eq!(value.to_string().parse() == Ok(value), value.is_valid());
    }
    if let Ok(value) = assert_bytes(data, Asset::read, |value, writer| value.write(writer)) {
        assert_eq!(value.to_string().parse() == Ok(value), value.is_valid());
    }
    if let Ok(value) = assert_bytes(data, ExtendedAsset::read, |value, writer| value.write(writer)) {
        let json = serde_json::to_vec(&value).expect("every value has a JSON form");
        assert_eq!(serde_json::from_slice(&json).is_ok_and(|read: ExtendedAsset| read == value), value.is_valid());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(value) = text.parse::<SymbolCode>() {
        assert_eq!(value.to_string(), text);
    }
    if let Ok(value) = text.parse::<Symbol>() {
        assert_eq!(value.to_string(), text);
    }
    if let Ok(value) = text.parse::<Asset>() {
        assert!(value.is_valid());
        assert_text(&value);
    }
}

/// Keys and signatures as text and as bytes, both ways round; recovery from any signature; signing with any secret.
pub fn keys(data: &[u8]) {
    if let Ok(key) = assert_bytes(data, PublicKey::read, PublicKey::write) {
        assert_key(&key);
    }
    if let Ok(signature) = assert_bytes(data, Signature::read, Signature::write) {
        assert_text(&signature);
        let _ = signature.is_canonical();
        if let Ok(key) = signature.recover(&Checksum256::sha256(data)) {
            assert_key(&key);
        }
    }
    if let Ok(secret) = data.try_into() {
        PrivateKey::k1(secret).iter().chain(&PrivateKey::r1(secret)).for_each(assert_signs);
    }

    let Ok(text) = std::str::from_utf8(data) else { return };
    text.parse::<PublicKey>().iter().for_each(assert_key);
    text.parse::<Signature>().iter().for_each(assert_text);
    text.parse::<PrivateKey>().iter().for_each(assert_signs);
}

fn assert_key(key: &PublicKey) {
    assert_text(key);
    assert_eq!(key.to_prefixed_text().parse().as_ref(), Ok(key));
}

fn assert_signs(key: &PrivateKey) {
    let digest = Checksum256::sha256(b"digest");
    let signature = key.sign(&digest);
    assert!(signature.is_canonical());
    assert_eq!(signature.recover(&digest), Ok(key.public_key()));
    assert!(key.to_secret_text().parse().as_ref() == Ok(key));
    assert!(key.to_wif().is_none_or(|text| text.parse().as_ref() == Ok(key)));
}

/// What is printed is read back.
fn assert_text<T: Display + Debug + FromStr<Err = Error> + PartialEq>(value: &T) {
    assert_eq!(value.to_string().parse().as_ref(), Ok(value));
}

/// The value at the front of `data`, which must be the same when it is written and read again.
fn assert_bytes<T: Debug + PartialEq>(
    data: &[u8],
    read: impl Fn(&mut Reader<'_>) -> Result<T, Error>,
    write: impl Fn(&T, &mut Writer),
) -> Result<T, Error> {
    let value = read(&mut Reader::new(data))?;
    let mut writer = Writer::new();
    write(&value, &mut writer);
    let mut reader = Reader::new(&writer.bytes);
    assert_eq!(read(&mut reader).as_ref(), Ok(&value));
    assert!(reader.is_empty());
    Ok(value)
}
