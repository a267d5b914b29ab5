use std::fmt::Debug;

use proptest::prelude::*;

use super::*;
use crate::{Checksum, Checksum256};
use crate::{
    Error, Result,
    raw::{Reader, Writer},
};

const DEVELOPMENT_WIF: &str = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3";
const DEVELOPMENT_KEY: &str = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV";

fn packed<T>(value: &T, write: impl FnOnce(&T, &mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(value, &mut writer);
    writer.bytes
}

/// What must hold for each key and signature: it comes back from its bytes, its text and its JSON, and no shorter or
/// longer bytes are it.
fn round_trips<T>(value: &T, read: impl Fn(&mut Reader<'_>) -> Result<T>, write: impl Fn(&T, &mut Writer))
where
    T: PartialEq + Debug + ToString + std::str::FromStr<Err = Error> + serde::Serialize + serde::de::DeserializeOwned,
{
    let bytes = packed(value, write);
    let mut reader = Reader::new(&bytes);
    assert_eq!(read(&mut reader).as_ref(), Ok(value));
    assert!(reader.is_empty());
    assert!(matches!(read(&mut Reader::new(&bytes[..bytes.len() - 1])), Err(Error::Truncated { .. })));

    let text = value.to_string();
    assert_eq!(text.parse().as_ref(), Ok(value));
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value);
}

#[test]
fn development_key() {
    let private: PrivateKey = DEVELOPMENT_WIF.parse().unwrap();
    let public = private.public_key();
    assert_eq!(public.to_string(), DEVELOPMENT_KEY);
    assert_eq!(public.to_prefixed_text(), "PUB_K1_6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5BoDq63");
    assert_eq!(public.to_prefixed_text().parse(), Ok(public));
    assert_eq!(private.to_wif().unwrap(), DEVELOPMENT_WIF);
    assert_eq!(private.to_secret_text().parse(), Ok(private));
}

#[test]
fn r1_key() {
    let text = "PVT_R1_iyQmnyPEGvFd8uffnk152WC2WryBjgTrg22fXQryuGL9mU6qW";
    let private: PrivateKey = text.parse().unwrap();
    let public = private.public_key();
    assert_eq!(public.to_string(), "PUB_R1_6EPHFSKVYHBjQgxVGQPrwCxTg7BbZ69H9i4gztN9deKTEXYne4");
    assert_eq!(public.to_prefixed_text(), public.to_string());
    assert_eq!(private.to_secret_text(), text);
    assert_eq!(private.to_wif(), None);
}

#[test]
fn key_of_zeros() {
    assert_eq!(PublicKey::default().to_string(), "EOS1111111111111111111111111111111114T1Anm");
    round_trips(&PublicKey::default(), PublicKey::read, PublicKey::write);
    assert!(Signature::default().recover(&Checksum256::default()).is_err());
}

#[test]
fn webauthn_key() {
    let text = "PUB_WA_WdCPfafVNxVMiW5ybdNs83oWjenQXvSt1F49fg9mv7qrCiRwHj5b38U3ponCFWxQTkDsMC";
    let key: PublicKey = text.parse().unwrap();
    assert_eq!(
        const_hex::encode(packed(&key, PublicKey::write)),
        "020220b9dab512e892392a44a9f41f9433c9fbd80db864e9df5889c2407db3acbb9f010d6b656f73642e696e76616c6964"
    );
    assert_eq!(key.to_string(), text);
}

/// Transactions of a Leap 4.1 chain, by the development key and by an R1 key.
#[test]
fn recorded_signatures() {
    for (signature, digest, key) in [
        (
            "SIG_K1_JxLti9hgiCJ5Bu3CFTr7saFnCg37CLtommkLQiQrzFABmnkKppvnk4TkxXUkocGygmwdXZyt7v6ngo2jXyRqsumLQQycZU",
            "d1b98f6ac9207014bd1b70765a5ef4a4fff779300f51fe90aea4f95d70bfe82a",
            DEVELOPMENT_KEY,
        ),
        (
            "SIG_R1_K7N5d2hgxeZnzYuvUiHnU73mJ9RYgqY1Eo7aYRCnaJG89W7PiPfMwXFC5XHdWgfdUgvjFdx2AsLVJRvucWJTZd2h8FFNY8",
            "3020a8271c2fc42709731621c89a01dcdc81893f0b88af6bf2c043cd274d7d52",
            "PUB_R1_6JJ5zYcAtrzG4MazxiSpiHG8XedE6sAZPJmGC8Jk9hpFvJSoUs",
        ),
        // A browser's signature of 32 bytes 0x42.
        (
            "SIG_WA_PAmH7fjMVadx19QK8jQooKFsL8szj81CFMPAfAuZ9GkSPQczccCEVCuMKAFS9YP7CvkmzXYULYxvdBMx3Chi9Ld2tPkvtbC6TE\
             YY3QS7fDmZLBQjPCatUncLQneG97KMPCohZzuUyTzr1ojbufyBJ65BNRrYSVQynzcJoVXuym8DLhm5HZf23UdKmb79rGCYkwP4xWeEgowa\
             rGmnnxvMsjfRxTrQHeh67TMKiVkz8r8unHh7Zkf5jTPVsKXjSTjEYuwj4aBWpSEXkVvYcWZ3wbSKs9gHjKjY8m22Qeye45D1NQe7vKR",
            "4242424242424242424242424242424242424242424242424242424242424242",
            "PUB_WA_2NVXH8vKM57G6raNdktPvTuMxBM9EeuK8uquDGhaXPfMV7SMFd4dUgza7xGStLnVJs5Xdhhm5fs",
        ),
    ] {
        let signature: Signature = signature.parse().unwrap();
        assert!(signature.is_canonical());
        assert_eq!(signature.recover(&digest.parse().unwrap()).unwrap().to_string(), key);
        assert_ne!(signature.recover(&Checksum([1; 32])).map(|key| key.to_string()), Ok(key.to_owned()));
        round_trips(&signature, Signature::read, Signature::write);
        round_trips(&key.parse().unwrap(), PublicKey::read, PublicKey::write);
    }
}

#[test]
fn invalid_text_is_an_error() {
    for (text, why) in [
        ("", "begins with"),
        ("FIO6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV", "begins with"),
        ("PUB_R1_6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5BoDq63", "checksum"),
        ("PUB_K1_6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV", "checksum"),
        ("EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CW", "checksum"),
        ("EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5C0", "alphabet"),
        ("EOS", "too short"),
        ("EOS111", "too short"),
    ] {
        let error = text.parse::<PublicKey>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    // The checksum is right, the rest is not.
    for (bytes, prefix, suffix) in
        [(32, "EOS", ""), (34, "PUB_R1_", "R1"), (35, "PUB_WA_", "WA"), (64, "SIG_K1_", "K1")]
    {
        let mut text = Vec::new();
        checked::write_to(prefix, suffix, &vec![0; bytes], &mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(text.parse::<PublicKey>().is_err() && text.parse::<Signature>().is_err(), "{text}");
    }
    for (prefix, length) in [("EOS", 100), ("PUB_WA_", 30_000)] {
        let long = format!("{prefix}{}", "2".repeat(length));
        assert!(long.parse::<PublicKey>().unwrap_err().to_string().contains("too long"));
    }
}

#[test]
fn invalid_bytes_are_an_error() {
    let mut bytes = vec![3; 200_000];
    assert!(PublicKey::read(&mut Reader::new(&bytes)).unwrap_err().to_string().contains("kind 3"));
    assert!(Signature::read(&mut Reader::new(&bytes)).unwrap_err().to_string().contains("kind 3"));
    // A domain of no bytes and of more than the limit.
    bytes[0] = 2;
    bytes[35] = 0;
    assert!(matches!(PublicKey::read(&mut Reader::new(&bytes)), Err(Error::Invalid { .. })));
    bytes[35..38].copy_from_slice(&[0x81, 0x80, 1]);
    assert!(matches!(PublicKey::read(&mut Reader::new(&bytes)), Err(Error::Limit { .. })));
}

#[test]
fn largest_values_round_trip() {
    let part = || vec![0xff; MAX_WEBAUTHN_BYTES].into();
    let key = WebAuthnKey { point: [0xff; 33], user_presence: 0xff, rpid: part() };
    round_trips(&PublicKey::WebAuthn(Box::new(key)), PublicKey::read, PublicKey::write);
    let signature = WebAuthnSignature { compact: [0xff; 65], auth_data: part(), client_json: part() };
    round_trips(&Signature::WebAuthn(Box::new(signature)), Signature::read, Signature::write);
}

#[test]
fn private_keys_do_not_show() {
    let private: PrivateKey = DEVELOPMENT_WIF.parse().unwrap();
    assert_eq!(format!("{private:?}"), format!("PrivateKey of {DEVELOPMENT_KEY}"));
    for damaged in
        [DEVELOPMENT_WIF.replace('w', "W"), DEVELOPMENT_WIF.replace('w', "0"), format!("PVT_K1_{DEVELOPMENT_WIF}")]
    {
        let error = damaged.parse::<PrivateKey>().unwrap_err().to_string();
        assert!(!error.contains(&damaged[10..20]), "{error}");
    }
    assert!(PrivateKey::k1(&[0; 32]).is_err());
    assert!(PrivateKey::r1(&[0xff; 32]).is_err());
}

/// What an authenticator would make of `digest`.
fn webauthn_signature(private: &PrivateKey, digest: &Checksum256, flags: u8, origin: &str, rpid: &str) -> Signature {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest.0);
    let client_json =
        format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"{origin}","extra":{{"origin":1}}}}"#);
    let mut auth_data = Checksum256::sha256(rpid.as_bytes()).0.to_vec();
    auth_data.extend_from_slice(&[flags, 0, 0, 0, 9]);
    let client_hash = Checksum256::sha256(client_json.as_bytes());
    let Signature::R1(compact) = private.sign(&Checksum256::sha256(&[&auth_data[..], &client_hash.0].concat())) else {
        panic!("an R1 key makes R1 signatures");
    };
    let client_json = client_json.into_bytes().into();
    Signature::WebAuthn(Box::new(WebAuthnSignature { compact, auth_data: auth_data.into(), client_json }))
}

#[test]
fn webauthn_recovery_checks_what_nodeos_checks() {
    let private = PrivateKey::r1(&[7; 32]).unwrap();
    let PublicKey::R1(point) = private.public_key() else { panic!("an R1 key has an R1 key") };
    let digest = Checksum([5; 32]);
    for (flags, user_presence) in [(0, 0), (1, 1), (4, 2), (5, 2), (0xfa, 0)] {
        for origin in ["https://wallet.example", "https://wallet.example:8443"] {
            let signature = webauthn_signature(&private, &digest, flags, origin, "wallet.example");
            let key = WebAuthnKey { point, user_presence, rpid: b"wallet.example"[..].into() };
            assert_eq!(signature.recover(&digest), Ok(PublicKey::WebAuthn(Box::new(key))));
        }
    }
    for (origin, rpid, why) in [
        ("http://wallet.example", "wallet.example", "not https"),
        ("https://other.example", "wallet.example", "domain"),
        ("https://", "", "domain"),
    ] {
        let error = webauthn_signature(&private, &digest, 1, origin, rpid).recover(&digest).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    let signature = webauthn_signature(&private, &digest, 1, "https://wallet.example", "wallet.example");
    assert!(signature.recover(&Checksum([6; 32])).unwrap_err().to_string().contains("challenge"));
    let Signature::WebAuthn(signature) = signature else { panic!("made above") };
    let damaged = |change: fn(&mut WebAuthnSignature)| {
        let mut signature = signature.clone();
        change(&mut signature);
        Signature::WebAuthn(signature).recover(&digest).unwrap_err().to_string()
    };
    assert!(damaged(|signature| signature.auth_data = signature.auth_data[..36].into()).contains("37 bytes"));
    assert!(damaged(|signature| signature.client_json = b"{".as_slice().into()).contains("JSON"));
    assert!(damaged(|signature| signature.client_json = b"{}".as_slice().into()).contains("webauthn.get"));
    assert!(damaged(|signature| signature.compact[0] -= 4).contains("no key"));
}

fn secret() -> impl Strategy<Value = [u8; 32]> {
    // Below the order of both curves, above zero.
    any::<[u8; 32]>().prop_map(|mut bytes| {
        bytes[0] &= 0x7f;
        bytes[31] |= 1;
        bytes
    })
}

fn webauthn_part() -> impl Strategy<Value = Box<[u8]>> {
    proptest::collection::vec(any::<u8>(), 1..300).prop_map(Into::into)
}

proptest! {
    #[test]
    fn public_keys_round_trip(
        point in any::<[u8; 32]>(),
        sign: u8,
        user_presence: u8,
        rpid in webauthn_part(),
    ) {
        let mut bytes = [sign; 33];
        bytes[1..].copy_from_slice(&point);
        let point = bytes;
        for key in [
            PublicKey::K1(point),
            PublicKey::R1(point),
            PublicKey::WebAuthn(Box::new(WebAuthnKey { point, user_presence, rpid })),
        ] {
            round_trips(&key, PublicKey::read, PublicKey::write);
            prop_assert_eq!(key.to_prefixed_text().parse(), Ok(key));
        }
    }

    #[test]
    fn signatures_round_trip(
        bytes in proptest::collection::vec(any::<u8>(), 65),
        auth_data in webauthn_part(),
        client_json in webauthn_part(),
        digest: [u8; 32],
    ) {
        let compact = bytes.try_into().unwrap();
        for signature in [
            Signature::K1(compact),
            Signature::R1(compact),
            Signature::WebAuthn(Box::new(WebAuthnSignature { compact, auth_data, client_json })),
        ] {
            round_trips(&signature, Signature::read, Signature::write);
            let _ = signature.recover(&Checksum(digest));
        }
    }

    #[test]
    fn damaged_text_is_refused(point in any::<[u8; 32]>(), at: prop::sample::Index, by in 1usize..58) {
        let mut bytes = [2; 33];
        bytes[1..].copy_from_slice(&point);
        for key in [PublicKey::K1(bytes), PublicKey::R1(bytes)] {
            let text = key.to_string();
            let at = at.index(text.len());
            let alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
            let place = alphabet.find(&text[at..=at]).unwrap_or_default();
            let other = &alphabet[(place + by) % 58..][..1];
            let damaged = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            if damaged != text {
                prop_assert!(damaged.parse::<PublicKey>().is_err(), "{}", damaged);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 1..200), kind in 0u8..4) {
        bytes[0] = kind;
        for size in 1..=bytes.len() {
            let _ = PublicKey::read(&mut Reader::new(&bytes[..size]));
            let _ = Signature::read(&mut Reader::new(&bytes[..size]));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_signer_is_recovered(secret in secret(), digest: [u8; 32]) {
        let digest = Checksum(digest);
        for private in [PrivateKey::k1(&secret).unwrap(), PrivateKey::r1(&secret).unwrap()] {
            let signature = private.sign(&digest);
            prop_assert!(signature.is_canonical());
            prop_assert_eq!(signature.recover(&digest), Ok(private.public_key()));
            prop_assert_eq!(signature, private.sign(&digest));
            prop_assert_eq!(private.to_secret_text().parse(), Ok(private.clone()));
            if let Some(wif) = private.to_wif() {
                prop_assert_eq!(wif.parse(), Ok(private));
            }
        }
    }
}
