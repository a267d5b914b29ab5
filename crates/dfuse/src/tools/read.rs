//! `dfuse tools block|trx|rows|search`: what the API answers, without asking over the network.

use std::{
    collections::BTreeMap,
    io::{BufWriter, stdout},
    path::PathBuf,
};

use clap::Args;
use tokio_util::io::ReaderStream;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::{
    answer::Answer,
    control::{self, Reached},
    remedy,
    start::{self, Settings},
    tools::runtime,
};

/// A question, and the data directory that answers it: through the server that runs on it, or by this process if none does.
#[derive(Debug, Args)]
pub(crate) struct Read<Q: Args> {
    #[command(flatten)]
    question: Q,
    /// Configuration file of dfuse start; its section "search" says what is indexed
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Data directory [default: ./dfuse-data]
    #[arg(long, value_name = "DIR", env = "DFUSE_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
}

/// What is asked.
pub(crate) trait Question {
    /// Path and query of the request that asks the same.
    fn target(&self) -> String;
}

/// Print a block: the answer of GET /v0/blocks/ID or, for a number, of /v0/blocks?skip=NUMBER&limit=1
#[derive(Debug, Args)]
pub(crate) struct Block {
    /// Id or number of the block
    id: String,
}

/// Print the lifecycle of a transaction: the answer of GET /v0/transactions/ID
#[derive(Debug, Args)]
pub(crate) struct Trx {
    /// Id of the transaction
    id: String,
}

/// Print rows of a table at any block: the answer of GET /v0/state/table or, with --key, of /v0/state/table/row
#[derive(Debug, Args)]
pub(crate) struct Rows {
    /// The contract
    contract: String,
    /// The table
    table: String,
    /// The scope [default: the contract]
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// Print only the row with this primary key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// How primary keys are written: name, symbol, symbol_code, hex, hex_be or uint64
    #[arg(long, value_name = "TYPE", default_value = "name")]
    key_type: String,
    /// Block after which the rows are read [default: the head]
    #[arg(long, value_name = "NUMBER")]
    block: Option<u32>,
    /// Maximum number of rows [default: all]
    #[arg(long, value_name = "COUNT", conflicts_with = "key")]
    limit: Option<u64>,
    /// Print the bytes of rows in hex instead of JSON
    #[arg(long)]
    hex: bool,
}

/// Print transactions with matching actions: the answer of GET /v0/search/transactions
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// The query, such as "account:eosio.token action:transfer data.to:alice"
    query: String,
    /// Maximum number of transactions
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u32,
    /// Sort order: asc or desc
    #[arg(long, value_name = "ORDER", default_value = "asc")]
    sort: String,
    /// First block of the range; with desc, its highest block
    #[arg(long, value_name = "NUMBER")]
    start_block: Option<u32>,
    /// Number of blocks in the range
    #[arg(long, value_name = "COUNT")]
    block_count: Option<u32>,
    /// Search only final blocks
    #[arg(long)]
    irreversible: bool,
    /// Cursor of the previous page
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl<Q: Args + Question> Read<Q> {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        // Flags of dfuse start are none of a tool.
        let settings = Settings::load(self.config.as_ref(), &BTreeMap::<&str, &str>::new())?;
        let data_dir = self.data_dir.as_deref().or(settings.data_dir.as_deref());
        remedy::set(remedy::Context {
            data_dir: data_dir.map(Into::into),
            config: self.config.clone(),
            blocks: settings.blocks.store.clone(),
            ..remedy::Context::default()
        });
        let target = self.question.target();
        let mut out = BufWriter::new(stdout().lock());
        runtime()?.block_on(async {
            match Reached::for_reading(data_dir).await? {
                Reached::Server(stream) => {
                    let (status, body) = control::read(stream, target).await?;
                    Answer::new(status, ReaderStream::new(body)).print(&mut out).await
                }
                Reached::Directory(directory) => {
                    start::answer(&settings, directory, &target, async |answer: Answer| answer.print(&mut out).await)
                        .await
                }
            }
        })
    }
}

/// A segment of a path.
fn segment(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

impl Question for Block {
    fn target(&self) -> String {
        match self.id.parse::<u32>() {
            Ok(number) => format!("/v0/blocks?skip={number}&limit=1"),
            Err(_) => format!("/v0/blocks/{}", segment(&self.id)),
        }
    }
}

impl Question for Trx {
    fn target(&self) -> String {
        format!("/v0/transactions/{}", segment(&self.id))
    }
}

impl Question for Rows {
    fn target(&self) -> String {
        let Self { contract, table, scope, key, key_type, block, limit, hex } = self;
        let mut query = Serializer::new(String::new());
        query.append_pair("account", contract).append_pair("table", table);
        query.append_pair("scope", scope.as_ref().unwrap_or(contract)).append_pair("key_type", key_type);
        query.append_pair("json", if *hex { "false" } else { "true" });
        append(&mut query, "block_num", *block);
        append(&mut query, "limit", *limit);
        append(&mut query, "primary_key", key.as_ref());
        let path = if key.is_some() { "/v0/state/table/row" } else { "/v0/state/table" };
        format!("{path}?{}", query.finish())
    }
}

impl Question for Search {
    fn target(&self) -> String {
        let Self { query: text, limit, sort, start_block, block_count, irreversible, cursor } = self;
        let mut query = Serializer::new(String::new());
        query.append_pair("q", text).append_pair("limit", &limit.to_string()).append_pair("sort", sort);
        query.append_pair("with_reversible", if *irreversible { "false" } else { "true" });
        append(&mut query, "start_block", *start_block);
        append(&mut query, "block_count", *block_count);
        append(&mut query, "cursor", cursor.as_ref());
        format!("/v0/search/transactions?{}", query.finish())
    }
}

fn append(query: &mut Serializer<'_, String>, name: &str, value: Option<impl ToString>) {
    if let Some(value) = value {
        query.append_pair(name, &value.to_string());
    }
}
