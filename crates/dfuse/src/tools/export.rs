//! `dfuse tools export`: contracts with all that they hold at a height, as files, and as a boot sequence for a local chain.

mod asker;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufWriter, Write, stdout},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use dfuse_antelope::{Checksum256, Name, raw::Reader};
use serde::Serialize;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use self::asker::Asker;
use crate::{
    backup::UnfinishedDir,
    failure::{self, usage},
    start::Settings,
    tools::runtime,
};

/// The key that every tutorial shows.
const DEVELOPMENT_KEY: &str = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3";
/// The folder of an empty scope: no name has this letter.
const EMPTY_SCOPE: &str = "0";
/// Longest answer but those of rows.
const MAX_ANSWER: usize = 256 << 20;

/// Export contracts as they were after a block: code, ABI, permission links and all rows, with a boot sequence that sets up accounts,
/// code and ABIs on a local chain under the public development key (dfuse boot DIR/bootseq.yaml). The file export.json says what
/// was exported and what is missing. A server may run on the data directory meanwhile
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Accounts of the contracts, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    accounts: Vec<String>,
    /// Block after which the contracts are exported [default: the last irreversible block]
    #[arg(long, value_name = "NUMBER")]
    block: Option<u32>,
    /// Directory to create, which must not exist yet
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Configuration file of dfuse start; its section "search" says what is indexed
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Data directory [default: ./dfuse-data]
    #[arg(long, value_name = "DIR", env = "DFUSE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

/// What was exported of an account.
#[derive(Debug, Default, Serialize)]
struct Exported {
    /// Block whose `setcode` it is, and SHA-256 of the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Value>,
    has_abi: bool,
    permission_links: usize,
    /// By table and scope.
    rows: BTreeMap<String, BTreeMap<String, u64>>,
    /// What is not there, and why.
    missing: Vec<String>,
}

/// What no export can have.
const NEVER_THERE: [&str; 5] = [
    "private keys: accounts of the boot sequence have the key `boot` in owner and active",
    "permissions other than owner and active: permission links are in the files, and not set",
    "resources: the boot sequence buys none, a local chain without the system contract asks for none",
    "rows: they are in the files, and not in the boot sequence, since only the contract itself can write them",
    "secondary indexes of tables, and deferred transactions",
];

impl Export {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        // Flags of dfuse start are none of a tool.
        let settings = Settings::load(self.config.as_ref(), &BTreeMap::<&str, &str>::new())?;
        let data_dir = self.data_dir.as_deref().or(settings.data_dir.as_deref());
        let mut accounts = BTreeSet::new();
        for account in &self.accounts {
            let name: Name = account.parse().map_err(|error| usage(format!("\"{account}\" is not a name: {error}")))?;
            accounts.insert(name.to_string());
        }
        let accounts: Vec<_> = accounts.into_iter().collect();
        let directory = std::path::absolute(&self.directory)?;
        let exported = UnfinishedDir::make(&directory, |folder| {
            runtime()?.block_on(asker::with(&settings, data_dir, async |asker: &Asker<'_>| {
                self.export(asker, &accounts, folder).await
            }))
        })?;
        let mut out = stdout().lock();
        for (account, exported) in &exported {
            let rows = exported.rows.values().flat_map(BTreeMap::values).sum::<u64>();
            let code = if exported.code.is_some() { "code" } else { "no code" };
            let abi = if exported.has_abi { "ABI" } else { "no ABI" };
            writeln!(out, "{account}: {code}, {abi}, {rows} rows").context(failure::STDOUT)?;
            for missing in &exported.missing {
                writeln!(out, "  missing: {missing}").context(failure::STDOUT)?;
            }
        }
        Ok(())
    }

    async fn export(
        &self,
        asker: &Asker<'_>,
        accounts: &[String],
        folder: &Path,
    ) -> anyhow::Result<BTreeMap<String, Exported>> {
        let block = self.height(asker, &accounts[0]).await?;
        let mut all = BTreeMap::new();
        for account in accounts {
            let exporter = Exporter { asker, account, block, folder: folder.join("accounts").join(account) };
            all.insert(account.clone(), exporter.export().await?);
        }
        fs::write(folder.join("bootseq.yaml"), boot_sequence(&all))?;
        let told = json!({"format": 1, "block_num": block, "accounts": all, "never_there": NEVER_THERE});
        fs::write(folder.join("export.json"), serde_json::to_vec_pretty(&told)?)?;
        Ok(all)
    }

    /// All answers are of one block.
    async fn height(&self, asker: &Asker<'_>, account: &str) -> anyhow::Result<u32> {
        if let Some(block) = self.block {
            return Ok(block);
        }
        let target = target("/v0/state/permission_links", &[("account", account), ("irreversible_only", "true")]);
        let answer = asker.get(&target).await?.json(MAX_ANSWER).await?;
        let number = answer["up_to_block_num"].as_u64().or_else(|| answer["block_num"].as_u64());
        let number = number.or_else(|| answer["last_irreversible_block_num"].as_u64());
        number.and_then(|number| u32::try_from(number).ok()).context("there is no irreversible block yet")
    }
}

fn target(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters);
    format!("{path}?{}", query.finish())
}

/// Accounts, and their contracts.
fn boot_sequence(accounts: &BTreeMap<String, Exported>) -> String {
    let mut text = format!("keys:\n  boot: {DEVELOPMENT_KEY}   # the public development key\n");
    let mut contents = String::new();
    let mut steps = String::new();
    // Accounts first: contracts may need each other.
    for account in accounts.keys().filter(|account| *account != "eosio") {
        steps += &format!(
            "  - {{op: system.newaccount, label: {account}, data: {{creator: eosio, new_account: {account}, pubkey: boot}}}}\n"
        );
    }
    for (account, exported) in accounts {
        let operation = match (exported.code.is_some(), exported.has_abi) {
            (false, false) => continue,
            (true, _) => "setcode",
            (false, true) => "setabi",
        };
        for (kind, file, is_there) in
            [("wasm", "code.wasm", exported.code.is_some()), ("abi", "abi.json", exported.has_abi)]
        {
            if is_there {
                contents += &format!("  - {{name: {account}.{kind}, url: accounts/{account}/{file}}}\n");
            }
        }
        steps += &format!(
            "  - {{op: system.{operation}, label: {account}, data: {{account: {account}, contract_name_ref: {account}}}}}\n"
        );
    }
    if !contents.is_empty() {
        text += &format!("contents:\n{contents}");
    }
    if !steps.is_empty() {
        text += &format!("boot_sequence:\n{steps}");
    }
    text
}

/// One account at one height.
struct Exporter<'a> {
    asker: &'a Asker<'a>,
    account: &'a str,
    block: u32,
    folder: PathBuf,
}

impl Exporter<'_> {
    async fn export(&self) -> anyhow::Result<Exported> {
        fs::create_dir_all(&self.folder)?;
        let mut exported = Exported::default();
        // First: it says what is wrong with the height.
        let links = self.asked("/v0/state/permission_links", &[]).await?.unwrap_or_default();
        exported.permission_links = links["linked_permissions"].as_array().map_or(0, Vec::len);
        self.write("permission_links.json", &links["linked_permissions"])?;
        self.code(&mut exported).await?;
        let Some(abi) = self.asked("/v0/state/abi", &[("json", "true")]).await? else {
            exported.missing.push("the ABI: there is none at that block, so no table is known".to_owned());
            return Ok(exported);
        };
        self.write("abi.json", &abi["abi"])?;
        exported.has_abi = true;
        for table in abi["abi"]["tables"].as_array().into_iter().flatten() {
            let Some(table) = table["name"].as_str() else { continue };
            let rows = self.table(table).await?;
            if !rows.is_empty() {
                exported.rows.insert(table.to_owned(), rows);
            }
        }
        Ok(exported)
    }

    /// Asks for something of the account at the height; nothing if there is none.
    async fn asked(&self, path: &str, more: &[(&str, &str)]) -> anyhow::Result<Option<Value>> {
        let block = self.block.to_string();
        let own = [("account", self.account), ("block_num", block.as_str())];
        let answer = self.asker.get(&target(path, &[&own[..], more].concat())).await?;
        if answer.is_not_found() {
            return Ok(None);
        }
        answer.json(MAX_ANSWER).await.map(Some)
    }

    fn write(&self, name: &str, value: &Value) -> anyhow::Result<()> {
        Ok(fs::write(self.folder.join(name), serde_json::to_vec_pretty(value)?)?)
    }

    /// The code is in the last action that set it.
    async fn code(&self, exported: &mut Exported) -> anyhow::Result<()> {
        let query = format!("receiver:eosio account:eosio action:setcode data.account:{}", self.account);
        let block = self.block.to_string();
        let parameters = [
            ("q", query.as_str()),
            ("sort", "desc"),
            ("limit", "1"),
            ("start_block", &block),
            ("with_reversible", "true"),
        ];
        let answer = self.asker.get(&target("/v0/search/transactions", &parameters)).await?.json(MAX_ANSWER).await?;
        let lifecycle = &answer["transactions"][0]["lifecycle"];
        let mut actions = Vec::new();
        find_setcode(lifecycle, self.account, &mut actions);
        // Of several in one transaction the last counts.
        let Some(data) = actions.last() else {
            let why =
                "the code: no setcode of it is indexed up to that block; it may have been set before the first block";
            exported.missing.push(why.to_owned());
            return Ok(());
        };
        let code = code_in(data).context("a setcode action that cannot be read")?;
        if code.is_empty() {
            exported.missing.push("the code: it was removed before that block".to_owned());
            return Ok(());
        }
        fs::write(self.folder.join("code.wasm"), &code)?;
        let digest = Checksum256::sha256(&code).to_string();
        let set_at = &lifecycle["execution_block_header"];
        exported.code = Some(json!({"sha256": digest, "bytes": code.len(), "set_at": set_at["timestamp"]}));
        Ok(())
    }

    /// All rows of a table, a file for each scope. Returns how many there are.
    async fn table(&self, table: &str) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        let scopes = self.asked("/v0/state/table_scopes", &[("table", table)]).await?.unwrap_or_default();
        for scope in scopes["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let more = [("table", table), ("scope", scope), ("key_type", "uint64"), ("json", "false")];
            let Some(answer) = self.asked("/v0/state/table", &more).await? else { continue };
            let rows = answer["rows"].as_array().cloned().unwrap_or_default();
            let folder = self.folder.join("tables").join(table);
            fs::create_dir_all(&folder)?;
            let name = if scope.is_empty() { EMPTY_SCOPE } else { scope };
            let mut out = BufWriter::new(File::create(folder.join(format!("{name}.json")))?);
            writeln!(out, "[")?;
            for (at, row) in rows.iter().enumerate() {
                writeln!(out, "{row}{}", if at + 1 < rows.len() { "," } else { "" })?;
            }
            writeln!(out, "]")?;
            out.flush()?;
            counts.insert(scope.to_owned(), rows.len() as u64);
        }
        Ok(counts)
    }
}

/// Data of the actions in a transaction, at any depth, that set the code of an account.
fn find_setcode(value: &Value, account: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let act = &value["act"];
            let is_own = value["receiver"].as_str().or_else(|| value["receipt"]["receiver"].as_str()) == Some("eosio");
            let sets = act["name"] == "setcode" && act["account"] == "eosio" && act["data"]["account"] == account;
            if let Some(data) = act["hex_data"].as_str().filter(|_| is_own && sets) {
                found.push(data.to_owned());
            }
            members.values().for_each(|value| find_setcode(value, account, found));
        }
        Value::Array(items) => items.iter().for_each(|value| find_setcode(value, account, found)),
        _ => {}
    }
}

/// Account, type and version of the machine, code.
fn code_in(data: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = const_hex::decode(data)?;
    let mut reader = Reader::new(&bytes);
    reader.name()?;
    if (reader.u8()?, reader.u8()?) != (0, 0) {
        bail!("code for another machine than WebAssembly");
    }
    Ok(reader.blob("code")?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_sequence_makes_accounts_before_contracts() {
        let with = |code: bool, has_abi| Exported { code: code.then(Value::default), has_abi, ..Exported::default() };
        let accounts = [("b", with(true, true)), ("a", with(false, false)), ("eosio", with(false, true))];
        let text = boot_sequence(&accounts.map(|(name, exported)| (name.to_owned(), exported)).into());
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        assert!(at("new_account: a,") < at("system.setcode") && at("new_account: b,") < at("system.setcode"), "{text}");
        assert!(text.contains("name: b.wasm, url: accounts/b/code.wasm") && text.contains("name: eosio.abi"), "{text}");
        assert!(text.contains("op: system.setabi, label: eosio") && !text.contains("new_account: eosio"), "{text}");
        assert!(!text.contains("contract_name_ref: a}"), "{text}");
    }

    #[test]
    fn code_is_read_from_the_action() {
        let action = "0000000000855c34 00 00 03 0061ff".replace(' ', "");
        assert_eq!(code_in(&action).unwrap(), [0, 0x61, 0xff]);
        for wrong in ["", "0000000000855c34", "0000000000855c340100 0161", "0000000000855c34000004 00"] {
            assert!(code_in(&wrong.replace(' ', "")).is_err(), "{wrong}");
        }
        let inner = |receiver: &str| json!({"receiver": receiver, "act": {"account": "eosio", "name": "setcode", "data": {"account": "a"}, "hex_data": "00"}});
        let trace =
            json!({"action_traces": [{"receiver": "x", "act": {}, "inline_traces": [inner("eosio"), inner("a")]}]});
        let mut found = Vec::new();
        find_setcode(&trace, "a", &mut found);
        assert_eq!(found, ["00"]);
        find_setcode(&trace, "b", &mut found);
        assert_eq!(found.len(), 1);
    }
}
