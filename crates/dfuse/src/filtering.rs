//! Blocks without what a filter leaves out, and the ABIs with which its expressions look at data, branch by branch.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use anyhow::Context;
use dfuse_antelope::{
    AbiDump, Checksum256, Name,
    abi::AbiSerializer,
    model::{Block, wire::ReverseWriter},
};
use dfuse_blocks::EncodedBlock;
use dfuse_index::{
    BlockContext, Serving,
    abi::{self, AbiCache, AbiRecord},
};
use dfuse_search::Filter;

/// Packed ABIs that are kept compiled.
const COMPILED_BYTES: usize = 8 << 20;
/// From which size on ABIs of final blocks are left to the indexes, if there are any.
const MAX_SETTLED_BYTES: usize = 16 << 20;

/// A block without what the filter leaves out; `abis` are absent where no expression looks at data.
///
/// # Errors
/// The block does not decode, or the ABIs of its actions cannot be read.
pub(crate) fn filtered(
    filter: &Filter,
    abis: Option<&mut BranchAbis>,
    block: Option<Arc<Block>>,
    encoded: EncodedBlock,
) -> anyhow::Result<(Option<Arc<Block>>, EncodedBlock)> {
    let mut own = match block {
        Some(block) => Arc::unwrap_or_clone(block),
        None => encoded.decode()?,
    };
    let is_filtered = match abis {
        Some(abis) => {
            let mut at = abis.at(&own);
            filter.apply(&mut own, &mut |account, sequence| at.abi(account, sequence))?
        }
        None => filter.apply(&mut own, &mut |_, _| Ok(None))?,
    };
    let encoded = if is_filtered { EncodedBlock::encode(&own, &mut ReverseWriter::new())? } else { encoded };
    Ok((Some(Arc::new(own)), encoded))
}

/// The ABIs of every branch: those that the indexes have of blocks up to `base`, and those that later blocks set.
pub(crate) struct BranchAbis {
    /// Absent where all blocks are seen from the first one on.
    serving: Option<Arc<Serving>>,
    compiled: AbiCache,
    /// Number of a final block.
    base: Option<u32>,
    /// Number of the last final block by those that were seen.
    lib: u32,
    /// Set by final blocks after that.
    settled: HashMap<Name, AbiRecord>,
    settled_bytes: usize,
    /// Blocks that can be undone, and what they set.
    blocks: BTreeMap<Checksum256, Seen>,
    dumps: Vec<AbiDump>,
}

struct Seen {
    previous: Checksum256,
    set: Vec<(Name, AbiRecord)>,
}

impl BranchAbis {
    pub(crate) fn new(serving: Option<Arc<Serving>>) -> Self {
        Self {
            serving,
            compiled: AbiCache::new(COMPILED_BYTES),
            base: None,
            lib: 0,
            settled: HashMap::new(),
            settled_bytes: 0,
            blocks: BTreeMap::new(),
            dumps: Vec::new(),
        }
    }

    /// The same that knows of no block.
    pub(crate) fn anew(&mut self) {
        let (serving, dumps) = (self.serving.clone(), std::mem::take(&mut self.dumps));
        *self = Self { dumps, ..Self::new(serving) };
    }

    /// ABIs that were in force before the next block.
    pub(crate) fn take_dump(&mut self, dump: &AbiDump) {
        self.dumps.push(dump.clone());
    }

    /// Whether the block must be seen before one that follows it.
    pub(crate) fn lacks(&self, block: Checksum256) -> bool {
        block.block_num() > self.lib && !self.blocks.contains_key(&block)
    }

    /// Whether [`BranchAbis::begin`] was called.
    pub(crate) fn has_begun(&self) -> bool {
        self.base.is_some()
    }

    /// Waits until the indexes have the block that is the last final one: later ones must be seen.
    pub(crate) async fn begin(&mut self, base: u32) -> anyhow::Result<()> {
        if let Some(serving) = &self.serving {
            let mut changes = serving.changes();
            while serving.snapshot().head().map_or(0, |head| head.number) < base {
                changes.changed().await.context("the indexes have ended")?;
            }
        }
        (self.base, self.lib) = (Some(base), base);
        Ok(())
    }

    /// Takes what a block sets.
    pub(crate) fn see(&mut self, block: &Block) {
        let seen = Seen { previous: block.header.previous, set: sorted(abi::changes(&BlockContext::new(block))) };
        self.blocks.insert(block.id, seen);
        self.settle(block);
    }

    /// What is final by this block is of its branch.
    fn settle(&mut self, block: &Block) {
        let lib = block.lib_num();
        let final_blocks: Vec<_> = branch(&self.blocks, block.id).filter(|(id, _)| id.block_num() <= lib).collect();
        let Some(last) = final_blocks.first().map(|(id, _)| *id) else { return };
        self.lib = self.lib.max(last.block_num());
        let set: Vec<_> = final_blocks.iter().rev().flat_map(|(_, seen)| seen.set.clone()).collect();
        // Blocks follow each other in the order of their ids. The last final one shows that it was seen.
        self.blocks.retain(|id, _| id.block_num() > lib || *id == last);
        for (account, record) in set {
            self.settled_bytes += record.abi.len();
            self.settled.insert(account, record);
        }
        let indexed = self.serving.as_ref().and_then(|serving| serving.snapshot().lib()).map_or(0, |lib| lib.number);
        if self.settled_bytes > MAX_SETTLED_BYTES && indexed > self.base.unwrap_or(0) {
            let base = indexed.min(lib);
            self.base = Some(base);
            self.settled.retain(|_, record| record.block_number > base);
            self.settled_bytes = self.settled.values().map(|record| record.abi.len()).sum();
            self.dumps.retain(|dump| dump.block_num > base);
        }
    }

    /// Those at the actions of a block.
    fn at(&mut self, block: &Block) -> AtBlock<'_> {
        let own = sorted(abi::changes(&BlockContext::new(block)));
        let branch = branch(&self.blocks, block.header.previous).filter(|(_, seen)| !seen.set.is_empty());
        AtBlock { own, branch: branch.map(|(_, seen)| &seen.set[..]).collect(), abis: self, known: HashMap::new() }
    }

    /// The one that was in force after the base.
    fn known_before(&self, account: Name) -> dfuse_index::Result<Option<AbiRecord>> {
        if let Some(record) = self.settled.get(&account) {
            return Ok(Some(record.clone()));
        }
        if let Some(snapshot) = self.serving.as_ref().map(|serving| serving.snapshot()) {
            if let Some(record) = abi::after_block(snapshot.view(), account, self.base.unwrap_or(0))? {
                return Ok(Some(record));
            }
            if abi::history(snapshot.view(), account)?.next().is_some() {
                return Ok(None);
            }
        }
        // Indexes may not have taken it yet.
        let dumped = self.dumps.iter().find_map(|dump| {
            let (_, abi) = dump.abis.iter().find(|(of, _)| *of == account)?;
            Some(AbiRecord { block_number: dump.block_num, global_sequence: 0, abi: abi.clone() })
        });
        Ok(dumped)
    }
}

/// The blocks that were seen, from that one down.
fn branch(blocks: &BTreeMap<Checksum256, Seen>, from: Checksum256) -> impl Iterator<Item = (Checksum256, &Seen)> {
    let first = blocks.get_key_value(&from);
    let all = std::iter::successors(first, |(_, seen)| blocks.get_key_value(&seen.previous));
    all.map(|(id, seen)| (*id, seen))
}

fn sorted(mut changes: Vec<(Name, AbiRecord)>) -> Vec<(Name, AbiRecord)> {
    changes.sort_by_key(|(_, record)| record.global_sequence);
    changes
}

/// The ABIs at the actions of a block.
struct AtBlock<'a> {
    /// What the block itself sets.
    own: Vec<(Name, AbiRecord)>,
    /// What blocks before it set, the newest first.
    branch: Vec<&'a [(Name, AbiRecord)]>,
    abis: &'a BranchAbis,
    known: HashMap<Name, Option<AbiRecord>>,
}

impl AtBlock<'_> {
    fn abi(&mut self, account: Name, global_sequence: u64) -> dfuse_index::Result<Option<Arc<AbiSerializer>>> {
        let compiled = |record: &AbiRecord| {
            let is_one = !record.abi.is_empty();
            is_one.then(|| self.abis.compiled.get(account, record)).flatten()
        };
        let mut own = self.own.iter().rev();
        let own = own.find(|(of, record)| *of == account && record.global_sequence < global_sequence);
        if let Some((_, record)) = own {
            return Ok(compiled(record));
        }
        if let Some(known) = self.known.get(&account) {
            return Ok(known.as_ref().and_then(compiled));
        }
        let of_account = |set: &&[(Name, AbiRecord)]| set.iter().rev().find(|(of, _)| *of == account).cloned();
        let record = match self.branch.iter().find_map(of_account) {
            Some((_, record)) => Some(record),
            None => self.abis.known_before(account)?,
        };
        let found = record.as_ref().and_then(compiled);
        self.known.insert(account, record);
        Ok(found)
    }
}
