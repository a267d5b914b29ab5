//! Machines that take blocks and share a block store: the first that sends a block counts, and what none sends comes from the store.
//!
//! The store is read to its end first. From then on blocks come from the live streams of all machines, each after its parent. A
//! block whose parent has not come shows a gap: the store has the parent, since a machine sends a block only when it is in the
//! store, or another machine brings it there. When nothing new comes for a second, the store is looked at too: so blocks are right, a
//! second late, without any machine. A file of the store that is damaged is told, and read again until it was mended: meanwhile
//! everything else goes on, on this machine and on all others.

mod machine;

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use dfuse_blocks::{
    Backoff, BlockStore, EncodedBlock, MEND, OneBlockName,
    bundle::{BUNDLE_BLOCKS, base_of},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use tracing::{info, warn};

use self::machine::{Machine, Message};
use crate::{
    Error, Result, SourceEvent, SourceOptions,
    event::Sender,
    firehose::Endpoint,
    store::{Following, Looked, located, look},
};

/// Messages of machines that wait to be taken.
const WAITING: usize = 64;
/// Most blocks whose parents have not come.
const ORPHANS: usize = 1000;
/// The folder of one-block files.
const ONE_BLOCKS: &str = "one-blocks/";
/// How often the store is looked at though live streams bring blocks: for ABI dumps.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long to wait before a damaged file is read again, the first time and at most; doubled from time to time.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Reads the store to its end, and follows it and the machines then.
pub(crate) async fn read(
    place: &str,
    store: BlockStore,
    machines: Vec<Endpoint>,
    options: &SourceOptions,
    sender: &Sender,
) -> Result<()> {
    let Some(store) = until_located(place, store, options, sender).await? else { return Ok(()) };
    let mut live = Live::new(Following::new(store, options), &machines, sender, options.follow);
    loop {
        match live.look().await? {
            Looked::Unwanted => return Ok(()),
            Looked::Some => continue,
            Looked::All if !options.follow => return Ok(()),
            Looked::All if live.has_begun() => break,
            Looked::All | Looked::Later => {}
        }
        let pause = live.pause(options.poll);
        tokio::select! {
            () = sender.closed() => return Ok(()),
            () = sleep(pause) => {}
        }
    }
    let (messages, arriving) = mpsc::channel(WAITING);
    for (at, endpoint) in machines.into_iter().enumerate() {
        let machine = Machine { at, endpoint, options: options.firehose.clone(), chain_id: options.chain_id };
        tokio::spawn(machine.follow(live.from.clone(), messages.clone()));
    }
    // Without machines the store alone is followed, and nobody sends.
    let _messages = messages;
    live.follow(arriving, options.poll).await
}

/// Where the store has its files; nothing comes back if nobody waits for that.
async fn until_located(
    place: &str,
    store: BlockStore,
    options: &SourceOptions,
    sender: &Sender,
) -> Result<Option<BlockStore>> {
    loop {
        match located(place, store.clone(), options, sender).await {
            Err(Error::Blocks(failure @ dfuse_blocks::Error::Store { .. })) if options.follow => {
                warn!(error = %failure, "the block store cannot be read, and is tried again");
                let told = sender.send(Ok(SourceEvent::Interrupted(Some(failure.to_string())))).await;
                tokio::select! {
                    () = sender.closed() => return Ok(None),
                    () = sleep(options.poll) => {}
                }
                if told.is_err() {
                    return Ok(None);
                }
            }
            Ok(Some(store)) => {
                let told = sender.send(Ok(SourceEvent::Interrupted(None))).await;
                return Ok(told.is_ok().then_some(store));
            }
            located => return located,
        }
    }
}

/// Nobody wants the blocks.
struct Unwanted;

struct Live<'a> {
    following: Following,
    sender: &'a Sender,
    /// Whether a store that fails is tried again.
    tries_again: bool,
    /// Blocks whose parents have not come, by their numbers and the ends of their ids.
    orphans: BTreeMap<(u32, String), EncodedBlock>,
    /// Machines by name, and why each sends nothing.
    machines: Vec<(String, Option<String>)>,
    store_problem: Option<String>,
    damage: Option<Damage>,
    /// What was said last of being interrupted and weakened.
    told: (Option<String>, Option<String>),
    /// Machines are asked for blocks from this number on.
    from: Arc<AtomicU32>,
}

impl<'a> Live<'a> {
    fn new(following: Following, machines: &[Endpoint], sender: &'a Sender, tries_again: bool) -> Self {
        Self {
            following,
            sender,
            tries_again,
            orphans: BTreeMap::new(),
            machines: machines.iter().map(|machine| (machine.to_string(), None)).collect(),
            store_problem: None,
            damage: None,
            told: (None, None),
            from: Arc::default(),
        }
    }

    fn has_begun(&self) -> bool {
        self.following.highest.0 > 0
    }

    /// Follows machines and store until nobody wants the blocks.
    async fn follow(&mut self, mut arriving: mpsc::Receiver<Message>, poll: Duration) -> Result<()> {
        let mut regular = interval(LOOK_EVERY);
        regular.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sender = self.sender;
        let mut quiet = pin!(sleep(poll));
        loop {
            let looks = tokio::select! {
                () = sender.closed() => return Ok(()),
                Some(message) = arriving.recv() => match self.take(message).await {
                    Ok(Taken::New) => {
                        quiet.set(sleep(poll));
                        false
                    }
                    // What is damaged is not read again for each block.
                    Ok(Taken::Gap) => self.damage.is_none(),
                    Ok(Taken::Nothing) => false,
                    Err(Unwanted) => return Ok(()),
                },
                () = &mut quiet => true,
                _ = regular.tick() => {
                    self.following.wants_dumps = true;
                    true
                }
            };
            if looks {
                while match self.look().await? {
                    Looked::Unwanted => return Ok(()),
                    Looked::Some => true,
                    Looked::All | Looked::Later => false,
                } {}
                if self.adopt_orphans().await.is_err() {
                    return Ok(());
                }
                quiet.set(sleep(self.pause(poll)));
            }
        }
    }

    /// How long nothing new may come until the store is looked at.
    fn pause(&mut self, poll: Duration) -> Duration {
        self.damage.as_mut().map_or(poll, |damage| damage.backoff.next_pause())
    }

    /// Looks what is in the store. One that cannot be read is no reason to do without the machines.
    async fn look(&mut self) -> Result<Looked> {
        use dfuse_blocks::Error::{Damaged, MissingBundle};
        let looked = match look(&mut self.following, self.sender).await {
            Err(Error::Blocks(failure @ (Damaged { .. } | MissingBundle { .. }))) if self.tries_again => {
                self.note_damage(&failure);
                Looked::Later
            }
            Err(Error::Blocks(failure @ dfuse_blocks::Error::Store { .. })) if self.tries_again => {
                if self.store_problem.is_none() {
                    warn!(error = %failure, "the block store cannot be read, and is tried again");
                }
                self.store_problem = Some(failure.to_string());
                Looked::Later
            }
            looked => {
                self.store_problem = None;
                self.forget_damage();
                looked?
            }
        };
        self.advance();
        Ok(if self.tell().await.is_ok() { looked } else { Looked::Unwanted })
    }

    fn note_damage(&mut self, failure: &dfuse_blocks::Error) {
        let what = match failure {
            dfuse_blocks::Error::Damaged { file, .. } => file_of(file),
            _ => bundle_of(self.following.next),
        };
        let why = format!("{what} cannot be read ({failure}): {MEND}");
        // Whoever mends it writes another file.
        self.following.forget_tables();
        match &mut self.damage {
            Some(damage) if damage.why == why => {}
            damage => {
                warn!("{why}; it is read again until then");
                // A block that one of several machines wrote, or one that will lose, is missed by nobody.
                let stops = !matches!(failure, dfuse_blocks::Error::Damaged { file, .. } if file.contains(ONE_BLOCKS));
                *damage = Some(Damage { why, stops, backoff: Backoff::new(PAUSES.0, PAUSES.1) });
            }
        }
    }

    fn forget_damage(&mut self) {
        if let Some(damage) = self.damage.take() {
            info!("what could not be read can be read again: {}", damage.why);
        }
    }

    async fn take(&mut self, message: Message) -> Result<Taken, Unwanted> {
        let (at, problem) = match message {
            Message::Block(block) => return self.take_block(block).await,
            Message::Connected(at) => (at, None),
            Message::Lost(at, why) => (at, Some(why)),
        };
        if let Some((_, known)) = self.machines.get_mut(at) {
            *known = problem;
        }
        self.tell().await.map(|()| Taken::Nothing)
    }

    async fn take_block(&mut self, block: EncodedBlock) -> Result<Taken, Unwanted> {
        let name = OneBlockName::new(&block, "");
        if self.following.has_seen(&name) {
            return Ok(Taken::Nothing);
        }
        if self.following.follows(&name) {
            self.hand_on(&name, block).await?;
            self.adopt_orphans().await?;
            return Ok(Taken::New);
        }
        // Whatever is final has come: from here or from a bundle.
        if block.number() < self.following.next {
            return Ok(Taken::Nothing);
        }
        self.orphans.insert((name.number, name.id), block);
        if self.orphans.len() > ORPHANS {
            self.orphans.pop_last();
        }
        Ok(Taken::Gap)
    }

    async fn hand_on(&mut self, name: &OneBlockName, encoded: EncodedBlock) -> Result<(), Unwanted> {
        let sent = self.sender.send(Ok(SourceEvent::Block { block: None, encoded })).await;
        sent.map_err(|_| Unwanted)?;
        self.following.saw(name);
        self.advance();
        Ok(())
    }

    /// Hands on blocks whose parents have come, and forgets those that are not worth anything any more.
    async fn adopt_orphans(&mut self) -> Result<(), Unwanted> {
        // In the order of their numbers: parents first.
        for (key, block) in std::mem::take(&mut self.orphans) {
            let name = OneBlockName::new(&block, "");
            if self.following.has_seen(&name) {
                continue;
            }
            if self.following.follows(&name) {
                self.hand_on(&name, block).await?;
            } else if block.number() >= self.following.next {
                self.orphans.insert(key, block);
            }
        }
        Ok(())
    }

    /// Blocks up to the last irreversible one that the highest block names were all handed on: its ancestors came before it.
    fn advance(&mut self) {
        let (_, lib) = self.following.highest;
        self.following.next = self.following.next.max(lib.saturating_add(1));
        self.following.forget();
        self.from.store(self.following.next, Ordering::Relaxed);
    }

    /// Says what is lost, if that has changed.
    async fn tell(&mut self) -> Result<(), Unwanted> {
        let lost: Vec<_> =
            self.machines.iter().filter_map(|(name, why)| Some(format!("{name}: {}", why.as_ref()?))).collect();
        let are_all_lost = lost.len() == self.machines.len();
        let (lost, store) = (lost.join("; "), self.store_problem.as_ref());
        let store = store.map(|why| format!("the block store cannot be read: {why}"));
        let now = match store {
            Some(store) if are_all_lost => (Some([store, lost].join("; ")), None),
            None if are_all_lost && !lost.is_empty() => {
                (None, Some(format!("blocks come from the block store alone, a second late: {lost}")))
            }
            store => {
                (None, Some(lost).filter(|lost| !lost.is_empty()).into_iter().chain(store).reduce(|a, b| a + "; " + &b))
            }
        };
        let now = match &self.damage {
            Some(damage) if damage.stops => (Some(damage.and(now.0)), now.1),
            Some(damage) => (now.0, Some(damage.and(now.1))),
            None => now,
        };
        if now.0 != self.told.0 {
            self.say(SourceEvent::Interrupted(now.0.clone())).await?;
        }
        if now.1 != self.told.1 {
            self.say(SourceEvent::Weakened(now.1.clone())).await?;
        }
        self.told = now;
        Ok(())
    }

    async fn say(&self, event: SourceEvent) -> Result<(), Unwanted> {
        self.sender.send(Ok(event)).await.map_err(|_| Unwanted)
    }
}

/// What people call a file of the store: health names no paths.
fn file_of(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let digits = name.find(|letter: char| !letter.is_ascii_digit()).map_or(name, |end| &name[..end]);
    match digits.parse() {
        Ok(number) if path.contains(ONE_BLOCKS) => format!("the one-block file of block {number}"),
        Ok(number) if folder.ends_with("merged-blocks") => bundle_of(number),
        _ => format!("the file {name} of the block store"),
    }
}

/// The bundle that has the block.
fn bundle_of(number: u32) -> String {
    let first = base_of(number);
    format!("the bundle of blocks {first} to {}", first.saturating_add(BUNDLE_BLOCKS - 1))
}

/// A file of the store that is damaged or missing.
struct Damage {
    /// Which, and what to do.
    why: String,
    /// Whether no block can come after it.
    stops: bool,
    backoff: Backoff,
}

impl Damage {
    /// What is said of it and of something else.
    fn and(&self, more: Option<String>) -> String {
        more.map_or_else(|| self.why.clone(), |more| format!("{}; {more}", self.why))
    }
}

/// What became of a message.
enum Taken {
    /// It was a block that no one had sent.
    New,
    /// It was a block that does not follow what has come.
    Gap,
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names_that_say_which_they_are() {
        for (path, name) in [
            ("srv/blocks/merged-blocks/0000000200.dbin.zst", "the bundle of blocks 200 to 299"),
            ("one-blocks/0000000007-aa-bb-6-a.dbin.zst", "the one-block file of block 7"),
            ("abi-dumps/0000000001.json.zst", "the file 0000000001.json.zst of the block store"),
            ("merged-blocks/x", "the file x of the block store"),
        ] {
            assert_eq!(file_of(path), name);
        }
        assert_eq!(bundle_of(99), "the bundle of blocks 0 to 99");
    }
}
