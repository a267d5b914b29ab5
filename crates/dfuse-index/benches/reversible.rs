//! What it costs when nothing becomes final: memory, time to take a block, reads at the head, a restart, and the commit of
//! everything once finality is back. Each measurement is a process of its own.
//!
//! `cargo bench -p dfuse-index --bench reversible`; with `-- 10000` for that number of blocks only.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    hint::black_box,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use dfuse_antelope::{
    BlockTimestamp, Checksum256,
    model::{Block, BlockHeader, wire::ReverseWriter},
};
use dfuse_blocks::{
    BlockStore, CursorKey, EncodedBlock, Step, StoreOptions, SystemClock,
    feed::{Feed, FeedOptions, Start},
};
use dfuse_index::{
    BlockContext, BlockRef, ChainStep, Delta, DeltaBuilder, Family, Index, Options, Pipeline, Result, ScratchSpace,
    View, blocks::Blocks, follow, open_store,
};
use dfuse_kv::{Direction, EngineOptions, KeyRange, Store};
use futures::{StreamExt, stream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROLE: &str = "DFUSE_BENCH_ROLE";
const FIRST: u32 = 2;
/// A block that comes first and loses stands beside each block whose number is a multiple of this.
const FORK_EVERY: u32 = 12;
const ROWS: Family = Family::new("rows");

/// So many rows a block: a tenth of them again and again, the others new. Each is read before it is written.
struct Rows(u32);

impl Index for Rows {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[ROWS]
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        let mut delta = DeltaBuilder::new();
        for row in 0..self.0 {
            let key = row_key(if row < self.0 / 10 { 0 } else { context.block().number }, row);
            black_box(view.get(ROWS, &key)?);
            delta.put(ROWS, key, [0; 60]);
        }
        Ok(delta.build())
    }
}

fn row_key(number: u32, row: u32) -> [u8; 32] {
    Checksum256::sha256(&[number.to_be_bytes(), row.to_be_bytes()].concat()).0
}

fn indexes(writes: u32) -> Vec<Arc<dyn Index>> {
    vec![Arc::new(Blocks), Arc::new(Rows(writes))]
}

fn id(number: u32, lost: bool) -> Checksum256 {
    let mut id = Checksum256::sha256(&[&number.to_be_bytes()[..], &[lost.into()]].concat());
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    id
}

fn block(number: u32, lost: bool) -> Block {
    let header =
        BlockHeader { timestamp: BlockTimestamp(number), previous: id(number - 1, false), ..Default::default() };
    Block { id: id(number, lost), number, version: 1, header, ..Default::default() }
}

fn reference(block: &Block) -> BlockRef {
    BlockRef { number: block.number, id: block.id }
}

fn resident_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default();
    (pages * 4096) >> 20
}

/// What the process has had of the processors, or this thread alone: on a machine that others use, too, it says more than the
/// time that passed.
fn cpu(thread_only: bool) -> Duration {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    if thread_only {
        let text = read("/proc/thread-self/schedstat");
        return Duration::from_nanos(text.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or_default());
    }
    let text = read("/proc/self/stat");
    let fields = text.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    // User and system, in hundredths of a second.
    Duration::from_millis(fields.filter_map(|it| it.parse::<u64>().ok()).sum::<u64>() * 10)
}

async fn open_feed(folder: &Path) -> Feed {
    let store = BlockStore::open(folder.to_str().unwrap(), StoreOptions::default()).unwrap();
    let options = FeedOptions { data_dir: Some(folder.to_owned()), ..FeedOptions::default() };
    Feed::open(store, CursorKey::new([0; 32]), options, &SystemClock::new()).await.unwrap().0
}

/// Puts the blocks into the feed's files.
async fn fill(folder: &Path, count: u32) {
    let mut feed = open_feed(folder).await;
    let mut writer = ReverseWriter::new();
    for number in FIRST..FIRST + count {
        for lost in [true, false].into_iter().filter(|lost| !lost || number.is_multiple_of(FORK_EVERY)) {
            feed.push(EncodedBlock::encode(&block(number, lost), &mut writer).unwrap()).await.unwrap();
        }
    }
}

fn open_pipeline(folder: &Path, writes: u32, overlay_bytes: usize) -> (Arc<dyn Store>, Pipeline) {
    let (store, reopen) = open_store(folder, &indexes(writes), EngineOptions::default()).unwrap();
    let scratch = ScratchSpace::in_directory(folder.join("scratch"));
    let options = Options { overlay_bytes, scratch, ..Options::default() };
    (store.clone(), Pipeline::open(store, Some(reopen), indexes(writes), options).unwrap())
}

fn per(reads: u32, mut read: impl FnMut(u32)) -> Duration {
    let start = cpu(true);
    (0..reads).for_each(&mut read);
    (cpu(true) - start) / reads
}

/// The blocks come one by one.
fn take(folder: &Path, count: u32, writes: u32, overlay_bytes: usize) {
    let (_store, mut pipeline) = open_pipeline(folder, writes, overlay_bytes);
    let before = resident_megabytes();
    let last = (count / 10).max(100);
    let (mut at_depth, mut worst) = (Duration::ZERO, Duration::ZERO);
    for number in FIRST..FIRST + count {
        if number == FIRST + count - last {
            at_depth = cpu(true);
        }
        let start = Instant::now();
        if number.is_multiple_of(FORK_EVERY) {
            let lost = block(number, true);
            pipeline.apply(&lost).unwrap();
            pipeline.undo(reference(&lost)).unwrap();
        }
        pipeline.apply(&block(number, false)).unwrap();
        worst = worst.max(start.elapsed());
    }
    let at_depth = (cpu(true) - at_depth) / last;
    let resident = resident_megabytes() - before;
    let serving = pipeline.serving().snapshot();
    let key = |at: u32| row_key(FIRST + at.wrapping_mul(7919) % count, writes / 10 + at % (writes - writes / 10));
    let get = per(20_000, |at| drop(black_box(serving.view().get(ROWS, &key(at)).unwrap().unwrap())));
    let first = per(2_000, |at| {
        let range = KeyRange::new(key(at).as_slice()..);
        drop(black_box(serving.view().first(ROWS, &range, Direction::Forward).unwrap().unwrap()));
    });
    let status = pipeline.serving().status();
    print!(
        "| {count} | {writes} | {} MB | {} | {resident} MB | {at_depth:.0?} | {worst:.1?} | {get:.1?} | {first:.1?} |",
        overlay_bytes >> 20,
        status.spilled_blocks,
    );
}

/// The process starts again with all that was there, and then everything becomes final.
async fn restart(blocks: &Path, folder: &Path, count: u32, writes: u32, overlay_bytes: usize) {
    let before = resident_megabytes();
    let start = Instant::now();
    let feed = open_feed(blocks).await;
    let feed_open = start.elapsed();
    let start = Instant::now();
    let (_store, pipeline) = open_pipeline(folder, writes, overlay_bytes);
    let index_open = start.elapsed();
    let start = (Instant::now(), cpu(false));
    let subscription = feed.handle().subscribe(Start::Block(FIRST)).await.unwrap();
    let steps = stream::try_unfold(subscription, async |mut subscription| {
        let Some(event) = subscription.next().await? else { return Ok(None) };
        assert_eq!(event.step, Step::New);
        let step = ChainStep::New { block: event.block.block().await?, is_final: event.is_final };
        Ok::<_, dfuse_blocks::Error>(Some((step, subscription)))
    });
    let mut pipeline = follow(pipeline, Box::pin(steps.take(count as usize)), drop).await.unwrap();
    let replay = (start.0.elapsed(), cpu(false) - start.1);
    let resident = resident_megabytes() - before;
    let head = pipeline.head().unwrap();
    assert_eq!(head.number, FIRST + count - 1);
    let start = (Instant::now(), cpu(false));
    pipeline.finalize(head).unwrap();
    let commit = (start.0.elapsed(), cpu(false) - start.1);
    println!(
        " {feed_open:.2?} | {index_open:.2?} | {:.1?} / {:.1?} | {resident} MB | {:.1?} / {:.1?} |",
        replay.0, replay.1, commit.0, commit.1
    );
}

fn main() {
    if let Ok(role) = std::env::var(ROLE) {
        let words: Vec<_> = role.split(' ').collect();
        let number = |at: usize| words[at].parse::<u32>().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let [blocks, folder] = [1, 2].map(|at| Path::new(words[at]));
        return match words[0] {
            "fill" => runtime.block_on(fill(blocks, number(3))),
            "take" => take(folder, number(3), number(4), (number(5) as usize) << 20),
            _ => runtime.block_on(restart(blocks, folder, number(3), number(4), (number(5) as usize) << 20)),
        };
    }
    let only = std::env::args().find_map(|argument| argument.parse::<u32>().ok());
    println!(
        "| reversible | writes each | budget | spilled | memory | block taken, CPU | worst | point read, CPU | first of a \
         range, CPU | feed opened | indexes opened | blocks taken again, time / CPU | memory after that | all committed, \
         time / CPU |"
    );
    println!("|{}", "---|".repeat(14));
    for count in [330, 10_000, 100_000].into_iter().filter(|count| only.is_none_or(|only| only == *count)) {
        let blocks = tempfile::tempdir().unwrap();
        let run = |role: &str, folder: &Path, rest: &str| {
            let role = format!("{role} {} {} {count} {rest}", blocks.path().display(), folder.display());
            assert!(Command::new(std::env::current_exe().unwrap()).env(ROLE, role).status().unwrap().success());
        };
        run("fill", blocks.path(), "");
        for (writes, budget) in [(10, 512), (10, 64), (100, 512), (100, 64)] {
            let folder = tempfile::tempdir().unwrap();
            let rest = format!("{writes} {budget}");
            run("take", folder.path(), &rest);
            run("restart", folder.path(), &rest);
        }
    }
}
