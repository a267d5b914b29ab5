//! `dfuse tools compare-blocks`: whether two places have the same blocks.

mod difference;
mod place;

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use dfuse_blocks::EncodedBlock;
use futures::TryStreamExt;

use crate::{
    failure::{STDOUT, usage},
    progress::Progress,
    start::Settings,
    tools::runtime,
};
use difference::differences;
use place::{Blocks, blocks_of};

/// Compare the blocks of two places field by field, except for decoded JSON. Exits with code 1 if blocks differ, or if one place
/// lacks blocks in the middle of those that it has
#[derive(Debug, Args)]
pub(crate) struct CompareBlocks {
    /// First place: a block store (a directory or a URL) or a Firehose endpoint (firehose:HOST:PORT; firehoses:HOST:PORT with TLS)
    #[arg(value_name = "A")]
    a: String,
    /// Second place
    #[arg(value_name = "B")]
    b: String,
    /// First block number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    start_block: u32,
    /// Last block number [default: the last one]
    #[arg(long, value_name = "NUMBER")]
    stop_block: Option<u32>,
    /// Maximum number of differences to print
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    limit: u64,
    /// Configuration file of dfuse start; its section "firehose" applies to endpoints
    #[arg(long, value_name = "FILE", env = "DFUSE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

impl CompareBlocks {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let range = self.start_block..=self.stop_block.unwrap_or(u32::MAX);
        if range.is_empty() {
            return Err(usage("--stop-block is before --start-block"));
        }
        let settings = Settings::load(self.config.as_ref(), &BTreeMap::<&str, &str>::new())?;
        let options = settings.firehose.options()?;
        runtime()?.block_on(async {
            let mut a = blocks_of(&self.a, range.clone(), &options).await?;
            let mut b = blocks_of(&self.b, range, &options).await?;
            let mut report = Report::new(self.limit);
            compare(&mut a, &mut b, &mut report).await?;
            report.end()
        })
    }
}

/// Goes through both places, block by block.
async fn compare(a: &mut Blocks, b: &mut Blocks, report: &mut Report<'_>) -> anyhow::Result<()> {
    let (mut next_a, mut next_b) = (a.try_next().await?, b.try_next().await?);
    // What only one has before the first block and after the last block of the other is no difference: it may be on its way.
    let begin = next_a.as_ref().zip(next_b.as_ref()).map(|(a, b)| a.number().max(b.number()));
    loop {
        let (alone, side) = match (&next_a, &next_b) {
            (Some(one), Some(other)) if one.number() == other.number() => {
                report.both(one, other)?;
                (next_a, next_b) = (a.try_next().await?, b.try_next().await?);
                continue;
            }
            (Some(one), Some(other)) if one.number() < other.number() => (one.number(), "A"),
            (_, Some(other)) if next_a.is_some() => (other.number(), "B"),
            (Some(one), _) => return report.goes_on("A", one.number(), a).await,
            (None, Some(other)) => return report.goes_on("B", other.number(), b).await,
            (None, None) => return Ok(()),
        };
        if begin.is_some_and(|begin| alone < begin) {
            report.before += 1;
        } else {
            report.tell(alone, &format!("only {side} has this block"))?;
        }
        if side == "A" {
            next_a = a.try_next().await?;
        } else {
            next_b = b.try_next().await?;
        }
    }
}

/// What was found by now.
struct Report<'a> {
    out: BufWriter<io::StdoutLock<'a>>,
    progress: Progress,
    /// Differences that may still be printed.
    left: u64,
    compared: u64,
    /// Blocks that differ or that one place lacks.
    different: u64,
    /// Blocks that one place has before those of the other.
    before: u64,
    range: Option<(u32, u32)>,
    /// Which place goes on, from which block to which.
    beyond: Option<(&'static str, u32, u32)>,
}

impl Report<'_> {
    fn new(limit: u64) -> Self {
        Self {
            out: BufWriter::new(io::stdout().lock()),
            progress: Progress::new("blocks"),
            left: limit,
            compared: 0,
            different: 0,
            before: 0,
            range: None,
            beyond: None,
        }
    }

    /// A block that both have.
    fn both(&mut self, a: &EncodedBlock, b: &EncodedBlock) -> anyhow::Result<()> {
        let number = a.number();
        self.compared += 1;
        self.progress.advance();
        self.range = Some((self.range.map_or(number, |(first, _)| first), number));
        let found = differences(a, b, usize::try_from(self.left.max(1)).unwrap_or(usize::MAX))?;
        self.different += u64::from(!found.is_empty());
        found.iter().try_for_each(|text| self.print(number, text))
    }

    /// A block that differs as a whole.
    fn tell(&mut self, number: u32, text: &str) -> anyhow::Result<()> {
        self.different += 1;
        self.print(number, text)
    }

    fn print(&mut self, number: u32, text: &str) -> anyhow::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        writeln!(self.out, "{number:>10} {text}").context(STDOUT)
    }

    /// One place has more blocks than the other.
    async fn goes_on(&mut self, side: &'static str, first: u32, rest: &mut Blocks) -> anyhow::Result<()> {
        let mut last = first;
        while let Some(block) = rest.try_next().await? {
            last = block.number();
        }
        self.beyond = Some((side, first, last));
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<()> {
        let range = self.range.map(|(first, last)| format!(", {first} to {last}")).unwrap_or_default();
        writeln!(self.out, "blocks that both have: {}{range}", self.compared).context(STDOUT)?;
        if self.before > 0 {
            writeln!(self.out, "blocks before these in one of them: {}", self.before).context(STDOUT)?;
        }
        if let Some((side, first, last)) = self.beyond {
            writeln!(self.out, "blocks after these in {side}: {first} to {last}").context(STDOUT)?;
        }
        self.out.flush().context(STDOUT)?;
        drop(self.progress);
        match (self.different, self.compared) {
            (0, 0) => Err(usage("A and B have no block of the same number")),
            (0, _) => Ok(()),
            (1, _) => anyhow::bail!("1 block differs"),
            (some, _) => anyhow::bail!("{some} blocks differ"),
        }
    }
}
