mod abis;

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    ops::RangeInclusive,
    pin::pin,
};

use abis::Abis;
use anyhow::Context;
use clap::{Args, ValueEnum};
use dfuse_antelope::{AbiDump, model::Block};
use dfuse_blocks::{
    BlockStore,
    bundle::{BUNDLE_BLOCKS, StreamReader},
};
use dfuse_deep_mind::{Event, Reader};
use futures::TryStreamExt;

use crate::{
    failure::{STDOUT, usage},
    input::{self, Input},
    progress::Progress,
    remedy,
    tools::{LineOptions, end_of_log, open_store, runtime},
};

/// Print blocks, one per line. The blocks of a log are printed in the order of the log, including forked blocks.
#[derive(Debug, Args)]
pub(crate) struct PrintBlocks {
    /// A deep-mind log or a block file (plain, zstd or gzip), a block store (as for check blocks), "-" for a log on standard
    /// input, or "demo" for the recorded chain that comes with the program
    #[arg(value_name = "FILE")]
    place: String,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// First block number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    start_block: u32,
    /// Last block number [default: the last one]
    #[arg(long, value_name = "NUMBER")]
    stop_block: Option<u32>,
    /// Leave out the JSON of actions, return values and rows. Without this flag, all blocks before --start-block are read, too,
    /// because they may set the ABIs
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    lines: LineOptions,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// Number, id, time, producer, last irreversible block and counts
    #[default]
    Text,
    /// The whole block in protobuf's JSON form (sf.antelope.type.v1), with the JSON of actions, return values and rows
    Json,
}

impl PrintBlocks {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let range = self.start_block..=self.stop_block.unwrap_or(u32::MAX);
        if range.is_empty() {
            return Err(usage("--stop-block is before --start-block"));
        }
        let mut printer = Printer {
            out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
            format: self.format,
            range,
            abis: (matches!(self.format, Format::Json) && !self.raw).then(Abis::default),
            // On a terminal the blocks themselves tell how far it is.
            progress: (!io::stdout().is_terminal()).then(|| Progress::new("blocks")),
            highest: None,
            printed: 0,
        };
        match input::open(&self.place)? {
            Input::Log(log) => {
                let mut reader = Reader::with_max_line(log, self.lines.max_bytes());
                while let Some(event) = reader.next_event()? {
                    match event {
                        Event::Block(block) => printer.print(*block)?,
                        Event::AbiDump(dump) => printer.abi_dump(&dump),
                        Event::SwitchFork { .. } => {}
                    }
                }
                printer.flush()?;
                end_of_log(&reader)
            }
            Input::BlockFile(data) => {
                let mut file = StreamReader::new(&self.place, data.into())?;
                while let Some(block) = file.block()? {
                    printer.print(block.decode()?)?;
                }
                printer.flush()
            }
            Input::Store(place) => {
                remedy::set(remedy::Context { blocks: Some(place.clone()), ..remedy::Context::default() });
                runtime()?.block_on(async { print_store(&open_store(&place).await?, &mut printer).await })
            }
        }
    }
}

/// The final blocks of a store, then those in one-block files, which may be of several branches.
async fn print_store(store: &BlockStore, printer: &mut Printer<impl Write>) -> anyhow::Result<()> {
    let mut last = None;
    let bases = store.bundles().await?;
    let mut names = store.one_blocks().await?;
    let last_base = bases.last().copied();
    for base in bases {
        let range = printer.needed();
        if base > *range.end() || base.saturating_add(BUNDLE_BLOCKS - 1) < *range.start() {
            continue;
        }
        let mut blocks = pin!(store.read_bundle_blocks(base, range));
        while let Some(block) = blocks.try_next().await? {
            last = Some(block.number());
            printer.print(block.decode()?)?;
        }
    }
    let highest = names.iter().map(|name| name.number).max();
    printer.seen(highest.max(last_base.map(|base| base.saturating_add(BUNDLE_BLOCKS - 1))));
    names.retain(|name| last.is_none_or(|last| name.number > last) && printer.needed().contains(&name.number));
    // Several writers may each have written the same block.
    names.dedup_by(|a, b| a.is_same_block(b));
    let mut blocks = pin!(store.read_one_blocks(names));
    while let Some(block) = blocks.try_next().await? {
        printer.print(block.decode()?)?;
    }
    printer.flush()
}

struct Printer<W> {
    out: W,
    format: Format,
    range: RangeInclusive<u32>,
    /// Absent if nothing is to be decoded.
    abis: Option<Abis>,
    progress: Option<Progress>,
    /// Number of the highest block that there is, about.
    highest: Option<u32>,
    printed: u64,
}

impl<W: Write> Printer<W> {
    /// The blocks to be read: of those before the first one, the ABIs are needed.
    fn needed(&self) -> RangeInclusive<u32> {
        let start = if self.abis.is_some() { 0 } else { *self.range.start() };
        start..=*self.range.end()
    }

    fn abi_dump(&mut self, dump: &AbiDump) {
        if let Some(abis) = &mut self.abis {
            abis.dump(dump);
        }
    }

    fn print(&mut self, mut block: Block) -> anyhow::Result<()> {
        if let Some(abis) = &mut self.abis {
            abis.fill(&mut block)?;
        }
        if let Some(progress) = &self.progress {
            progress.advance();
        }
        self.seen(Some(block.number));
        if !self.range.contains(&block.number) {
            return Ok(());
        }
        self.printed += 1;
        match self.format {
            Format::Text => writeln!(
                self.out,
                "{:>10} {} {} {:<13} lib {} transactions {} traces {} actions {}",
                block.number,
                block.id,
                block.header.timestamp,
                block.header.producer,
                block.lib_num(),
                block.unfiltered_transaction_count,
                block.unfiltered_transaction_trace_count,
                block.unfiltered_executed_total_action_count,
            ),
            Format::Json => {
                serde_json::to_writer(&mut self.out, &block).context(STDOUT)?;
                self.out.write_all(b"\n")
            }
        }
        .context(STDOUT)
    }

    /// There is a block of that number.
    fn seen(&mut self, number: Option<u32>) {
        self.highest = self.highest.max(number);
    }

    /// Ends the output. Nothing at all may surprise, so that the reason is told.
    fn flush(&mut self) -> anyhow::Result<()> {
        self.out.flush().context(STDOUT)?;
        if self.printed == 0
            && let Some(highest) = self.highest
        {
            let range = match (*self.range.start(), *self.range.end()) {
                (first, u32::MAX) => format!("from {first} on"),
                (first, last) => format!("from {first} to {last}"),
            };
            tracing::warn!("there is no block {range}: the highest block is {highest}");
        }
        Ok(())
    }
}
