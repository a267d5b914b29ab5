//! What a node with the state-history plugin leaves on disk, read directly: logs of traces and deltas beside the block log.
//!
//! The block log has final blocks only, so that there are no forks in what comes of it. Blocks are read and decoded in batches, on
//! all cores and ahead of where they are put together: that goes in order, since what a block changed can be told only from what its
//! parent left.

mod changes;
mod files;
mod folders;
mod logs;

use std::{io, sync::mpsc, thread};

pub use changes::state_changes;
use dfuse_antelope::{AbiDump, model::wire::ReverseWriter};
use dfuse_blocks::EncodedBlock;
use dfuse_ship::{Assembler, Consensus, HistoryBlock};
pub use folders::HistoryFolders;
use logs::{Logs, Raw};
use tokio::runtime::Handle;

use crate::{
    Error, Result, SourceEvent, SourceOptions, StateEvent,
    event::{Sender, closes_within},
    kept::{Beginning, beginning, settle},
    whole_state::StateReader,
};

/// How often logs are looked for again when something is not there: a node can be at work on them.
const LOOKS: u32 = 3;

type Batch = Result<Vec<HistoryBlock>>;

/// Reads the logs of a node's data directory, until their end or, if it is to be followed, for as long as blocks are wanted.
pub(crate) fn read(folder: &HistoryFolders, options: &SourceOptions, sender: &Sender, runtime: &Handle) -> Result<()> {
    let mut logs = Logs::open(folder)?;
    let chain = logs.chain()?;
    if let Some(wanted) = options.chain_id.filter(|wanted| *wanted != chain.chain_id) {
        let why = format!("{folder} is of chain {} instead of {wanted}", chain.chain_id);
        return Err(Error::HistoryMissing(why));
    }
    tracing::info!(chain_id = %chain.chain_id, %folder, "logs of state history");
    let mut assembler = match beginning(options)? {
        Beginning::GoesOn(assembler) => {
            logs.go_to(assembler.head().block_num().saturating_add(1))?;
            *assembler
        }
        Beginning::Anew(rows) => {
            let (genesis, first) = logs.genesis(chain)?;
            // A chain begins with an ABI that no action has set.
            if sender.blocking_send(Ok(SourceEvent::AbiDump(AbiDump::native()))).is_err() {
                return Ok(());
            }
            Assembler::genesis(&genesis, first.id, first.deltas, rows)
        }
    };
    let (batches, decoded) = mpsc::sync_channel::<Batch>(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            let read = read_ahead(&mut logs, options, (sender, runtime), &batches);
            if let Err(error) = read {
                // Nobody is there any more if this fails.
                let _ = batches.send(Err(error));
            }
        });
        let mut writer = ReverseWriter::new();
        for batch in decoded {
            let wrong = |error| Error::History { place: folder.to_string(), source: error };
            // An empty batch comes now and then at the end of the logs, by when more is there for good.
            settle(&mut assembler, options).map_err(wrong)?;
            for parts in batch? {
                let number = parts.id.block_num();
                let block = assembler.block(parts).map_err(wrong)?;
                settle(&mut assembler, options).map_err(wrong)?;
                if number < options.start_block {
                    continue;
                }
                let encoded = EncodedBlock::encode(&block, &mut writer)?;
                let event = SourceEvent::Block { block: Some(block.into()), encoded };
                if sender.blocking_send(Ok(event)).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    })
}

/// Gives the state that the logs begin with, if they do not begin with the chain.
pub(crate) fn first_state<E: From<Error>>(
    folder: &HistoryFolders,
    take: &mut impl FnMut(StateEvent) -> Result<(), E>,
) -> Result<Option<Consensus>, E> {
    let mut logs = Logs::open(folder)?;
    let chain_id = logs.chain()?.chain_id;
    let Some((id, deltas)) = logs.first_state()? else { return Ok(None) };
    StateReader { id, chain_id: Some(chain_id), place: folder.to_string() }.read(deltas, take).map(Some)
}

/// Reads and decodes until the end of the logs. More of them come with time if they are followed.
fn read_ahead(
    logs: &mut Logs,
    options: &SourceOptions,
    (sender, runtime): (&Sender, &Handle),
    batches: &mpsc::SyncSender<Batch>,
) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut is_told = false;
    // How often in a row something was not where it was looked for.
    let mut missed = 0;
    loop {
        loop {
            let batch = match logs.batch() {
                Err(error) if options.follow && missed < LOOKS && may_have_moved(&error) => {
                    missed += 1;
                    tracing::debug!(%error, "looking for logs again");
                    break;
                }
                batch => batch?,
            };
            if batch.is_empty() {
                break;
            }
            missed = 0;
            if batches.send(Ok(decode(&batch, cores)?)).is_err() {
                return Ok(());
            }
        }
        if !options.follow {
            logs.tell_unfinished();
            return Ok(());
        }
        if missed == 0 && !std::mem::replace(&mut is_told, true) {
            tracing::info!(
                block = logs.next_number().saturating_sub(1),
                "this is the end of the block log; waiting for more"
            );
        }
        // Nobody takes an empty batch if nobody wants more.
        if closes_within(sender, options.poll, runtime) || batches.send(Ok(vec![])).is_err() {
            return Ok(());
        }
        match logs.look_again() {
            Err(error) if missed < LOOKS && may_have_moved(&error) => missed += 1,
            looked => looked?,
        }
    }
}

/// Whether it can be that a node was just about to split its logs, or to put an old part elsewhere.
fn may_have_moved(error: &Error) -> bool {
    match error {
        Error::HistoryMissing(_) => true,
        Error::Open { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Decodes blocks on so many threads; they stay in their order.
fn decode(raw: &[Raw], cores: usize) -> Result<Vec<HistoryBlock>> {
    let share = raw.len().div_ceil(cores).max(1);
    thread::scope(|scope| {
        let decode = |chunk: &[Raw]| chunk.iter().map(Raw::decode).collect::<Result<Vec<_>>>();
        let threads: Vec<_> = raw.chunks(share).map(|chunk| scope.spawn(move || decode(chunk))).collect();
        let mut decoded = Vec::with_capacity(raw.len());
        for thread in threads {
            decoded.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(decoded)
    })
}

fn wrong(place: &str, source: dfuse_ship::Error) -> Error {
    Error::History { place: place.to_owned(), source }
}
