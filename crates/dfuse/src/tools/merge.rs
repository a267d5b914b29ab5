use std::io::Read;

use clap::Args;
use dfuse_antelope::model::wire::ReverseWriter;
use dfuse_blocks::{BlockStore, EncodedBlock, Located, Merger, StoreOptions, mend};
use dfuse_deep_mind::{Event, Reader};
use dfuse_search::{Filter, SYSTEM_ACTIONS};

use crate::{
    failure::usage,
    filtering::{BranchAbis, filtered},
    input::{self, Input, store_options},
    progress::Progress,
    remedy,
    tools::{LineOptions, end_of_log, runtime, whole_store},
};

/// Convert a log to a block store: final blocks go into bundles of 100, forked blocks into a folder of their own, and the rest
/// into one-block files. If the store already has blocks, new ones are added and existing ones are skipped.
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// A deep-mind log (plain, zstd or gzip), "-" for standard input, or "demo"
    #[arg(value_name = "LOG")]
    log: String,
    /// Directory of the store, which is created if it does not exist, or the URL of an object store (s3://, gs:// or az://)
    #[arg(value_name = "STORE")]
    store: String,
    /// Suffix of the names of one-block files. Give each of several writers its own, so that they do not overwrite each other's
    /// files
    #[arg(long, value_name = "NAME", default_value = "dfuse")]
    suffix: String,
    /// Number of the chain's first block. An empty store must begin with this block or with the first block of a bundle
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    first_block: u32,
    #[command(flatten)]
    lines: LineOptions,
    /// Instead of adding to the store, rewrite files that are damaged or missing. Damaged files are moved to its folder "damaged".
    /// Needs as much temporary space as the blocks of the log
    #[arg(long)]
    mend: bool,
    #[command(flatten)]
    filter: FilterArguments,
}

/// Which transactions are kept.
#[derive(Debug, Args)]
struct FilterArguments {
    /// Keep only transactions with such an action, as the setting filter.include: a CEL expression
    #[arg(long, value_name = "CEL", default_value = "*")]
    include: String,
    /// Leave out transactions that have only such actions, as filter.exclude
    #[arg(long, value_name = "CEL", default_value = "")]
    exclude: String,
    /// System actions that count in any case, as filter.system
    #[arg(long, value_name = "CEL", default_value = SYSTEM_ACTIONS, hide_default_value = true)]
    system: String,
}

impl FilterArguments {
    fn programs(&self) -> anyhow::Result<Filter> {
        let Self { include, exclude, system } = self;
        Filter::new(include, exclude, system)
            .map_err(|error| usage(format!("--include, --exclude or --system: {error}")))
    }
}

impl Merge {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Input::Log(log) = input::open(&self.log)? else {
            return Err(usage(format!("{} is not a log; name a deep-mind log", self.log)));
        };
        remedy::set(remedy::Context { blocks: Some(self.store.clone()), ..remedy::Context::default() });
        if self.mend {
            return self.mend(log);
        }
        let store = BlockStore::open(&self.store, store_options(false)).map_err(|e| usage(e.to_string()))?;
        self.merge(log, &store)
    }

    /// Merges the log into a store of its own, and takes from there what is damaged or missing.
    fn mend(&self, log: Box<dyn Read + Send>) -> anyhow::Result<()> {
        let place = whole_store(&self.store);
        let store = BlockStore::open_existing(place, store_options(false)).map_err(|e| usage(e.to_string()))?;
        // As `check blocks` finds it: perhaps by a folder of bundles alone.
        let store = match runtime()?.block_on(store.clone().locate(place))? {
            Located::Store(located) => located,
            Located::Empty(_) => store,
        };
        runtime()?.block_on(must_be_filtered_alike(&store, &self.filter.programs()?))?;
        let folder = tempfile::tempdir()?;
        let place = folder.path().display().to_string();
        let source = BlockStore::open(&place, StoreOptions::default())?;
        self.merge(log, &source)?;
        let mended = runtime()?.block_on(mend(&store, &source))?;
        tracing::info!(
            bundles = mended.bundles,
            one_block_files = mended.one_blocks,
            forked_blocks = mended.forked_blocks,
            abi_dumps = mended.abi_dumps,
            "written anew"
        );
        Ok(())
    }

    fn merge(&self, log: Box<dyn Read + Send>, store: &BlockStore) -> anyhow::Result<()> {
        let mut reader = Reader::with_max_line(log, self.lines.max_bytes());
        let filter = self.filter.programs()?;
        let mut abis = BranchAbis::new(None);
        runtime()?.block_on(async {
            let mut merger = Merger::open(store.clone(), self.first_block, &self.suffix).await?;
            let mut writer = ReverseWriter::new();
            // A dump replaces one of the same block: not before a block has shown that the log is of the store's chain.
            let mut dumps = vec![];
            let progress = Progress::new("blocks");
            while let Some(event) = reader.next_event()? {
                match event {
                    Event::Block(block) => {
                        let encoded = EncodedBlock::encode(&block, &mut writer)?;
                        let encoded = match filter.passes_all() {
                            true => encoded,
                            false => {
                                let (block, encoded) = filtered(&filter, Some(&mut abis), Some(block.into()), encoded)?;
                                block.iter().for_each(|block| abis.see(block));
                                encoded
                            }
                        };
                        merger.push(encoded).await?;
                        for dump in dumps.drain(..) {
                            store.write_abi_dump(dump).await?;
                        }
                        progress.advance();
                    }
                    Event::AbiDump(dump) => {
                        abis.take_dump(&dump);
                        dumps.push(dump);
                    }
                    Event::SwitchFork { .. } => {}
                }
            }
            merger.finish().await?;
            anyhow::Ok(())
        })?;
        end_of_log(&reader)
    }
}

/// Refuses to write blocks anew that are filtered otherwise than those of the store.
async fn must_be_filtered_alike(store: &BlockStore, filter: &Filter) -> anyhow::Result<()> {
    for base in store.bundles().await?.into_iter().rev() {
        // What is damaged or missing is what is to be mended.
        let Ok(block) = store.read_block(base.max(2)).await else { continue };
        let block = block.parts()?.frame()?;
        let [include, exclude, _] = filter.texts_at(block.number);
        let is_alike =
            |list: &str, text: &str| list == text || !text.is_empty() && list.split(";;;").any(|it| it == text);
        let (of_include, of_exclude) = (&block.filtering_include_filter_expr, &block.filtering_exclude_filter_expr);
        if is_alike(of_include, include) && is_alike(of_exclude, exclude) {
            return Ok(());
        }
        return Err(usage(format!(
            "the blocks of this store are filtered, block {} with include \"{of_include}\" and exclude \"{of_exclude}\": give their filter \
             with --include and --exclude, so that what is written anew is like the rest",
            block.number
        )));
    }
    Ok(())
}
