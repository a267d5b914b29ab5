//! A chain of token transfers between accounts of which few are busy and most are not: how fast it is indexed, how many bytes
//! it takes, how long queries take.
//!
//! `cargo bench -p dfuse-search --bench search`, with these variables:
//!
//! - `DFUSE_BENCH_ACTIONS`: number of actions, 10 million if it is not set.
//! - `DFUSE_BENCH_STORE`: a directory for the indexes, which stays. If they are there already they are not made again, so
//!   that queries can be measured alone.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::{
    path::Path,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use dfuse_antelope::{
    AbiDump, Asset, BlockTimestamp, Checksum256, Name,
    abi::{Abi, ActionDef, FieldDef, StructDef},
    model::{
        Action, ActionReceipt, ActionTrace, Block, BlockHeader, DbOp, DbOperation, PermissionLevel,
        TransactionReceiptHeader, TransactionStatus, TransactionTrace,
    },
    raw::Writer,
};
use dfuse_index::{
    BlockRef, Index, Options, Pipeline, ServingSnapshot, abi::Abis, accounts::Accounts, blocks::Blocks, keyspaces,
};
use dfuse_kv::{Direction, EngineOptions, KeyRange, Store};
use dfuse_search::{Budget, PageEnd, Query, Request, SearchIndex, count, search};
use dfuse_trx::Transactions;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOKEN: Name = Name::literal("eosio.token");
const TRANSFER: Name = Name::literal("transfer");
const TRANSFERS_PER_BLOCK: u64 = 50;
const ACTIONS_PER_BLOCK: u64 = TRANSFERS_PER_BLOCK * 3;
const ACCOUNTS: f64 = 1e6;
/// Blocks that come one by one after the others.
const LIVE_BLOCKS: u32 = 1500;
/// Clients that search at a time, and threads that serve them, as many as a server of two cores has.
const CLIENTS: usize = 200;
const READERS: usize = 8;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// As in Zipf's law: each rank up to `most` as often as is inverse to it.
    fn rank(&mut self, most: f64) -> u64 {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (uniform * most.ln()).exp() as u64
    }
}

/// The name of the account with that rank.
fn account(rank: u64) -> Name {
    Name(Random(rank ^ 0x5eed).next() & !0xf | 0x8000_0000_0000_0000)
}

fn abi() -> Abi {
    let field = |(name, kind): (&str, &str)| FieldDef { name: name.into(), type_name: kind.into() };
    let fields = [("from", "name"), ("to", "name"), ("quantity", "asset"), ("memo", "string")].map(field).to_vec();
    let transfer = StructDef { name: "transfer".into(), base: String::new(), fields };
    let action = ActionDef { name: TRANSFER, type_name: "transfer".into(), ..ActionDef::default() };
    Abi { version: "eosio::abi/1.1".into(), structs: vec![transfer], actions: vec![action], ..Abi::default() }
}

fn id(number: u32) -> Checksum256 {
    let mut id = Checksum256::sha256(&number.to_be_bytes());
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    id
}

/// A block; `seen` tells which accounts have a balance, by rank.
fn block(number: u32, seen: &mut [bool]) -> Block {
    let mut random = Random(u64::from(number) << 32);
    let first = u64::from(number) * ACTIONS_PER_BLOCK;
    let traces = (0..TRANSFERS_PER_BLOCK).map(|position| {
        let ranks = [random.rank(ACCOUNTS), random.rank(ACCOUNTS)];
        let [from, to] = ranks.map(account);
        let quantity: Asset = {
            let amount = random.rank(1e9);
            format!("{}.{:04} EOS", amount / 10_000, amount % 10_000).parse().unwrap()
        };
        let memo = match random.next() % 4 {
            0 => format!("order {:x}", random.next()),
            1 => format!("deposit {}", random.rank(1e3)),
            _ => String::new(),
        };
        let mut writer = Writer::new();
        writer.name(from);
        writer.name(to);
        quantity.write(&mut writer);
        writer.blob(memo.as_bytes());
        let authorization = vec![PermissionLevel { actor: from, permission: Name::literal("active") }];
        let raw_data = writer.bytes.into();
        let action = Action { account: TOKEN, name: TRANSFER, authorization, raw_data, ..Action::default() };
        let action_traces = [TOKEN, from, to].into_iter().zip(0u32..).map(|(receiver, index)| {
            let global_sequence = first + position * 3 + u64::from(index);
            let receipt = Some(ActionReceipt { receiver, global_sequence, ..ActionReceipt::default() });
            let (action_ordinal, creator_action_ordinal) = (index + 1, index.min(1));
            let action = action.clone();
            ActionTrace {
                receipt,
                receiver,
                action,
                action_ordinal,
                creator_action_ordinal,
                execution_index: index,
                ..ActionTrace::default()
            }
        });
        let mut row = |rank: u64| {
            let balance = |amount: u64| {
                let mut writer = Writer::new();
                writer.u64(amount);
                writer.u64(0x534f_4504);
                writer.bytes.into()
            };
            let is_update = std::mem::replace(&mut seen[rank as usize], true);
            let payer = account(rank);
            DbOp {
                operation: if is_update { DbOperation::Update } else { DbOperation::Insert },
                code: TOKEN,
                scope: payer,
                table_name: Name::literal("accounts"),
                primary_key: Name(0x53_4f45),
                old_payer: if is_update { payer } else { Name(0) },
                old_data: if is_update { balance(random.rank(1e12)) } else { Default::default() },
                new_payer: payer,
                new_data: balance(random.rank(1e12)),
                ..DbOp::default()
            }
        };
        let db_ops = ranks.map(&mut row).into();
        TransactionTrace {
            id: Checksum256::sha256(&(first + position).to_be_bytes()),
            receipt: Some(TransactionReceiptHeader { status: TransactionStatus::Executed, ..Default::default() }),
            action_traces: action_traces.collect(),
            db_ops,
            ..TransactionTrace::default()
        }
    });
    let unfiltered_transaction_traces = traces.collect();
    let header = BlockHeader { timestamp: BlockTimestamp(number), previous: id(number - 1), ..BlockHeader::default() };
    let mut block = Block { id: id(number), number, header, unfiltered_transaction_traces, ..Block::default() };
    block.update_counts();
    block
}

fn indexes() -> Vec<Arc<dyn Index>> {
    let mut indexes: Vec<Arc<dyn Index>> =
        vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts), Arc::new(Transactions)];
    indexes.extend(dfuse_state::indexes());
    indexes.push(Arc::new(SearchIndex::default()));
    indexes
}

/// A query for an account that some transfers in the whole chain go to.
fn rare(actions: u64, at: usize) -> String {
    format!("data.to:{}", account((actions / 3 / 40).min(ACCOUNTS as u64 / 2) + at as u64 * 7))
}

/// Median and maximum of the times of all runs.
fn times(count: usize, mut run: impl FnMut(usize)) -> (Duration, Duration) {
    let mut times: Vec<_> = (0..count)
        .map(|at| {
            let start = Instant::now();
            run(at);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    (times[count / 2], times[count - 1])
}

fn main() {
    // As the server does.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let actions = std::env::var("DFUSE_BENCH_ACTIONS").map_or(10_000_000, |count| count.parse().unwrap());
    let blocks = (actions / ACTIONS_PER_BLOCK) as u32;
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("DFUSE_BENCH_STORE");
    let folder = folder.as_ref().map_or(temporary.path(), Path::new);
    let store = dfuse_kv::open(folder, &keyspaces(&indexes()), EngineOptions::default()).unwrap().0;
    let mut pipeline = Pipeline::open(store.clone(), None, indexes(), Options::default()).unwrap();
    if pipeline.head().is_none() {
        load(&mut pipeline, actions, blocks);
        store.compact().unwrap();
        let written = written();
        let actions = (f64::from(blocks) + f64::from(LIVE_BLOCKS)) * ACTIONS_PER_BLOCK as f64;
        let (total, disk) = sizes(&*store, actions);
        println!(
            "\nwritten {:.1} bytes an action: {:.1} times what is there, {:.1} times what it takes on disk",
            written / actions,
            written / total,
            written / disk
        );
    }
    let serving = pipeline.serving().snapshot();
    alone(&serving, actions, blocks);
    together(&serving, actions, blocks);
    drop(serving);
    drop(pipeline);
    store.close().unwrap();
}

/// Indexes the chain in bulk, then some more blocks as they come from a node.
fn load(pipeline: &mut Pipeline, actions: u64, blocks: u32) {
    let dump = AbiDump { abis: vec![(TOKEN, abi().to_bytes().into())], ..AbiDump::default() };
    pipeline.abi_dump(dump).unwrap();
    let mut seen = vec![false; ACCOUNTS as usize + 1];
    let mut indexing = Duration::ZERO;
    for number in 2..2 + blocks {
        let block = block(number, &mut seen);
        let start = Instant::now();
        pipeline.append_final(&block).unwrap();
        indexing += start.elapsed();
    }
    let start = Instant::now();
    pipeline.flush().unwrap();
    indexing += start.elapsed();
    let rate = actions as f64 / indexing.as_secs_f64();
    println!("{actions} actions in {blocks} blocks indexed in {indexing:.1?}, {rate:.0} actions a second\n");

    let mut live = Vec::new();
    for number in 2 + blocks..2 + blocks + LIVE_BLOCKS {
        let block = block(number, &mut seen);
        let start = Instant::now();
        pipeline.apply(&block).unwrap();
        live.push(start.elapsed());
        let last = number - 12;
        pipeline.finalize(BlockRef { number: last, id: id(last) }).unwrap();
    }
    live.sort_unstable();
    let (median, nearly, most) = (live[live.len() / 2], live[live.len() * 99 / 100], live[live.len() - 1]);
    println!("a new block: {median:.1?} median, {nearly:.1?} at 99 %, {most:.1?} at most\n");
}

/// Bytes that this process has given to the operating system to write, or nothing where that is not told.
fn written() -> f64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let bytes = io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok());
    bytes.unwrap_or(f64::NAN)
}

/// Bytes of each family, as they are and on disk; tells the sum of both.
fn sizes(store: &dyn Store, actions: f64) -> (f64, f64) {
    println!("| family | entries | bytes an action, not compressed | on disk |\n|---|---|---|---|");
    let snapshot = store.snapshot().unwrap();
    let usage = store.disk_usage().unwrap().keyspaces;
    let (mut total, mut disk) = (0, 0);
    for name in store.keyspaces() {
        let scan = snapshot.scan(store.keyspace(name).unwrap(), &KeyRange::all(), Direction::Forward).unwrap();
        let (entries, bytes) = scan
            .map(Result::unwrap)
            .fold((0u64, 0), |(entries, bytes), (key, value)| (entries + 1, bytes + key.len() + value.len()));
        total += bytes;
        disk += usage[name];
        if entries > 0 {
            println!("| {name} | {entries} | {:.2} | {:.2} |", bytes as f64 / actions, usage[name] as f64 / actions);
        }
    }
    let (total, disk) = (total as f64, disk as f64);
    println!("| all | | {:.2} | {:.2} |", total / actions, disk / actions);
    (total, disk)
}

/// One query after the other.
fn alone(serving: &ServingSnapshot, actions: u64, blocks: u32) {
    let view = serving.view();
    let options = SearchIndex::default();
    let parse = |text: &str| Query::parse(text, options.options()).unwrap();
    let forward = Direction::Forward;
    let page = |query: &Query, from: u32, direction, limit| {
        let request = Request { query, blocks: from..=u32::MAX, direction, after: None, limit };
        search(view, &request, &mut Budget::unlimited()).unwrap()
    };
    let rare = |at: usize| parse(&rare(actions, at));
    println!("\n| query | matches | median | maximum |\n|---|---|---|---|");
    let line = |name: &str, matches: usize, (median, most): (Duration, Duration)| {
        println!("| {name} | {matches} | {median:.1?} | {most:.1?} |");
    };
    let mut found = 0;
    let rare_queries: Vec<_> = (0..500).map(rare).collect();
    times(500, |at| drop(page(&rare_queries[at], 0, forward, 100)));
    let timed = times(500, |at| found += page(&rare_queries[at], 0, forward, 100).matches.len());
    line("`data.to:` a rare account, whole chain", found / 500, timed);
    let timed = times(500, |at| drop(page(&rare_queries[at], 0, Direction::Reverse, 100)));
    line("the same, descending", found / 500, timed);
    let absent: Vec<_> = (0..500).map(|at| parse(&format!("data.to:nobody{at}"))).collect();
    line("`data.to:` an account that there is not", 0, times(500, |at| drop(page(&absent[at], 0, forward, 100))));

    let busy = |name: &str, query: &str, direction| {
        let query = parse(query);
        let run = |at: usize| {
            let from = if direction == forward { 2 + (at as u32 * 7919) % (blocks * 9 / 10) } else { 0 };
            page(&query, from, direction, 100)
        };
        times(50, |at| drop(run(at)));
        let found = run(0).matches.len();
        line(name, found, times(50, |at| drop(run(at))));
    };
    busy(
        "`receiver:eosio.token action:transfer`, 100 from a random block",
        "receiver:eosio.token action:transfer",
        forward,
    );
    busy("the same, the last 100", "receiver:eosio.token action:transfer", Direction::Reverse);
    busy("`action:transfer -data.memo:*`, 100 from a random block", "action:transfer -data.memo:*", forward);
    let (a, b) = (account(1), account(2));
    busy("`data.from:` and `data.to:` the busiest, 100", &format!("data.from:{a} data.to:{b}"), forward);
    let whole = |name: &str, query: &str| {
        let query = parse(query);
        let matches = page(&query, 0, forward, 1000);
        assert_eq!(matches.end, PageEnd::Complete);
        line(name, matches.matches.len(), times(20, |_| drop(page(&query, 0, forward, 1000))));
    };
    let (c, d) = (account(150), account(160));
    whole("two frequent accounts that hardly meet, whole chain", &format!("data.from:{c} data.to:{d}"));
    whole("two dense terms that never meet, whole chain", "receiver:eosio.token notif:true");
    whole("two beginnings of values, whole chain", "data.memo:deposit* data.from:zzz*");
    let query = parse(&format!("receiver:eosio.token data.from:{a}"));
    let request = Request { query: &query, blocks: 0..=u32::MAX, direction: forward, after: None, limit: 1 };
    let counted = count(view, &request, &mut Budget::unlimited()).unwrap().unwrap();
    let timed = times(5, |_| drop(count(view, &request, &mut Budget::unlimited())));
    line("count of the busiest sender's transfers", counted.transactions as usize, timed);
}

/// Many clients at a time, each with one search after the other: seven of ten for a rare term, the others for frequent ones
/// alone, together, or with a beginning of a value.
fn together(serving: &ServingSnapshot, actions: u64, blocks: u32) {
    const SEARCHES: usize = 50;
    let index = SearchIndex::default();
    let (send, receive) = mpsc::channel::<(Query, u32, mpsc::Sender<usize>)>();
    let receive = Mutex::new(receive);
    let start = Instant::now();
    let mut times = thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                loop {
                    let next = receive.lock().unwrap().recv();
                    let Ok((query, from, answer)) = next else { return };
                    let blocks = from..=u32::MAX;
                    let request =
                        Request { query: &query, blocks, direction: Direction::Forward, after: None, limit: 100 };
                    let found = search(serving.view(), &request, &mut Budget::unlimited()).unwrap();
                    answer.send(found.matches.len()).unwrap();
                }
            });
        }
        let clients = (0..CLIENTS).map(|client| {
            let (send, index) = (send.clone(), &index);
            scope.spawn(move || {
                let mut random = Random(client as u64);
                let search = |_| {
                    let from = 2 + (random.next() % (u64::from(blocks) * 9 / 10)) as u32;
                    let busy = account(1 + random.next() % 100);
                    let (text, from) = match random.next() % 10 {
                        0 => ("receiver:eosio.token action:transfer".to_owned(), from),
                        1 => (format!("data.from:{busy} data.to:{}", account(1 + random.next() % 100)), from),
                        2 => (format!("data.to:{busy} action:trans*"), from),
                        _ => (rare(actions, random.next() as usize % 5000), 0),
                    };
                    let query = Query::parse(&text, index.options()).unwrap();
                    let (answer, answered) = mpsc::channel();
                    let start = Instant::now();
                    send.send((query, from, answer)).unwrap();
                    answered.recv().unwrap();
                    start.elapsed()
                };
                (0..SEARCHES).map(search).collect::<Vec<_>>()
            })
        });
        let clients: Vec<_> = clients.collect();
        let times = clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>();
        drop(send);
        times
    });
    times.sort_unstable();
    let at = |permille: usize| times[times.len() * permille / 1000];
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    println!(
        "\n{CLIENTS} clients at a time: {:.1?} median, {:.1?} at 99 %, {:.1?} at most; {rate:.0} searches a second",
        at(500),
        at(990),
        times[times.len() - 1]
    );
}
