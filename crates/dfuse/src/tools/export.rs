//! `dfuse tools export`: contracts with all that they hold at a height, as files, and as a boot sequence for a local chain.

mod actions;
mod asker;
mod indexes;
mod permissions;
mod rows;
mod sequence;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufWriter, Write, stdout},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use dfuse_antelope::{Checksum256, Name};
use serde::Serialize;
use serde_json::{Value, json};

use self::{
    actions::{History, code_in},
    asker::{Asker, MAX_ANSWER, target},
    indexes::Found,
    sequence::place_of,
};
use crate::{
    backup::UnfinishedDir,
    failure::{self, usage},
    migration::{ABI, ABI_JSON, CODE, LINES, LINKS, PERMISSIONS, TABLES},
    start::Settings,
    tools::runtime,
};

/// Export contracts as they were after a block: code, ABI, permissions and all rows, with a boot sequence that sets them up on a
/// local chain under the public development key (dfuse boot DIR/bootseq.yaml). The file export.json says what was exported and
/// what is missing. A server may run on the data directory meanwhile
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Accounts of the contracts, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    accounts: Vec<String>,
    /// Block after which the contracts are exported [default: that of the snapshot, or the last irreversible block]
    #[arg(long, value_name = "NUMBER")]
    block: Option<u32>,
    /// Where entries of secondary indexes are, and rows of tables that the ABI does not name: a portable snapshot of that block (a
    /// file or a URL), or the data directory of a node with logs of state history. Without it they are missing
    #[arg(long, value_name = "PLACE")]
    indexes: Option<String>,
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
    /// SHA-256 of the code, its length, and when it was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Value>,
    has_abi: bool,
    permissions: usize,
    permission_links: usize,
    /// By table and scope.
    rows: BTreeMap<String, BTreeMap<String, u64>>,
    /// Entries of secondary indexes, where these are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    index_entries: Option<u64>,
    /// What is not there, and why.
    missing: Vec<String>,
}

/// What no export can have.
const NEVER_THERE: [&str; 4] = [
    "private keys: in every permission, the key `boot` stands for all keys; the public keys are in permissions.json",
    "resources: a local chain without the system contract asks for none",
    "privileges of accounts, and the rest of the chain's configuration",
    "deferred transactions",
];

impl Export {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        // Flags of dfuse start are none of a tool.
        let settings = Settings::load(self.config.as_ref(), &BTreeMap::<&str, &str>::new())?;
        let data_dir = self.data_dir.as_deref().or(settings.data_dir.as_deref());
        let mut accounts = BTreeSet::new();
        for account in &self.accounts {
            let name: Name = account.parse().map_err(|error| usage(format!("\"{account}\" is not a name: {error}")))?;
            accounts.insert(name);
        }
        let directory = std::path::absolute(&self.directory)?;
        let exported = UnfinishedDir::make(&directory, |folder| {
            let found = self
                .indexes
                .as_deref()
                .map(|place| indexes::copy(place, self.block, &accounts, |account| folder_of(folder, account)));
            let found = found.transpose()?;
            runtime()?.block_on(asker::with(&settings, data_dir, async |asker: &Asker<'_>| {
                self.export(asker, &accounts, found, folder).await
            }))
        })?;
        let mut out = stdout().lock();
        for (account, exported) in &exported {
            let rows = exported.rows.values().flat_map(BTreeMap::values).sum::<u64>();
            let code = if exported.code.is_some() { "code" } else { "no code" };
            let abi = if exported.has_abi { "ABI" } else { "no ABI" };
            let indexes = exported.index_entries.map_or(String::new(), |count| format!(", {count} index entries"));
            let permissions = exported.permissions;
            writeln!(out, "{account}: {code}, {abi}, {permissions} permissions, {rows} rows{indexes}")
                .context(failure::STDOUT)?;
            for missing in &exported.missing {
                writeln!(out, "  missing: {missing}").context(failure::STDOUT)?;
            }
        }
        Ok(())
    }

    async fn export(
        &self,
        asker: &Asker<'_>,
        accounts: &BTreeSet<Name>,
        found: Option<Found>,
        folder: &Path,
    ) -> anyhow::Result<BTreeMap<Name, Exported>> {
        let block = match &found {
            Some(found) => found.block.block_num(),
            None => self.height(asker).await?,
        };
        if let Some(found) = &found {
            must_be_of(asker, found.block).await?;
        }
        let mut all = BTreeMap::new();
        for account in accounts {
            let exporter = Exporter { asker, account: *account, block, folder: folder_of(folder, *account) };
            let mut exported = exporter.export().await?;
            add_indexes(&mut exported, *account, found.as_ref())?;
            all.insert(*account, exported);
        }
        let features = sequence::features(&History { asker, block }).await?;
        if !features.is_empty() {
            fs::write(folder.join(sequence::ACTIVATOR_FILE), crate::boot::ACTIVATOR)?;
        }
        fs::write(folder.join("bootseq.yaml"), sequence::boot_sequence(accounts, &features))?;
        let told = json!({"format": 2, "block_num": block, "accounts": all, "never_there": NEVER_THERE});
        fs::write(folder.join("export.json"), serde_json::to_vec_pretty(&told)?)?;
        Ok(all)
    }

    /// All answers are of one block.
    async fn height(&self, asker: &Asker<'_>) -> anyhow::Result<u32> {
        if let Some(block) = self.block {
            return Ok(block);
        }
        let target = target("/v0/state/permission_links", &[("account", "eosio"), ("irreversible_only", "true")]);
        let answer = asker.get(&target).await?.json(MAX_ANSWER).await?;
        let number = answer["up_to_block_num"].as_u64().or_else(|| answer["block_num"].as_u64());
        let number = number.or_else(|| answer["last_irreversible_block_num"].as_u64());
        number.and_then(|number| u32::try_from(number).ok()).context("there is no irreversible block yet")
    }
}

fn folder_of(folder: &Path, account: Name) -> PathBuf {
    folder.join(place_of(account))
}

/// Indexes of another chain, or of another branch, do not belong to the rows.
async fn must_be_of(asker: &Asker<'_>, block: Checksum256) -> anyhow::Result<()> {
    let number = block.block_num().to_string();
    let answer = asker.get(&target("/v0/blocks", &[("skip", &number), ("limit", "1")])).await?.json(MAX_ANSWER).await?;
    let found = answer[0]["id"].as_str().unwrap_or("none");
    if found != block.to_string() {
        return Err(usage(format!("the secondary indexes are of block {block}, but block {number} here is {found}")));
    }
    Ok(())
}

/// Adds what only snapshots and state history know.
fn add_indexes(exported: &mut Exported, account: Name, found: Option<&Found>) -> anyhow::Result<()> {
    let Some(found) = found else {
        let why = "entries of secondary indexes, and rows of tables that the ABI does not name: name a snapshot or logs of state history \
                   with --indexes";
        exported.missing.push(why.to_owned());
        return Ok(());
    };
    exported.index_entries = found.entries.get(&account).copied();
    for ((_, table), scopes) in found.rows.iter().filter(|((code, _), _)| *code == account) {
        let scopes: BTreeMap<_, _> = scopes.iter().map(|(scope, count)| (scope.to_string(), *count)).collect();
        let known = exported.rows.entry(table.to_string()).or_insert_with(|| scopes.clone());
        if *known != scopes {
            bail!(
                "table {table} of {account} has other rows here than where the secondary indexes are: {known:?}, {scopes:?}"
            );
        }
    }
    Ok(())
}

/// One account at one height.
struct Exporter<'a> {
    asker: &'a Asker<'a>,
    account: Name,
    block: u32,
    folder: PathBuf,
}

impl Exporter<'_> {
    async fn export(&self) -> anyhow::Result<Exported> {
        fs::create_dir_all(&self.folder)?;
        let mut exported = Exported::default();
        // First: it says what is wrong with the height.
        let links = self.asked("/v0/state/permission_links", &[]).await?.unwrap_or_default();
        let links = links["linked_permissions"].as_array().cloned().unwrap_or_default();
        exported.permission_links = links.len();
        self.write(LINKS, &links)?;
        let history = History { asker: self.asker, block: self.block };
        self.code(&history, &mut exported).await?;
        let (permissions, is_whole) = permissions::permissions(&history, self.account).await?;
        if !is_whole {
            let why =
                "permissions as they were when the chain or its indexes began: only what was changed since is known";
            exported.missing.push(why.to_owned());
        }
        exported.permissions = permissions.len();
        self.write(PERMISSIONS, &permissions)?;
        let Some(packed) = self.asked("/v0/state/abi", &[]).await? else {
            exported.missing.push("the ABI: there is none at that block, so no table is known".to_owned());
            return Ok(exported);
        };
        let packed = packed["abi"].as_str().context("an ABI that is not text")?;
        fs::write(self.folder.join(ABI), const_hex::decode(packed)?)?;
        exported.has_abi = true;
        let abi = match self.asked("/v0/state/abi", &[("json", "true")]).await {
            Ok(abi) => abi.unwrap_or_default(),
            Err(error) => {
                exported.missing.push(format!("rows: the ABI cannot be read, so no table is known ({error})"));
                return Ok(exported);
            }
        };
        self.write(ABI_JSON, &abi["abi"])?;
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
        let answer = self.asker.get(&self.target(path, more)).await?;
        if answer.is_not_found() {
            return Ok(None);
        }
        answer.json(MAX_ANSWER).await.map(Some)
    }

    fn target(&self, path: &str, more: &[(&str, &str)]) -> String {
        let (account, block) = (self.account.to_string(), self.block.to_string());
        let own = [("account", account.as_str()), ("block_num", block.as_str())];
        target(path, &[&own[..], more].concat())
    }

    fn write(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        Ok(fs::write(self.folder.join(name), serde_json::to_vec_pretty(value)?)?)
    }

    /// The code is in the last action that set it.
    async fn code(&self, history: &History<'_>, exported: &mut Exported) -> anyhow::Result<()> {
        let actions = history.last(&format!("action:setcode data.account:{}", self.account)).await?;
        // Of several in one transaction the last counts.
        let mut set = None;
        for action in actions.iter().filter(|action| action.name == Name::literal("setcode")) {
            let (account, code) = code_in(&action.data).context("a setcode action that cannot be read")?;
            if account == self.account {
                set = Some((code, &action.time));
            }
        }
        let missing = match set {
            None => {
                "the code: no setcode of it is indexed up to that block; it may have been set before the first block"
            }
            Some((code, _)) if code.is_empty() => "the code: it was removed before that block",
            Some((code, time)) => {
                fs::write(self.folder.join(CODE), &code)?;
                let digest = Checksum256::sha256(&code);
                exported.code = Some(json!({"sha256": digest, "bytes": code.len(), "set_at": time}));
                return Ok(());
            }
        };
        exported.missing.push(missing.to_owned());
        Ok(())
    }

    /// All rows of a table. Returns how many there are, by scope.
    async fn table(&self, table: &str) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        let scopes = self.asked("/v0/state/table_scopes", &[("table", table)]).await?.unwrap_or_default();
        let scopes: Vec<_> = scopes["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if scopes.is_empty() {
            return Ok(counts);
        }
        let folder = self.folder.join(TABLES);
        fs::create_dir_all(&folder)?;
        let mut out = BufWriter::new(File::create(folder.join(format!("{table}.{LINES}")))?);
        for scope in scopes {
            let more = [("table", table), ("scope", scope), ("key_type", "uint64"), ("json", "false")];
            let answer = self.asker.get(&self.target("/v0/state/table", &more)).await?;
            if answer.is_not_found() {
                continue;
            }
            let name: Name = scope.parse().context("a scope that is not a name")?;
            let count;
            (count, out) = answer.read(move |body| Ok((rows::copy(body, name, &mut out)?, out))).await?;
            if count > 0 {
                counts.insert(scope.to_owned(), count);
            }
        }
        out.flush()?;
        Ok(counts)
    }
}
