//! Blocks of several endpoints, of which one is followed at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    ops::RangeInclusive,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use dfuse_antelope::{AbiDump, Checksum256, Name};
use dfuse_blocks::{
    Backoff, Entropy, SystemEntropy,
    bundle::{BUNDLE_BLOCKS, base_of},
};
use futures::{Stream, StreamExt, stream};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{
    Endpoint, Endpoints, Failure, FirehoseClient, FirehoseOptions, Received,
    client::decoded,
    identity,
    position::{Mismatch, News, Position},
};
use crate::{Error, Result, SourceEvent, SourceOptions, event::Sender};

/// Blocks below the first one that is wanted for which it is asked whether some have lost: the endpoint may have learned of them
/// while it was not followed.
const LOST_BELOW: u32 = 1000;
/// Most blocks that lost and wait for their parents.
const WAITING: usize = 1000;
/// Most blocks that lost of which it is remembered that they were handed on.
const REMEMBERED: usize = 10_000;

/// Whether endpoints can be followed with these options.
///
/// # Errors
/// What is wrong, and what to do.
pub fn check(endpoints: &Endpoints, options: &FirehoseOptions) -> Result<(), String> {
    let open = |endpoint: &&Endpoint| !endpoint.is_tls() && !endpoint.is_local();
    match endpoints.all().iter().find(open) {
        Some(endpoint) if options.credential.is_some() && !options.credential_in_plain_text => Err(format!(
            "the token or API key would be sent to {endpoint} without encryption: write firehoses: for an endpoint with TLS, or \
             set firehose.credential_in_plain_text = true if nobody else can listen"
        )),
        _ => Ok(()),
    }
}

/// Takes blocks of the endpoints until they end, or nobody wants them.
///
/// # Errors
/// [`Error::Firehose`] if none of them can be followed, and trying again does not help.
pub(crate) async fn read(endpoints: &Endpoints, options: SourceOptions, sender: &Sender) -> Result<()> {
    let mut backoff = Backoff::new(options.firehose.pauses.0, options.firehose.pauses.1);
    let mut following = Following::new(endpoints.all(), options, sender);
    loop {
        let taken = following.taken;
        let mut problems = Vec::new();
        for (at, endpoint) in endpoints.all().iter().enumerate() {
            if following.refused[at].is_some() {
                continue;
            }
            let failure = match following.follow(at).await {
                Ok(Ended::All | Ended::Unwanted) => return Ok(()),
                Ok(Ended::Preferred) => {
                    problems.clear();
                    break;
                }
                Err(failure) => failure,
            };
            let problem = format!("{endpoint}: {failure}");
            warn!(block = following.position.next(), "the Firehose endpoint {problem}");
            // Whoever was served before may be again.
            let for_ever = match failure {
                Failure::Lasting(_) | Failure::Unimplemented => true,
                Failure::Denied(_) => !following.position.has_begun(),
                Failure::Passing(_) | Failure::Position(_) => false,
            };
            if for_ever {
                following.refused[at] = Some(problem);
            } else {
                problems.push(problem);
            }
        }
        if following.refused.iter().all(Option::is_some) {
            let why = following.refused.into_iter().flatten().collect::<Vec<_>>().join("; ");
            return Err(Error::Firehose { endpoints: endpoints.to_string(), why });
        }
        if following.taken > taken {
            backoff.reset();
        }
        if problems.is_empty() {
            continue;
        }
        if following.tell(SourceEvent::Interrupted(Some(problems.join("; ")))).await.is_err() {
            return Ok(());
        }
        following.interrupted = true;
        tokio::select! {
            () = sender.closed() => return Ok(()),
            () = sleep(varied(backoff.next_pause())) => {}
        }
    }
}

/// A pause that is up to a quarter longer, so that those who lost the same endpoint do not come back all at once.
pub(crate) fn varied(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness they do.
    let _ = SystemEntropy.fill(&mut byte);
    pause + pause / 4 * u32::from(byte[0]) / 255
}

/// The next block that lost. Older servers end their stream: there is none then.
async fn next_lost(lost: &mut Option<LostBlocks>) -> Result<Received, Failure> {
    if let Some(blocks) = lost {
        match blocks.next().await {
            Some(block) => return block,
            None => *lost = None,
        }
    }
    pending().await
}

/// How following an endpoint ended, if it did not fail.
enum Ended {
    /// There are no more blocks.
    All,
    /// Nobody wants them.
    Unwanted,
    /// An endpoint that is preferred is back.
    Preferred,
}

struct Following<'a> {
    endpoints: &'a [Endpoint],
    options: SourceOptions,
    sender: &'a Sender,
    /// Why an endpoint is not asked any more.
    refused: Vec<Option<String>>,
    position: Position,
    /// What [`Position::next`] says.
    next: Arc<AtomicU32>,
    /// Blocks that were handed on.
    taken: u64,
    /// Blocks of the ABI dumps that were handed on or are there.
    dumps: BTreeSet<u32>,
    /// Whether the first ABI of `eosio` was handed on.
    has_native_abi: bool,
    /// Endpoints without the first blocks of interest.
    lacking: BTreeSet<usize>,
    /// The last message that did not follow those before it.
    mismatch: Option<Mismatch>,
    interrupted: bool,
    /// Heights at which the endpoint may have blocks that lost before it was followed: to be asked for when the last one is there.
    lost: Option<RangeInclusive<u32>>,
    /// Blocks that lost and whose parents have not come, by height and id.
    waiting: BTreeMap<(u32, Checksum256), Received>,
    /// Blocks that lost and were handed on, those of the greatest heights.
    handed_on: BTreeSet<Checksum256>,
}

/// Blocks of an endpoint that lost.
type LostBlocks = Pin<Box<dyn Stream<Item = Result<Received, Failure>> + Send>>;

/// Nobody wants the blocks.
struct Unwanted;

impl<'a> Following<'a> {
    fn new(endpoints: &'a [Endpoint], options: SourceOptions, sender: &'a Sender) -> Self {
        let position = Position::new(options.start_block);
        let dumps = options.known_dumps.iter().copied().collect();
        let has_native_abi = !options.is_empty;
        Self {
            endpoints,
            options,
            sender,
            refused: vec![None; endpoints.len()],
            next: Arc::new(AtomicU32::new(position.next())),
            position,
            taken: 0,
            dumps,
            has_native_abi,
            lacking: BTreeSet::new(),
            mismatch: None,
            interrupted: false,
            lost: None,
            waiting: BTreeMap::new(),
            handed_on: BTreeSet::new(),
        }
    }

    async fn tell(&self, event: SourceEvent) -> Result<(), Unwanted> {
        self.sender.send(Ok(event)).await.map_err(|_| Unwanted)
    }

    /// Follows an endpoint as long as it goes.
    async fn follow(&mut self, at: usize) -> Result<Ended, Failure> {
        let endpoint = &self.endpoints[at];
        let client = FirehoseClient::connect(endpoint, &self.options.firehose).await?;
        self.examine(at, &client).await?;
        if self.prepare(&client).await?.is_err() {
            return Ok(Ended::Unwanted);
        }
        let by_cursor = self.position.has_cursor_of(at);
        let request = self.position.request(at);
        info!(from = self.position.next(), "following the Firehose endpoint {endpoint}");
        let followed = self.take_all(at, &client, request).await;
        match followed {
            // Its cursors are sealed with another key now, or lead to blocks that it has lost.
            Err(Failure::Position(why)) if by_cursor => {
                self.position.forget_cursor();
                Err(Failure::Passing(format!("it does not take its cursor any more ({why})")))
            }
            Err(Failure::Position(why)) => {
                let next = self.position.next();
                Err(Failure::Lasting(format!("it does not begin with block {next} ({why})")))
            }
            ended => ended,
        }
    }

    /// Whether the endpoint serves the chain, and has what is wanted of it.
    async fn examine(&mut self, at: usize, client: &FirehoseClient) -> Result<(), Failure> {
        let info = match client.info().await {
            Ok(info) => info,
            // Older ones do not say what they serve.
            Err(Failure::Unimplemented) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        identity::check(&info, self.options.chain_id).map_err(Failure::Lasting)?;
        let first = u32::try_from(info.first_streamable_block_num)
            .map_err(|_| Failure::Lasting("it begins with a block that no chain has".to_owned()))?;
        let next = self.position.next();
        if first <= next {
            return Ok(());
        }
        let missing = format!("it has blocks from {first} on only; blocks {next} to {} are missing there", first - 1);
        if self.position.has_begun() {
            return Err(Failure::Passing(missing));
        }
        if !self.options.is_empty {
            return Err(Failure::Lasting(format!("{missing}; name an endpoint that has them")));
        }
        if self.lacking.insert(at) && self.endpoints.len() > 1 {
            return Err(Failure::Passing(missing));
        }
        let begin = if base_of(first) == first { first } else { base_of(first).saturating_add(BUNDLE_BLOCKS) };
        warn!(
            begin,
            "{missing}: the history that is kept begins with block {begin}, and what was set before it, such as rows and ABIs, is \
             not known"
        );
        self.position.begin_at(begin);
        Ok(())
    }

    /// Hands on what belongs before the blocks: ABIs, and how far the endpoint is.
    async fn prepare(&mut self, client: &FirehoseClient) -> Result<Result<(), Unwanted>, Failure> {
        let dumps = match client.abi_dumps(self.dumps.iter().copied().collect()).await {
            Ok(dumps) => dumps,
            // That of another maker.
            Err(Failure::Unimplemented) => Vec::new(),
            Err(failure) => return Err(failure),
        };
        let is_native = |dump: &AbiDump| dump.abis.iter().any(|(contract, _)| *contract == Name::EOSIO);
        let native = (!self.has_native_abi && !dumps.iter().any(is_native)).then(AbiDump::native);
        for dump in dumps.into_iter().chain(native) {
            self.dumps.insert(dump.block_num);
            self.has_native_abi = true;
            if self.tell(SourceEvent::AbiDump(dump)).await.is_err() {
                return Ok(Err(Unwanted));
            }
        }
        match client.head().await {
            // Whoever asks it for what it does not have yet hears nothing; another endpoint may have it.
            Ok(head) if self.options.follow && head < self.position.next().saturating_sub(1) => {
                let next = self.position.next();
                Err(Failure::Passing(format!("its chain ends with block {head}, and block {next} is the next one")))
            }
            Ok(head) => {
                self.lost = Some(self.position.next().saturating_sub(LOST_BELOW)..=head);
                if !self.options.follow && !self.position.has_stop() {
                    self.position.stop_at(head);
                }
                Ok(self.tell(SourceEvent::HasUpTo(head)).await)
            }
            // It cannot count from its head.
            Err(Failure::Position(_) | Failure::Unimplemented) if self.options.follow => Ok(Ok(())),
            Err(failure) => Err(failure),
        }
    }

    /// Takes what the endpoint sends.
    async fn take_all(
        &mut self,
        at: usize,
        client: &FirehoseClient,
        request: dfuse_proto::sf::firehose::v2::Request,
    ) -> Result<Ended, Failure> {
        let silence = self.options.firehose.silence;
        let silent = |()| Failure::Passing(format!("it was silent for {} s", silence.as_secs()));
        let sender = self.sender;
        let before = self.endpoints[..at].iter().zip(&self.refused);
        let before = before.filter(|(_, refused)| refused.is_none()).map(|(endpoint, _)| endpoint);
        let mut better = pin!(preferred(before.cloned().collect(), self.options.clone(), self.next.clone()));
        let stream = tokio::select! {
            () = sender.closed() => return Ok(Ended::Unwanted),
            stream = timeout(silence, client.blocks(request)) => stream.map_err(|_| silent(()))??,
        };
        let mut received = pin!(decoded(stream, Received::read));
        if self.tell(SourceEvent::ServedBy(self.endpoints[at].to_string())).await.is_err() {
            return Ok(Ended::Unwanted);
        }
        if std::mem::take(&mut self.interrupted) && self.tell(SourceEvent::Interrupted(None)).await.is_err() {
            return Ok(Ended::Unwanted);
        }
        // Whatever comes of those that lost, the others are waited for.
        let mut quiet = pin!(sleep(silence));
        let mut lost: Option<LostBlocks> = None;
        loop {
            let next = tokio::select! {
                () = sender.closed() => return Ok(Ended::Unwanted),
                () = &mut better => return Ok(Ended::Preferred),
                () = &mut quiet => return Err(silent(())),
                block = next_lost(&mut lost) => {
                    self.wait_for_parent(block?);
                    None
                }
                next = received.next() => Some(next),
            };
            if let Some(next) = next {
                match next {
                    Some(next) => {
                        let next = next?;
                        let number = next.encoded.number();
                        match self.take(at, next).await? {
                            // However long it took to hand that on.
                            Ok(News::Block) => quiet.set(sleep(silence)),
                            // Undoing and repeating what is known for ever is no better than silence.
                            Ok(News::Nothing) => {}
                            Err(Unwanted) => return Ok(Ended::Unwanted),
                        }
                        if let Some(numbers) = self.lost.take_if(|numbers| number >= *numbers.end()) {
                            lost = Some(self.lost_blocks(at, numbers).await?);
                        }
                    }
                    None if self.position.has_stop() => {
                        while let Some(lost) = &mut lost
                            && let Some(block) = timeout(silence, lost.next()).await.map_err(|_| silent(()))?
                        {
                            self.wait_for_parent(block?);
                        }
                        return Ok(self.hand_on_lost().await.map_or(Ended::Unwanted, |()| Ended::All));
                    }
                    None => return Err(Failure::Passing("it ended its stream".to_owned())),
                }
            }
            if self.hand_on_lost().await.is_err() {
                return Ok(Ended::Unwanted);
            }
        }
    }

    /// Takes a message, and hands its block on if it is new.
    async fn take(&mut self, at: usize, received: Received) -> Result<Result<News, Unwanted>, Failure> {
        let news = self.position.news(&received).map_err(|mismatch| self.failure_of(mismatch))?;
        let Received { step, cursor, block, encoded } = received;
        if news == News::Block {
            // What is repeated after a break proves nothing.
            self.mismatch = None;
            self.taken += 1;
            let event = SourceEvent::Block { block: Some(block), encoded: encoded.clone() };
            if self.tell(event).await.is_err() {
                return Ok(Err(Unwanted));
            }
        }
        self.position.taken(at, step, &encoded, cursor);
        self.next.store(self.position.next(), Ordering::Relaxed);
        Ok(Ok(news))
    }

    /// Blocks that lost before the endpoint was followed, and those that lose from now on. A source that is read to its end takes
    /// the first only.
    async fn lost_blocks(&mut self, at: usize, numbers: RangeInclusive<u32>) -> Result<LostBlocks, Failure> {
        // What waits in the stream of blocks fills the window of its connection.
        let client = FirehoseClient::connect(&self.endpoints[at], &self.options.firehose).await?;
        match client.lost_blocks(numbers, self.options.follow).await {
            Ok(lost) => Ok(Box::pin(lost)),
            // That of another maker.
            Err(Failure::Unimplemented) => Ok(Box::pin(stream::empty())),
            Err(failure) => Err(failure),
        }
    }

    /// Without its parent a block that lost would be of no chain that is known here: it may come through the other stream.
    fn wait_for_parent(&mut self, received: Received) {
        let (number, id) = (received.encoded.number(), received.encoded.id());
        self.waiting.insert((number, id), received);
        if self.waiting.len() > WAITING {
            self.waiting.pop_first();
        }
    }

    /// Hands on blocks that lost, as far as their parents have come.
    async fn hand_on_lost(&mut self) -> Result<(), Unwanted> {
        // Parents first.
        for (key, received) in std::mem::take(&mut self.waiting) {
            let parent = received.encoded.previous();
            if self.position.has(parent) || self.handed_on.contains(&parent) {
                self.handed_on.insert(key.1);
                if self.handed_on.len() > REMEMBERED {
                    self.handed_on.pop_first();
                }
                let Received { block, encoded, .. } = received;
                self.tell(SourceEvent::Block { block: Some(block), encoded }).await?;
            } else {
                self.waiting.insert(key, received);
            }
        }
        Ok(())
    }

    /// A message that does not follow may be the fault of a position: only if it comes again it is of another chain.
    fn failure_of(&mut self, mismatch: Mismatch) -> Failure {
        self.position.forget_cursor();
        let text = format!("after block {} it sent {}", mismatch.tip, mismatch.why);
        if self.mismatch.replace(mismatch.clone()) == Some(mismatch) {
            return Failure::Lasting(format!("it is of another chain, or has lost blocks: {text}"));
        }
        Failure::Passing(text)
    }
}

/// Waits until one of the endpoints that are preferred can be followed from block `next` on, which grows meanwhile.
async fn preferred(endpoints: Vec<Endpoint>, options: SourceOptions, next: Arc<AtomicU32>) {
    if endpoints.is_empty() {
        return std::future::pending().await;
    }
    loop {
        sleep(options.firehose.prefer_again).await;
        for endpoint in &endpoints {
            if serves(endpoint, &options, &next).await {
                info!("the Firehose endpoint {endpoint}, which is preferred, is back");
                return;
            }
        }
    }
}

async fn serves(endpoint: &Endpoint, options: &SourceOptions, next: &AtomicU32) -> bool {
    let Ok(client) = FirehoseClient::connect(endpoint, &options.firehose).await else { return false };
    let is_of_chain = match client.info().await {
        Ok(info) => identity::check(&info, options.chain_id).is_ok(),
        Err(failure) => failure == Failure::Unimplemented,
    };
    // One that has begun anew may be far behind for long.
    is_of_chain
        && match client.head().await {
            Ok(head) => head >= next.load(Ordering::Relaxed).saturating_sub(1),
            Err(failure) => matches!(failure, Failure::Position(_) | Failure::Unimplemented),
        }
}
