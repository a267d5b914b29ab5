//! A client that is not lost with a machine.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use dfuse_node::firehose::{Endpoint, FirehoseClient, FirehoseOptions, Received};
use dfuse_proto::sf::firehose::v2::{ForkStep, Request};
use dfuse_testkit::Random;
use tokio::time::{sleep, timeout};

use crate::support;

/// A client that follows the chain on one of two machines, and goes on at the other with its cursor when that one is lost.
pub(crate) struct Client {
    /// Ids of the blocks that it has.
    stack: Arc<Mutex<Vec<String>>>,
    moves: Arc<Mutex<usize>>,
    done: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Client {
    pub(crate) fn start(addresses: [String; 2], seed: u64) -> Self {
        let stack = Arc::<Mutex<Vec<String>>>::default();
        let (moves, done) = (Arc::<Mutex<usize>>::default(), Arc::<AtomicBool>::default());
        let of_thread = (stack.clone(), moves.clone(), done.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(follow(addresses, seed, &of_thread.0, &of_thread.1, &of_thread.2));
        });
        Self { stack, moves, done, thread }
    }

    /// What it has once it has the block.
    pub(crate) fn end(self, head: &str) -> (Vec<String>, usize) {
        let until = support::deadline();
        while self.stack.lock().unwrap().last().is_none_or(|last| last != head) {
            assert!(
                std::time::Instant::now() < until,
                "the client never had {head}: {:?}",
                self.stack.lock().unwrap().last()
            );
            thread::sleep(Duration::from_millis(20));
        }
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let stack = self.stack.lock().unwrap().clone();
        (stack, *self.moves.lock().unwrap())
    }
}

async fn follow(
    addresses: [String; 2],
    seed: u64,
    stack: &Mutex<Vec<String>>,
    moves: &Mutex<usize>,
    done: &AtomicBool,
) {
    let mut cursor = String::new();
    let mut random = Random::new(seed);
    let options = FirehoseOptions { timeout: Duration::from_secs(5), ..FirehoseOptions::default() };
    while !done.load(Ordering::Relaxed) {
        let endpoint = Endpoint::new(&addresses[random.below(2) as usize], false).unwrap();
        let request = Request { start_block_num: 2, cursor: cursor.clone(), ..Request::default() };
        let Ok(client) = FirehoseClient::connect(&endpoint, &options).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut blocks = match client.blocks(request).await {
            Ok(blocks) => blocks,
            Err(failure) => {
                // One that starts, or is behind for long, says that it is for now.
                let read = dfuse_blocks::CursorKey::new([7; 32]).open_cursor(&cursor);
                assert!(matches!(failure, dfuse_node::firehose::Failure::Passing(_)), "{failure:?} {read:?}");
                sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        *moves.lock().unwrap() += 1;
        // Now and then it leaves by itself.
        let mut left = 1 + random.below(60);
        while left > 0 && !done.load(Ordering::Relaxed) {
            let Ok(message) = timeout(Duration::from_millis(500), blocks.message()).await else { break };
            let Ok(Some(message)) = message else { break };
            let received = Received::read(message).unwrap();
            let mut stack = stack.lock().unwrap();
            let (id, previous) = (received.encoded.id().to_string(), received.encoded.previous().to_string());
            match received.step {
                ForkStep::StepNew => {
                    assert!(stack.last().is_none_or(|last| *last == previous), "{id} follows {:?}", stack.last());
                    stack.push(id);
                }
                ForkStep::StepUndo => assert_eq!(stack.pop(), Some(id)),
                step => panic!("{step:?}"),
            }
            cursor = received.cursor;
            left -= 1;
        }
    }
}
