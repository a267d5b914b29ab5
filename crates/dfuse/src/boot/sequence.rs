//! What a boot sequence says, before anything is done.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use dfuse_antelope::{Asset, Checksum256, Name, PrivateKey, PublicKey, abi::Abi};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny},
};
use serde_json::Value;
use url::Url;

use super::duration;
use crate::{failure::usage, migration::Contract};

/// A file that is no boot sequence is not read whole.
const MAX_BYTES: u64 = 16 << 20;
/// A WIF has 51 characters; one that was cut is as secret.
const SHORTEST_KEY: usize = 40;

/// `bootseq.yaml`.
#[derive(Debug)]
pub(super) struct Sequence {
    /// By name. Whatever the chain asks for is signed with these.
    keys: BTreeMap<String, Key>,
    contents: Vec<Content>,
    steps: Vec<Step>,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    keys: BTreeMap<String, Key>,
    #[serde(default, deserialize_with = "or_default")]
    contents: Vec<Content>,
    #[serde(default, deserialize_with = "or_default")]
    boot_sequence: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    op: String,
    #[serde(default, deserialize_with = "or_default")]
    label: String,
    #[serde(default)]
    data: Value,
}

/// A private key. No text of it gets anywhere.
#[derive(Clone)]
struct Key(PrivateKey);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A file with code or with an ABI.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    name: String,
    url: String,
    /// SHA-256 of the file, hex.
    #[serde(default)]
    hash: Option<Checksum256>,
}

/// An operation and what people call it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) operation: Operation,
    pub(super) label: String,
}

macro_rules! operations {
    ($($name:literal $variant:ident,)*) => {
        #[derive(Debug)]
        pub(super) enum Operation {
            $($variant($variant),)*
        }

        impl Operation {
            const NAMES: &[&str] = &[$($name),*];

            pub(super) fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            fn read(name: &str, data: Value) -> Result<Self, String> {
                match name {
                    $($name => serde_json::from_value(data).map(Self::$variant).map_err(|error| without_keys(&error)),)*
                    _ => Err(format!("there is no such operation; use one of {}", Self::NAMES.join(", "))),
                }
            }
        }
    };
}

operations! {
    "system.newaccount" NewAccount,
    "system.setcode" SetCode,
    "system.setabi" SetAbi,
    "system.setpriv" SetPriv,
    "system.setram" SetRam,
    "system.enable_protocol_features" EnableFeatures,
    "system.activate_protocol_features" ActivateFeatures,
    "system.init" Init,
    "system.pushtransaction" PushTransaction,
    "system.resign_accounts" ResignAccounts,
    "token.create" TokenCreate,
    "token.issue" TokenIssue,
    "token.transfer" TokenTransfer,
    "sleep" Sleep,
    "migration.inject" Inject,
}

macro_rules! data {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$attribute])* pub(super) $field: $type,)*
        }
    )*};
}

data! {
    NewAccount {
        creator: Name,
        new_account: Name,
        /// A public key, or the name of one of the keys.
        pubkey: String,
        #[serde(default, deserialize_with = "or_default")]
        ram_bytes: u32,
    }
    SetCode {
        account: Name,
        contract_name_ref: String,
    }
    SetAbi {
        account: Name,
        contract_name_ref: String,
    }
    SetPriv {
        account: Name,
    }
    SetRam {
        max_ram_size: u64,
    }
    ActivateFeatures {
        #[serde(default, deserialize_with = "or_default")]
        features: Vec<String>,
    }
    Init {
        #[serde(default, deserialize_with = "or_default")]
        version: u32,
        core: String,
    }
    PushTransaction {
        contract: Name,
        action: Name,
        #[serde(default)]
        payload: Value,
        actor: Name,
        #[serde(default = "active", deserialize_with = "or_active")]
        permission: Name,
    }
    ResignAccounts {
        #[serde(default, deserialize_with = "or_default")]
        accounts: Vec<Name>,
    }
    TokenCreate {
        account: Name,
        amount: Asset,
    }
    TokenIssue {
        account: Name,
        amount: Asset,
        #[serde(default, deserialize_with = "or_default")]
        memo: String,
    }
    TokenTransfer {
        from: Name,
        to: Name,
        quantity: Asset,
        #[serde(default, deserialize_with = "or_default")]
        memo: String,
    }
    Sleep {
        #[serde(deserialize_with = "duration::read")]
        duration: Duration,
    }
    Inject {
        account: Name,
        /// The directory of a contract, as `dfuse tools export` writes it, from the folder of the sequence.
        data_dir: PathBuf,
        /// A public key, or the name of one of the keys: that of accounts that are made, and of permissions.
        #[serde(default, deserialize_with = "or_default")]
        pubkey: Option<String>,
    }
}

/// Takes no data.
#[derive(Debug, Deserialize)]
#[serde(from = "Option<IgnoredAny>")]
pub(super) struct EnableFeatures;

impl From<Option<IgnoredAny>> for EnableFeatures {
    fn from(_: Option<IgnoredAny>) -> Self {
        Self
    }
}

pub(super) fn active() -> Name {
    Name::literal("active")
}

fn or_active<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(active))
}

/// What files hold.
#[derive(Debug)]
pub(super) struct Contents(BTreeMap<String, Vec<u8>>);

impl Sequence {
    /// Reads a file, and the revision that names its content.
    pub(super) fn read(file: &Path) -> anyhow::Result<(Self, Checksum256)> {
        let unreadable = || format!("cannot read the boot sequence {}", file.display());
        if fs::metadata(file).with_context(unreadable)?.len() > MAX_BYTES {
            bail!("{} is larger than any boot sequence", file.display());
        }
        let text = fs::read(file).with_context(unreadable)?;
        let sequence = Self::parse(&text).map_err(|why| usage(format!("{}: {why}", file.display())))?;
        Ok((sequence, Checksum256::sha256(&text)))
    }

    /// The error never quotes a key.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
        let document: Document = serde_saphyr::from_str(text).map_err(|error| without_keys(error.without_snippet()))?;
        let Document { keys, contents, boot_sequence } = document;
        if keys.is_empty() {
            return Err("keys: there must be one at least, as \"boot\": that of the account eosio".to_owned());
        }
        let mut sequence = Self { keys, contents, steps: Vec::new() };
        for (number, RawStep { op, label, data }) in (1..).zip(boot_sequence) {
            let operation = Operation::read(&op, data).and_then(|operation| {
                sequence.check(&operation)?;
                Ok(operation)
            });
            let operation = operation.map_err(|why| format!("step {number} ({}): {why}", without_keys(&op)))?;
            sequence.steps.push(Step { operation, label });
        }
        Ok(sequence)
    }

    /// What can be wrong before the chain is asked.
    fn check(&self, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::NewAccount(it) => self.public_key(&it.pubkey).map(drop),
            Operation::SetCode(it) => self.has_content(&it.contract_name_ref, "wasm"),
            Operation::SetAbi(it) => self.has_content(&it.contract_name_ref, "abi"),
            Operation::Inject(Inject { pubkey: Some(key), .. }) => self.public_key(key).map(drop),
            _ => Ok(()),
        }
    }

    fn has_content(&self, contract: &str, kind: &str) -> Result<(), String> {
        let name = format!("{contract}.{kind}");
        if self.contents.iter().any(|content| content.name == name) {
            return Ok(());
        }
        let known: Vec<_> = self.contents.iter().map(|content| content.name.as_str()).collect();
        Err(format!("contents has no \"{name}\"; it has {}", known.join(", ")))
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn keys(&self) -> Vec<PrivateKey> {
        self.keys.values().map(|key| key.0.clone()).collect()
    }

    /// The key of that name, or the key that the text is.
    pub(super) fn public_key(&self, text: &str) -> Result<PublicKey, String> {
        if let Some(key) = self.keys.get(text) {
            return Ok(key.0.public_key());
        }
        let names: Vec<_> = self.keys.keys().map(String::as_str).collect();
        let unknown =
            || format!("pubkey is neither a public key nor the name of one of the keys ({})", names.join(", "));
        text.parse().map_err(|_| unknown())
    }

    /// Reads all files. Relative paths begin at `folder`.
    pub(super) fn read_contents(&self, folder: &Path) -> anyhow::Result<Contents> {
        let mut contents = BTreeMap::new();
        for Content { name, url, hash } in &self.contents {
            let place = local_path(url, folder).map_err(|why| usage(format!("contents, \"{name}\": {why}")))?;
            let bytes = fs::read(&place).with_context(|| format!("cannot read {} for \"{name}\"", place.display()))?;
            let found = Checksum256::sha256(&bytes);
            if let Some(hash) = hash.filter(|hash| *hash != found) {
                bail!("{} is not the file for \"{name}\": its SHA-256 is {found}, not {hash}", place.display());
            }
            contents.insert(name.clone(), bytes);
        }
        for (number, step) in (1..).zip(&self.steps) {
            if let Operation::Inject(it) = &step.operation {
                let opened = Contract::open(folder.join(&it.data_dir));
                opened.map_err(|why| usage(format!("step {number} (migration.inject): {why:#}")))?;
            }
        }
        Ok(Contents(contents))
    }
}

impl Contents {
    pub(super) fn code(&self, contract: &str) -> &[u8] {
        self.0.get(&format!("{contract}.wasm")).map_or(&[], Vec::as_slice)
    }

    pub(super) fn has_abi(&self, contract: &str) -> bool {
        self.0.contains_key(&format!("{contract}.abi"))
    }

    /// Packed, from its JSON.
    pub(super) fn abi(&self, contract: &str) -> anyhow::Result<Vec<u8>> {
        let json = self.0.get(&format!("{contract}.abi")).map_or(&[][..], Vec::as_slice);
        let abi: Abi = serde_json::from_slice(json).with_context(|| format!("\"{contract}.abi\" is not an ABI"))?;
        Ok(abi.to_bytes())
    }
}

/// A message with anything left out that could be a key: libraries quote what they do not expect.
fn without_keys(message: &impl ToString) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut shown = String::new();
    let message = message.to_string();
    let mut rest = &*message;
    while !rest.is_empty() {
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        shown.push_str(if word >= SHORTEST_KEY { "***" } else { &rest[..word] });
        let next = rest[word..].find(is_word).map_or(rest.len(), |at| word + at);
        shown.push_str(&rest[word..next]);
        rest = &rest[next..];
    }
    shown
}

/// Where a content is: a path, or a `file://` URL.
fn local_path(url: &str, folder: &Path) -> Result<PathBuf, String> {
    match url.split_once("://") {
        None => Ok(folder.join(url)),
        Some(("file", _)) => {
            let parsed = Url::parse(url).map_err(|error| format!("{url} is no URL: {error}"))?;
            parsed.to_file_path().map_err(|()| format!("{url} names no file; write it as file:///folder/file"))
        }
        Some(_) => Err(format!("{url} is not a local file; download it, and name the file here")),
    }
}

/// A null stands for nothing, as in the original's files.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3";
    const PUBLIC: &str = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV";

    fn parse(text: &str) -> Result<Sequence, String> {
        Sequence::parse(text.as_bytes())
    }

    #[test]
    fn every_operation() {
        let text = format!(
            "
keys:
  boot: {KEY}
contents:
  - {{name: eosio.bios.wasm, url: bios.wasm}}
  - {{name: eosio.bios.abi, url: 'file:///c/bios.abi'}}
boot_sequence:
  - {{op: system.enable_protocol_features, label: features}}
  - {{op: system.setcode, label: code, data: {{account: eosio, contract_name_ref: eosio.bios}}}}
  - {{op: system.setabi, data: {{account: eosio, contract_name_ref: eosio.bios}}}}
  - {{op: system.activate_protocol_features, data: {{features: [ONLY_LINK_TO_EXISTING_PERMISSION]}}}}
  - op: system.newaccount
    data:
      creator: eosio
      new_account: alice
      pubkey: boot
      ram_bytes: 8000
  - {{op: system.newaccount, data: {{creator: eosio, new_account: bob, pubkey: {PUBLIC}}}}}
  - {{op: system.setpriv, data: {{account: alice}}}}
  - {{op: system.setram, data: {{max_ram_size: 68719476736}}}}
  - {{op: system.init, data: {{version: 0, core: '4,SYS'}}}}
  - {{op: system.pushtransaction, data: {{contract: eosio, action: setpriv, payload: {{account: bob, is_priv: 1}}, actor: eosio}}}}
  - {{op: token.create, data: {{account: eosio, amount: 10.0000 SYS}}}}
  - {{op: token.issue, data: {{account: eosio, amount: 10.0000 SYS, memo: all}}}}
  - {{op: token.transfer, data: {{from: eosio, to: bob, quantity: 1.0000 SYS}}}}
  - {{op: sleep, data: {{duration: 1m2s}}}}
  - {{op: system.resign_accounts, data: {{accounts: [eosio, alice]}}}}
  - {{op: migration.inject, data: {{account: alice, data_dir: accounts/alice, pubkey: boot}}}}
"
        );
        let sequence = parse(&text).unwrap();
        let names: Vec<_> = sequence.steps().iter().map(|step| step.operation.name()).collect();
        assert_eq!(names.len(), 16);
        assert!(Operation::NAMES.iter().all(|name| names.contains(name)), "{names:?}");
        assert_eq!(sequence.public_key("boot").unwrap().to_string(), PUBLIC);
        assert_eq!(sequence.steps()[1].label, "code");
        assert!(!format!("{sequence:?}").contains(KEY));
    }

    /// What is null is absent: lists are empty, everything else has its default.
    #[test]
    fn nulls_are_defaults() {
        let sequence = parse(&format!("keys: {{boot: {KEY}}}\ncontents:\nboot_sequence:\n")).unwrap();
        assert!(sequence.steps().is_empty() && sequence.contents.is_empty());
        let sequence = parse(&format!(
            "
keys: {{boot: {KEY}}}
contents: ~
boot_sequence:
  - {{op: system.enable_protocol_features, label: , data: }}
  - {{op: system.activate_protocol_features, data: {{features: }}}}
  - {{op: system.resign_accounts, data: {{accounts: null}}}}
  - {{op: system.newaccount, data: {{creator: eosio, new_account: alice, pubkey: boot, ram_bytes: }}}}
  - {{op: system.init, data: {{core: '4,EOS'}}}}
  - {{op: system.pushtransaction, data: {{contract: a, action: b, payload: , actor: c, permission: }}}}
  - {{op: token.issue, data: {{account: eosio, amount: 1.0 EOS, memo: }}}}
"
        ));
        let sequence = sequence.unwrap();
        let [_, features, accounts, account, init, pushed, issue] = sequence.steps() else { panic!("{sequence:?}") };
        assert!(matches!(&features.operation, Operation::ActivateFeatures(it) if it.features.is_empty()));
        assert!(matches!(&accounts.operation, Operation::ResignAccounts(it) if it.accounts.is_empty()));
        assert!(matches!(&account.operation, Operation::NewAccount(it) if it.ram_bytes == 0));
        assert!(matches!(&init.operation, Operation::Init(it) if it.version == 0));
        assert!(matches!(&pushed.operation, Operation::PushTransaction(it) if it.permission == active()));
        assert!(matches!(&issue.operation, Operation::TokenIssue(it) if it.memo.is_empty()));
    }

    #[test]
    fn what_is_wrong_is_told_without_keys() {
        let step = |step: &str| format!("keys: {{boot: {KEY}}}\nboot_sequence:\n  - {step}\n");
        for (text, why) in [
            (String::new(), "unexpected end of input"),
            (format!("keys: {KEY}\nboot_sequence: []"), "line"),
            (format!("keys: {{boot: {KEY}x}}\nboot_sequence: []"), "private key"),
            (format!("keys: {{boot: {KEY}}}\nboot_sequence: {KEY}"), "line"),
            (format!("keys: {{boot: {KEY}}}\n{KEY}: []"), "line"),
            ("keys: {}\nboot_sequence: []".to_owned(), "one at least"),
            (
                step("{op: system.setcod}"),
                "step 1 (system.setcod): there is no such operation; use one of system.newaccount",
            ),
            (step("{op: migration.inject, data: {account: a}}"), "data_dir"),
            (step("{op: migration.inject, data: {account: a, data_dir: a, pubkey: b}}"), "neither a public key"),
            (step("{op: system.setcode, data: {account: a, contract_name_ref: b}}"), "contents has no \"b.wasm\""),
            (step(&format!("{{op: system.setpriv, data: {{account: {KEY}}}}}")), "step 1"),
            (step("{op: system.setpriv, data: {acount: a}}"), "acount"),
            (step("{op: sleep, data: {duration: 5 minutes}}"), "write it with its unit, as 100ms, 5s, 1h30m"),
            (step("{op: sleep, data: {duration: 5}}"), "a number without a unit"),
            (
                step(&format!("{{op: system.newaccount, data: {{creator: eosio, new_account: a, pubkey: {KEY}}}}}")),
                "neither a public key nor the name of one of the keys (boot)",
            ),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(why), "{error}");
            assert!(!error.contains(&KEY[..40]) && !error.contains('\n'), "{error}");
        }
        assert_eq!(Sequence::parse(b"\xff").unwrap_err(), "it is not UTF-8");
    }

    #[test]
    fn places() {
        let folder = Path::new("/boot");
        assert_eq!(local_path("a/b.wasm", folder), Ok("/boot/a/b.wasm".into()));
        assert_eq!(local_path("/a/b.wasm", folder), Ok("/a/b.wasm".into()));
        assert_eq!(local_path("file:///a/b%20c.wasm", folder), Ok("/a/b c.wasm".into()));
        for url in ["https://host/a.wasm", "ipfs://x", "file://host/a"] {
            assert!(local_path(url, folder).is_err(), "{url}");
        }
    }

    #[test]
    fn contents_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.wasm"), b"code").unwrap();
        let with =
            |content: &str| parse(&format!("keys: {{boot: {KEY}}}\ncontents: [{content}]\nboot_sequence: []")).unwrap();
        let contents = with("{name: a.wasm, url: a.wasm}").read_contents(folder.path()).unwrap();
        assert_eq!((contents.code("a"), contents.code("b")), (&b"code"[..], &b""[..]));
        let hash = "00".repeat(32);
        for (content, why) in [
            ("{name: b.wasm, url: b.wasm}".to_owned(), "cannot read"),
            ("{name: a.wasm, url: 'https://h/a.wasm'}".to_owned(), "download it"),
            (format!("{{name: a.wasm, url: a.wasm, hash: '{hash}'}}"), "its SHA-256 is"),
        ] {
            let error = format!("{:#}", with(&content).read_contents(folder.path()).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
