//! `dfuse tools firehose-client`: what a Firehose endpoint sends.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{self, BufWriter, Write},
    path::PathBuf,
    pin::pin,
};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use dfuse_blocks::{BlockStore, Merger};
use dfuse_node::firehose::{self, Endpoints, Failure, Sent, Wanted};
use futures::StreamExt;

use crate::{
    failure::{STDOUT, usage},
    input::store_options,
    progress::Progress,
    start::Settings,
    tools::runtime,
};

/// Stream blocks from a Firehose endpoint, and print, count or save them. Credentials come from the section "firehose" of the
/// configuration file or from the variables FIREHOSE_API_TOKEN and FIREHOSE_API_KEY
#[derive(Debug, Args)]
pub(crate) struct FirehoseClient {
    /// Address of the endpoint: HOST:PORT, or firehoses:HOST:PORT for TLS
    #[arg(value_name = "HOST:PORT")]
    endpoint: String,
    /// First and last block, such as 100:199. Without a last block (100:), the stream follows the chain. A negative first block
    /// (-10:) counts back from the head
    #[arg(value_name = "RANGE", allow_hyphen_values = true)]
    range: String,
    /// Cursor to resume after, instead of starting at the first block
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Stream only final blocks, each of them once
    #[arg(long)]
    final_blocks_only: bool,
    /// Stream only transactions that match this search query. Only dfuse servers support this
    #[arg(long, value_name = "QUERY", conflicts_with = "save")]
    filter: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t, conflicts_with = "save")]
    format: Format,
    /// Add the blocks to this block store, a directory or the URL of an object store, instead of printing them
    #[arg(long, value_name = "STORE")]
    save: Option<String>,
    /// With --save, number of the chain's first block. An empty store must begin with this block or with the first block of a bundle
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    first_block: u32,
    /// Configuration file of dfuse start
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Step, number, id, time, last irreversible block, counts
    #[default]
    Text,
    /// Step, cursor and the whole block in protobuf's JSON form
    Json,
    /// Only the cursor
    Cursor,
    /// Only the number of messages, at the end
    Count,
}

impl FirehoseClient {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (start, stop) = parse_range(&self.range).map_err(usage)?;
        let settings = Settings::load(self.config.as_ref(), &BTreeMap::<&str, &str>::new())?;
        let options = settings.firehose.options()?;
        let endpoints = endpoint(&self.endpoint)?;
        firehose::check(&endpoints, &options).map_err(usage)?;
        let endpoint = &endpoints.all()[0];
        let wanted = Wanted {
            start,
            stop,
            cursor: self.cursor.clone(),
            final_only: self.final_blocks_only,
            query: self.filter.clone(),
            json: self.format == Format::Json,
        };
        let failed = |failure: &dyn Display| anyhow!("the Firehose endpoint {endpoint}: {failure}");
        runtime()?.block_on(async {
            let client = firehose::FirehoseClient::connect(endpoint, &options).await;
            let client = client.map_err(|failure| failed(&failure))?;
            match &self.save {
                Some(store) => self.save(&client, &wanted, store, failed).await,
                None => self.print(&client, &wanted, failed).await,
            }
        })
    }

    /// `failed` makes the error of what the endpoint fails to do.
    async fn print(
        &self,
        client: &firehose::FirehoseClient,
        wanted: &Wanted,
        failed: impl Fn(&dyn Display) -> anyhow::Error,
    ) -> anyhow::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut sent = pin!(client.sent(wanted).await.map_err(|failure| failed(&failure))?);
        let (mut messages, mut cursor) = (0_u64, None);
        while let Some(message) = sent.next().await {
            let message = message.map_err(|failure| failed(&broken(&failure, cursor.as_deref())))?;
            messages += 1;
            print(&mut out, self.format, &message).context(STDOUT)?;
            // What a pipe reads is there when the chain has it.
            out.flush().context(STDOUT)?;
            cursor = Some(message.cursor);
        }
        if self.format == Format::Count {
            writeln!(out, "{messages}").context(STDOUT)?;
        }
        out.flush().context(STDOUT)
    }

    /// Adds the blocks to a store. What was undone is put aside there once it has lost.
    async fn save(
        &self,
        client: &firehose::FirehoseClient,
        wanted: &Wanted,
        store: &str,
        failed: impl Fn(&dyn Display) -> anyhow::Error,
    ) -> anyhow::Result<()> {
        let store = BlockStore::open(store, store_options(false)).map_err(|error| usage(error.to_string()))?;
        let dumps = match client.abi_dumps(store.abi_dumps().await?).await {
            Ok(dumps) => dumps,
            // That of another maker.
            Err(Failure::Unimplemented) => Vec::new(),
            Err(failure) => return Err(failed(&failure)),
        };
        let mut merger = Merger::open(store.clone(), self.first_block, "dfuse").await?;
        let mut received = pin!(client.received(wanted).await.map_err(|failure| failed(&failure))?);
        let progress = Progress::new("blocks");
        let (mut dumps, mut cursor, mut failure) = (Some(dumps), None, None);
        while let Some(message) = received.next().await {
            let message = match message {
                Ok(message) => message,
                Err(error) => {
                    failure = Some(failed(&broken(&error, cursor.as_deref())));
                    break;
                }
            };
            if message.step != firehose::ForkStep::StepUndo {
                merger.push(message.encoded).await?;
                progress.advance();
                // Not before a block has shown that the store is of this chain.
                for dump in dumps.take().into_iter().flatten() {
                    store.write_abi_dump(dump).await?;
                }
            }
            cursor = Some(message.cursor);
        }
        let summary = merger.finish().await?;
        tracing::info!(
            in_bundles = summary.irreversible,
            one_block_files = summary.one_blocks,
            forked_blocks = summary.forked,
            known = summary.skipped,
            cursor,
            "saved"
        );
        failure.map_or(Ok(()), Err)
    }
}

/// The one endpoint of that name.
pub(super) fn endpoint(text: &str) -> anyhow::Result<Endpoints> {
    let is_whole = text.starts_with("firehose:") || text.starts_with("firehoses:");
    let whole = if is_whole { text.to_owned() } else { format!("firehose:{text}") };
    let endpoints: Endpoints = whole.parse().map_err(usage)?;
    match endpoints.all() {
        [_] => Ok(endpoints),
        _ => Err(usage(format!("{text} is more than one Firehose endpoint"))),
    }
}

/// Why a stream ended, and where to go on.
fn broken(failure: &Failure, cursor: Option<&str>) -> String {
    match cursor {
        Some(cursor) => format!("{failure}; go on with --cursor {cursor}"),
        None => failure.to_string(),
    }
}

/// The first block, and the last one if there is one.
fn parse_range(text: &str) -> Result<(i64, Option<u32>), String> {
    let wrong =
        || format!("\"{text}\" is not a range: write FIRST:LAST, such as 100:199, or FIRST: for all from there on");
    let (first, last) = text.split_once(':').ok_or_else(wrong)?;
    let start: i64 = first.parse().map_err(|_| wrong())?;
    let stop = match last {
        "" => None,
        last => Some(last.parse::<u32>().ok().filter(|stop| *stop > 0).ok_or_else(wrong)?),
    };
    match stop {
        Some(stop) if i64::from(stop) < start => Err(format!("the last block of {text} is before the first one")),
        _ => Ok((start, stop)),
    }
}

fn print(out: &mut impl Write, format: Format, message: &Sent) -> io::Result<()> {
    let Sent { step, cursor, block } = message;
    let step = step.as_str_name().trim_start_matches("STEP_").to_lowercase();
    match format {
        Format::Text => writeln!(
            out,
            "{step:<5} {:>10} {} {} lib {} traces {} actions {}",
            block.number,
            block.id,
            block.header.timestamp,
            block.lib_num(),
            block.transaction_traces().len(),
            block.transaction_traces().iter().map(|trace| trace.action_traces.len()).sum::<usize>(),
        ),
        Format::Json => {
            let line = serde_json::json!({"step": step, "cursor": cursor, "block": block});
            writeln!(out, "{line}")
        }
        Format::Cursor => writeln!(out, "{cursor}"),
        Format::Count => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (text, range) in [
            ("2:100", (2, Some(100))),
            ("0:", (0, None)),
            ("-10:", (-10, None)),
            ("-10:500", (-10, Some(500))),
            ("7:7", (7, Some(7))),
        ] {
            assert_eq!(parse_range(text), Ok(range), "{text}");
        }
        for wrong in ["", "5", ":", "5:4", "a:b", "1:0", "1:4294967296", "1:-5", "1:2:3"] {
            parse_range(wrong).unwrap_err();
        }
    }
}
