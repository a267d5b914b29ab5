//! A block store that is read, and followed if others write to it.

use std::{collections::BTreeSet, pin::pin, time::Duration};

use dfuse_antelope::{AbiDump, Name};
use dfuse_blocks::{Backoff, BlockStore, EncodedBlock, Located, OneBlockName, bundle::base_of};
use futures::TryStreamExt;
use tracing::warn;

use crate::{Error, Result, SourceEvent, SourceOptions, event::Sender};

/// How long to wait before a store that failed is read again, the first time and at most; doubled from time to time.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Blocks for which it is remembered that they were read, below the first that may still come: children of theirs may be late.
const REMEMBERED: u32 = 500;

/// Reads a block store: ABI dumps, then bundles, then one-block files, of all branches, by number. One-block files that
/// come later are found by looking again. A block that was read from a one-block file comes again from its bundle. A store that is
/// followed and fails is tried again.
pub(crate) async fn read(place: &str, store: BlockStore, options: &SourceOptions, sender: &Sender) -> Result<()> {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    let mut following = None;
    let mut interrupted = false;
    loop {
        let looked = match &mut following {
            Some(following) => look(following, sender).await,
            None => match located(place, store.clone(), options, sender).await {
                Ok(Some(store)) => {
                    following = Some(Following::new(store, options));
                    continue;
                }
                Ok(None) => return Ok(()),
                Err(error) => Err(error),
            },
        };
        let pause = match looked {
            Ok(Looked::Unwanted) => return Ok(()),
            Ok(Looked::All) if !options.follow => return Ok(()),
            Ok(looked) => {
                backoff.reset();
                let goes_on = SourceEvent::Interrupted(None);
                if std::mem::take(&mut interrupted) && sender.send(Ok(goes_on)).await.is_err() {
                    return Ok(());
                }
                if looked == Looked::Some { Duration::ZERO } else { options.poll }
            }
            Err(Error::Blocks(failure @ dfuse_blocks::Error::Store { .. })) if options.follow => {
                warn!(error = %failure, "the block store \"{place}\" cannot be read, and is tried again");
                interrupted = true;
                if sender.send(Ok(SourceEvent::Interrupted(Some(failure.to_string())))).await.is_err() {
                    return Ok(());
                }
                backoff.next_pause()
            }
            Err(error) => return Err(error),
        };
        tokio::select! {
            () = sender.closed() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What a look at the store has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Nobody wants the blocks.
    Unwanted,
    /// There may be more at once.
    Some,
    /// Everything that is there was read.
    All,
    /// Something that is there could not be read yet.
    Later,
}

/// How far a store was read.
pub(crate) struct Following {
    store: BlockStore,
    /// Number after the last block of bundles that were read.
    pub(crate) next: u32,
    /// Number of the highest block that was handed on, and the last irreversible one that it names.
    pub(crate) highest: (u32, u32),
    /// Blocks were read, so that the next one must be there.
    pub(crate) has_begun: bool,
    /// Number of the first block that was read.
    first: Option<u32>,
    /// The last block of bundles that was read.
    last: Option<OneBlockName>,
    /// One-block files that were read: the same block may stand under several names.
    seen: BTreeSet<(u32, String)>,
    /// Blocks of the ABI dumps that were read or are there.
    dumps: BTreeSet<u32>,
    has_native_abi: bool,
    /// Whether the next look is for ABI dumps even if there is no new block.
    pub(crate) wants_dumps: bool,
}

impl Following {
    pub(crate) fn new(store: BlockStore, options: &SourceOptions) -> Self {
        Self {
            store,
            next: options.start_block,
            highest: (0, 0),
            has_begun: false,
            first: None,
            last: None,
            seen: BTreeSet::new(),
            dumps: options.known_dumps.iter().copied().collect(),
            has_native_abi: !options.is_empty,
            wants_dumps: true,
        }
    }

    /// Whether a block was handed on that did not come from a bundle.
    pub(crate) fn has_seen(&self, name: &OneBlockName) -> bool {
        self.seen.contains(&(name.number, name.id.clone()))
    }

    /// Whether the parent of a block was handed on. The parent of a block that lost may have been put aside before it was seen: then
    /// the block is worth nothing.
    pub(crate) fn follows(&self, name: &OneBlockName) -> bool {
        self.first.is_none_or(|first| name.number <= first)
            || name.number.checked_sub(1).is_some_and(|before| self.seen.contains(&(before, name.previous.clone())))
            || self.last.as_ref().is_some_and(|last| last.number + 1 == name.number && last.id == name.previous)
    }

    /// A block was handed on that did not come from a bundle.
    pub(crate) fn saw(&mut self, name: &OneBlockName) {
        self.first.get_or_insert(name.number);
        self.seen.insert((name.number, name.id.clone()));
        self.highest = self.highest.max((name.number, name.lib_number));
    }

    /// Files may be others by now.
    pub(crate) fn forget_tables(&self) {
        self.store.forget_tables();
    }

    /// Forgets what cannot have children any more.
    pub(crate) fn forget(&mut self) {
        let lowest = self.next.saturating_sub(REMEMBERED);
        self.seen.retain(|(number, _)| *number >= lowest);
    }
}

/// Looks what is new. Where nothing is, an object store has to answer two requests.
pub(crate) async fn look(following: &mut Following, sender: &Sender) -> Result<Looked> {
    // Before the bundles: a one-block file is deleted only when its bundle is there.
    let names = following.store.one_blocks_from(following.next).await?;
    let bundles = following.store.bundles_from(following.next).await?;
    // Dumps are written about when the first of their blocks is: before it, or just after it.
    let is_new = !bundles.is_empty() || names.iter().any(|name| !following.has_seen(name));
    if is_new || following.wants_dumps {
        if take_dumps(following, sender).await?.is_err() {
            return Ok(Looked::Unwanted);
        }
        following.wants_dumps = is_new;
    }
    let Following { store, next, highest, has_begun, first, last, .. } = following;
    // A bundle that is listed has that block at least.
    if let Some(last) = bundles.last().copied().filter(|last| *last >= *next)
        && sender.send(Ok(SourceEvent::HasUpTo(last))).await.is_err()
    {
        return Ok(Looked::Unwanted);
    }
    let before = *next;
    for base in bundles {
        let is_gap = *has_begun && base > *next && !names.iter().any(|name| name.number == *next);
        if is_gap {
            return Err(store.missing_bundle(*next).into());
        }
        let mut blocks = pin!(store.read_bundle_blocks(base, *next..=u32::MAX));
        while let Some(block) = blocks.try_next().await? {
            *next = block.number().saturating_add(1);
            *has_begun = true;
            first.get_or_insert(block.number());
            *highest = (*highest).max((block.number(), block.number()));
            *last = Some(OneBlockName::new(&block, ""));
            if send(sender, block).await.is_err() {
                return Ok(Looked::Unwanted);
            }
        }
    }
    if *next > before {
        // Further bundles may be there, and one-block files that the names do not have.
        return Ok(Looked::Some);
    }
    // Single blocks follow those of the last bundle; a later one may be there before an earlier one for a moment only.
    let is_gap = |name: &OneBlockName| base_of(name.number) > base_of(*next);
    if *has_begun && names.first().is_some_and(is_gap) {
        return Err(store.missing_bundle(*next).into());
    }
    following.forget();
    take_one_blocks(following, names, sender).await
}

/// Hands on blocks that follow what was handed on. One that several machines wrote is read from the first file that is whole.
async fn take_one_blocks(following: &mut Following, names: Vec<OneBlockName>, sender: &Sender) -> Result<Looked> {
    let mut damaged = Vec::new();
    for name in names {
        if following.has_seen(&name) || !following.follows(&name) {
            continue;
        }
        let block = match following.store.read_one_block(&name).await {
            Ok(block) => block,
            // It is in a bundle by now, or lost: the next look tells.
            Err(dfuse_blocks::Error::NotFound(_)) => return Ok(Looked::Later),
            Err(error @ dfuse_blocks::Error::Damaged { .. }) => {
                damaged.push((name, error));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        following.saw(&name);
        if send(sender, block).await.is_err() {
            return Ok(Looked::Unwanted);
        }
    }
    match damaged.into_iter().find(|(name, _)| !following.has_seen(name)) {
        Some((_, error)) => Err(error.into()),
        None => Ok(Looked::All),
    }
}

/// Hands on the ABI dumps that have come, and without any the ABI that every chain begins with.
async fn take_dumps(following: &mut Following, sender: &Sender) -> Result<Result<(), ()>> {
    let Following { store, dumps, has_native_abi, .. } = following;
    let mut new = Vec::new();
    for block_num in store.abi_dumps().await? {
        if !dumps.contains(&block_num) {
            new.push(store.read_abi_dump(block_num).await?);
        }
    }
    let is_native = |dump: &AbiDump| dump.abis.iter().any(|(contract, _)| *contract == Name::EOSIO);
    if !*has_native_abi && !new.iter().any(is_native) {
        new.push(AbiDump::native());
    }
    for dump in new {
        dumps.insert(dump.block_num);
        *has_native_abi = true;
        if sender.send(Ok(SourceEvent::AbiDump(dump))).await.is_err() {
            return Ok(Err(()));
        }
    }
    Ok(Ok(()))
}

/// Where the store has its files. One that is empty may be filled later; nothing comes back if nobody waits for that.
pub(crate) async fn located(
    place: &str,
    store: BlockStore,
    options: &SourceOptions,
    sender: &Sender,
) -> Result<Option<BlockStore>> {
    let mut told = false;
    loop {
        match store.clone().locate(place).await? {
            Located::Store(store) => return Ok(Some(store)),
            Located::Empty(why) if !options.follow => return Err(why.into()),
            Located::Empty(why) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%why, "waiting for block files");
                }
            }
        }
        tokio::select! {
            () = sender.closed() => return Ok(None),
            () = tokio::time::sleep(options.poll) => {}
        }
    }
}

async fn send(sender: &Sender, encoded: EncodedBlock) -> Result<(), ()> {
    sender.send(Ok(SourceEvent::Block { block: None, encoded })).await.map_err(drop)
}
