//! Streams of every kind, through recorded forks, breaks and resumptions, against the naive model.

use std::collections::BTreeMap;

use dfuse_antelope::{
    Checksum256,
    model::{ActionTrace, Block, Message as _, TransactionTrace},
};
use dfuse_proto::{
    Any,
    dfuse::firehose::v1::SearchFilter,
    sf::firehose::v2::{Request, Response, stream_client::StreamClient},
};
use dfuse_testkit::Random;
use prost::Message as _;
use tonic::{Code, Streaming};

use crate::{
    model::{Event, FINAL, Model, NEW, UNDO, event, event_alone, family, tip},
    support::{FORKS, TestChain, code},
};

/// Streams at a time.
const STREAMS: usize = 16;
/// Streams that break are resumed so often at least.
const RESUMPTIONS: usize = 200;

/// Whether a query finds an action, the naive way.
type Finds = fn(&ActionTrace) -> bool;

/// Queries, each with what it finds.
const QUERIES: [(&str, Finds); 3] = [
    ("receiver:eosio.token action:transfer", |action| {
        action.receiver.to_string() == "eosio.token" && action.action.name.to_string() == "transfer"
    }),
    ("account:eosio (action:newaccount OR action:setabi)", |action| {
        action.action.account.to_string() == "eosio"
            && ["newaccount", "setabi"].contains(&&*action.action.name.to_string())
    }),
    ("action:nothing", |_| false),
];

/// What is asked of blocks: all of them, or those with something that one of the [`QUERIES`] finds, or all with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whole,
    Found(usize),
    FoundAndEmpty(usize),
}

impl Wanted {
    fn random(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::Found(random.position(QUERIES.len())),
            1 => Self::FoundAndEmpty(random.position(QUERIES.len())),
            _ => Self::Whole,
        }
    }

    fn transforms(self) -> Vec<Any> {
        match self {
            Self::Whole => vec![],
            Self::Found(query) => vec![transform(QUERIES[query].0, false)],
            Self::FoundAndEmpty(query) => vec![transform(QUERIES[query].0, true)],
        }
    }

    /// What is left of a block: the traces with something, in which it is marked.
    fn traces(self, block: &Block) -> Option<Vec<TransactionTrace>> {
        let (Self::Found(query) | Self::FoundAndEmpty(query)) = self else { return None };
        let mut traces = vec![];
        for trace in block.unfiltered_transaction_traces.iter().filter(|trace| !trace.is_reverted()) {
            let mut trace = trace.clone();
            let mut any = false;
            for action in &mut trace.action_traces {
                action.filtering_matched = action.receipt.is_some() && QUERIES[query].1(action);
                any |= action.filtering_matched;
            }
            traces.extend(any.then_some(trace));
        }
        Some(traces)
    }

    fn has(self, block: &Block) -> bool {
        !matches!(self, Self::Found(_)) || self.traces(block).is_some_and(|traces| !traces.is_empty())
    }

    fn check(self, response: &Response, model: &Model) -> Event {
        if self == Self::Whole {
            return event(response, model);
        }
        let event = event_alone(response, model);
        let whole = &model.blocks[&event.1];
        let part = Block::decode(&response.block.as_ref().unwrap().value).unwrap();
        let traces = self.traces(whole).unwrap();
        let ids: Vec<_> = traces.iter().map(|trace| trace.id).collect();
        let is_left = |id: &Checksum256| {
            ids.contains(id) || !whole.unfiltered_transaction_traces.iter().any(|trace| trace.id == *id)
        };
        let matched = || traces.iter().flat_map(|trace| &trace.action_traces).filter(|it| it.filtering_matched);
        assert_eq!(part.filtered_executed_total_action_count as usize, matched().count());
        assert_eq!(part.filtered_executed_input_action_count as usize, matched().filter(|it| it.is_input()).count());
        assert_eq!(part.filtered_transaction_trace_count as usize, traces.len());
        assert_eq!(part.filtered_transaction_traces, traces);
        let receipts: Vec<_> = whole.unfiltered_transactions.iter().filter(|it| is_left(&it.id)).cloned().collect();
        assert_eq!(part.filtered_transaction_count as usize, receipts.len());
        assert_eq!(part.filtered_transactions, receipts);
        assert!(part.filtered_implicit_transaction_ops.iter().all(|op| is_left(&op.transaction_id)));
        assert!(part.filtering_applied && part.unfiltered_transaction_traces.is_empty());
        assert!(part.unfiltered_transactions.is_empty() && part.unfiltered_implicit_transaction_ops.is_empty());
        assert_eq!((part.header, part.id), (whole.header.clone(), whole.id));
        assert_eq!(part.unfiltered_transaction_count, whole.unfiltered_transaction_count);
        event
    }
}

fn transform(query: &str, include_empty_blocks: bool) -> Any {
    let value = SearchFilter { query: query.to_owned(), include_empty_blocks }.encode_to_vec().into();
    Any { type_url: "type.googleapis.com/dfuse.firehose.v1.SearchFilter".to_owned(), value }
}

/// Where a client stands: after what it was told.
#[derive(Debug, Clone)]
struct Place {
    /// The end of its chain.
    tip: Option<Checksum256>,
    /// Up to here nothing is taken back.
    floor: u32,
    cursor: String,
}

struct Client {
    wanted: Wanted,
    final_only: bool,
    stop: Option<u32>,
    /// As the client knows it, and as its stream does.
    told: Place,
    tip: Option<Checksum256>,
    stream: Streaming<Response>,
    ended: bool,
}

impl Client {
    async fn open(
        chain: &TestChain,
        wanted: Wanted,
        final_only: bool,
        stop: Option<u32>,
        at: Place,
        start: i64,
    ) -> Self {
        let request = Request {
            start_block_num: start,
            cursor: at.cursor.clone(),
            stop_block_num: stop.map_or(0, u64::from),
            final_blocks_only: final_only,
            transforms: wanted.transforms(),
        };
        let mut client = StreamClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
        let stream = client.blocks(request).await.unwrap().into_inner();
        Self { wanted, final_only, stop, tip: at.tip, told: at, stream, ended: false }
    }

    /// What the stream must tell of the chain as it is.
    fn due(&self, model: &Model) -> Vec<Event> {
        let stop = self.stop.unwrap_or(u32::MAX);
        if self.final_only {
            let after = self.tip.map_or(self.told.floor, |tip| tip.block_num()).max(self.told.floor);
            let numbers = after + 1..=stop.min(model.lib);
            let best = model.chain(model.head).into_iter();
            return best.filter(|id| numbers.contains(&id.block_num())).map(|id| (FINAL, id)).collect();
        }
        let way = model.way_above(self.tip, self.told.floor);
        let undone = way.iter().filter(|(step, _)| *step == UNDO).count();
        // What is undone comes back whatever the last block is.
        let tip = way[..undone].last().map_or(self.tip, |last| Some(tip(last, model)));
        let is_over = tip.map_or(self.told.floor, |tip| tip.block_num()) >= stop;
        let new = way[undone..].iter().filter(|(_, id)| !is_over && id.block_num() <= stop);
        way[..undone].iter().chain(new).copied().collect()
    }

    /// Reads what is due. Returns each step, and where the client stood after it.
    async fn read(&mut self, model: &Model) -> Vec<(i32, Place)> {
        let mut places = vec![];
        for due in self.due(model) {
            self.tip = Some(tip(&due, model));
            if !self.wanted.has(&model.blocks[&due.1]) {
                continue;
            }
            let response = self.stream.message().await.unwrap().unwrap();
            assert_eq!(self.wanted.check(&response, model), due, "{:?}, final {}", self.wanted, self.final_only);
            self.told = Place { tip: self.tip, floor: self.told.floor, cursor: response.cursor };
            places.push((due.0, self.told.clone()));
        }
        let at = self.tip.map_or(0, |tip| tip.block_num());
        if self.stop.is_some_and(|stop| at >= stop && (!self.final_only || model.lib >= stop)) {
            assert!(self.stream.message().await.unwrap().is_none(), "something after the last block");
            self.ended = true;
        }
        places
    }
}

/// A stream of any kind, from any place.
async fn any_client(
    chain: &TestChain,
    model: &Model,
    places: &BTreeMap<bool, Vec<Place>>,
    random: &mut Random,
) -> Client {
    let (wanted, mut final_only) = (Wanted::random(random), random.one_in(4));
    let first = chain.blocks.first().map_or(2, |block| block.number);
    let head = model.head.map_or(0, |head| head.block_num());
    let nowhere = |floor: u32| Place { tip: None, floor, cursor: String::new() };
    let with_stop = random.one_in(2);
    let stop_above = |number: u32, random: &mut Random| with_stop.then(|| number.max(2) + random.below(60) as u32);
    let number = match random.below(4) {
        0 if model.head.is_some() => {
            let below = 1 + random.below(u64::from(head) + 5) as u32;
            let start = head.saturating_sub(below).max(first);
            let stop = stop_above(start, random);
            return Client::open(chain, wanted, final_only, stop, nowhere(start - 1), -i64::from(below)).await;
        }
        1 if !places.is_empty() => {
            // Places in final blocks fit every stream, others not those of final blocks.
            let of_final = places.contains_key(&true) && (final_only || random.one_in(4));
            final_only &= of_final;
            let Some(known) = places.get(&of_final) else {
                return Client::open(chain, wanted, final_only, None, nowhere(first - 1), 0).await;
            };
            let place = random.pick(known).clone();
            let stop = stop_above(place.tip.map_or(first, |tip| tip.block_num()), random);
            return Client::open(chain, wanted, final_only, stop, place, 0).await;
        }
        2 => head + 1 + random.below(20) as u32,
        _ => random.below(u64::from(head) + 2) as u32,
    };
    let start = number.max(first);
    let stop = stop_above(start, random);
    Client::open(chain, wanted, final_only, stop, nowhere(start - 1), number.into()).await
}

#[tokio::test]
async fn streams_of_every_kind_tell_what_happened() {
    let Some(mut chain) = TestChain::recorded(FORKS).await else { return };
    let (mut model, mut random) = (Model::default(), Random::new(18));
    let mut places: BTreeMap<bool, Vec<Place>> = BTreeMap::new();
    let mut clients: Vec<Client> = vec![];
    let (mut resumed, mut told, mut undone) = (0, 0, 0);
    while chain.grow(1).await > 0 {
        model.push(chain.blocks.last().unwrap());
        if random.one_in(50) {
            chain.write_bundles().await;
        }
        clients.retain(|client| !client.ended);
        while clients.len() < STREAMS {
            clients.push(any_client(&chain, &model, &places, &mut random).await);
        }
        // Some are killed, and go on where they were.
        if random.one_in(2) {
            let at = random.position(clients.len());
            let Client { wanted, final_only, stop, told, .. } = clients.swap_remove(at);
            let start = i64::from(told.floor) + 1;
            clients.push(Client::open(&chain, wanted, final_only, stop, told, start).await);
            resumed += 1;
        }
        // All are read at once: what one leaves unread would take the room of the others on their connection.
        let read = clients.iter_mut().map(async |client| (client.final_only, client.read(&model).await));
        for (final_only, seen) in futures::future::join_all(read).await {
            told += seen.len();
            undone += seen.iter().filter(|(step, _)| *step == UNDO).count();
            places.entry(final_only).or_default().extend(seen.into_iter().map(|(_, place)| place));
        }
    }
    assert!(resumed >= RESUMPTIONS && told > 4000 && undone > 100, "{resumed} resumed, {told} told, {undone}");
    let kinds = [false, true].map(|kind| places[&kind].len());
    assert!(kinds.iter().all(|count| *count > 500), "{kinds:?}");
}

/// The numbers of the blocks that come of a request.
async fn numbers(chain: &TestChain, request: Request) -> Vec<u64> {
    let mut client = StreamClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
    let mut stream = client.blocks(request).await.unwrap().into_inner();
    let mut numbers = vec![];
    while let Some(response) = stream.message().await.unwrap() {
        assert_eq!(response.step, NEW);
        numbers.push(response.metadata.unwrap().num);
    }
    numbers
}

#[tokio::test]
async fn blocks_without_a_match_are_not_read() {
    let Some(mut chain) = TestChain::recorded(FORKS).await else { return };
    chain.grow(usize::MAX).await;
    chain.served().await;
    chain.write_bundles().await;
    let mut model = Model::default();
    chain.blocks.iter().for_each(|block| drop(model.push(block)));
    // Of all actions, one that few blocks have, all of them in bundles.
    let best = model.chain(model.head);
    let mut blocks_of: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for id in &best {
        for trace in model.blocks[id].executed_traces() {
            for action in trace.action_traces.iter().filter(|action| action.receipt.is_some()) {
                let numbers = blocks_of.entry((action.receiver, action.action.name)).or_default();
                if numbers.last() != Some(&id.block_num().into()) {
                    numbers.push(id.block_num().into());
                }
            }
        }
    }
    let is_old = |numbers: &Vec<u64>| numbers.len() > 1 && numbers[0] > 10 && numbers.last() < Some(&250);
    let old = blocks_of.iter().filter(|(_, numbers)| is_old(numbers));
    let ((receiver, action), expected) = old.min_by_key(|(_, numbers)| numbers.len()).unwrap();
    let before = chain.feed.handle().history_bytes().0;
    let request = Request {
        stop_block_num: 250,
        transforms: vec![transform(&format!("receiver:{receiver} action:{action}"), false)],
        ..Request::default()
    };
    assert_eq!(numbers(&chain, request.clone()).await, *expected);
    let read = chain.feed.handle().history_bytes().0 - before;
    let all: usize = best.iter().map(|id| model.blocks[id].to_bytes().len()).sum();
    assert!(read < all / 5, "{read} of {all} bytes");
    // From a cursor after the first one.
    let whole = Request { start_block_num: expected[0] as i64, ..Request::default() };
    let mut client = StreamClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
    let first = client.blocks(whole).await.unwrap().into_inner().message().await.unwrap().unwrap();
    assert_eq!(numbers(&chain, Request { cursor: first.cursor, ..request.clone() }).await, expected[1..]);
    // One of another server, too.
    let [at, lib] = [best[100], best[90]].map(|id| (id.block_num(), id));
    let cursor = family(&format!("c1:1:{}:{}:{}:{}", at.0, at.1, lib.0, lib.1));
    let after: Vec<_> = expected.iter().copied().filter(|number| *number > at.0.into()).collect();
    assert_eq!(numbers(&chain, Request { cursor, ..request }).await, after);
}

#[tokio::test]
async fn filters_that_are_none_are_refused() {
    let mut chain = TestChain::synthetic(10, std::sync::Arc::new(dfuse_query::OpenAccess)).await;
    chain.grow(usize::MAX).await;
    let unreadable = Any { value: vec![0xff; 9].into(), ..transform("", false) };
    let good = || transform("action:transfer", false);
    let other = Any { type_url: "type.googleapis.com/sf.ethereum.transform.v1.HeaderOnly".to_owned(), ..good() };
    for (transforms, status, name, says) in [
        (vec![transform("", false)], Code::InvalidArgument, "request_validation_error", "query"),
        (vec![transform("account:(", false)], Code::InvalidArgument, "request_validation_error", "is not a query"),
        (vec![transform("acount:a", false)], Code::InvalidArgument, "request_validation_error", "did you mean"),
        (vec![unreadable], Code::InvalidArgument, "request_validation_error", "transforms"),
        (vec![good(), good()], Code::InvalidArgument, "request_validation_error", "transforms"),
        (vec![good(), other], Code::Unimplemented, "firehose_transform_unsupported_error", "HeaderOnly"),
    ] {
        let mut client = StreamClient::new(chain.channel.clone());
        let request = Request { transforms, ..Request::default() };
        let error = client.blocks(request).await.map(drop).unwrap_err();
        assert_eq!((error.code(), &*code(&error)), (status, name));
        assert!(error.message().contains(says), "{}", error.message());
    }
}

#[tokio::test]
async fn blocks_pass_as_the_store_has_them() {
    let Some(mut chain) = TestChain::recorded(FORKS).await else { return };
    chain.grow(usize::MAX).await;
    chain.served().await;
    chain.write_bundles().await;
    let decoded = chain.feed.handle().history_bytes().1;
    let mut client = StreamClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
    let last = u64::from(chain.feed.handle().lib().unwrap().number) / 100 * 100 - 1;
    let request = Request { stop_block_num: last, ..Request::default() };
    let mut stream = client.blocks(request).await.unwrap().into_inner();
    let mut bytes = 0;
    while let Some(response) = stream.message().await.unwrap() {
        bytes += response.block.unwrap().value.len();
    }
    let (encoded, decoded_now) = chain.feed.handle().history_bytes();
    assert_eq!(decoded_now, decoded, "a block of bundles was decoded");
    assert!(encoded >= bytes, "{encoded} of {bytes} bytes came from bundles");
}
