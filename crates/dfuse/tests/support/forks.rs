//! A recorded chain with forks, given to servers in pieces, and what can be asked of it.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::{collections::BTreeSet, ops::Range};

use dfuse_deep_mind::{Event, Reader};
use dfuse_testkit::{Random, recorded};
use serde_json::Value;

use super::Server;

/// The recorded chain with forks, and its id.
const LOG: &str = "fork/fork.dmlog.zst";
/// Pieces of the log, each with its own misfortune.
pub(crate) const PIECES: usize = 30;

/// A block in the log.
pub(crate) struct Logged {
    /// Where its part of the log ends.
    pub(crate) end: usize,
    pub(crate) number: u32,
    pub(crate) id: String,
    pub(crate) previous: String,
}

/// The log, and what can be asked of its chain.
pub(crate) struct Forks {
    pub(crate) log: Vec<u8>,
    /// All blocks in the order of the log.
    pub(crate) blocks: Vec<Logged>,
    /// Where pieces end, and the id of the highest block up to there.
    pub(crate) pieces: Vec<(usize, String)>,
    pub(crate) ids: Vec<String>,
    pub(crate) numbers: Range<u32>,
    pub(crate) transactions: Vec<String>,
    pub(crate) accounts: Vec<String>,
}

impl Forks {
    pub(crate) fn read() -> Option<Self> {
        let log = recorded::bytes(LOG)?;
        let mut reader = Reader::new(&log[..]);
        let mut blocks = Vec::new();
        while let Some(event) = reader.next_event().unwrap() {
            if let Event::Block(block) = event {
                blocks.push(*block);
            }
        }
        let mut ends = vec![];
        let mut at = 0;
        for line in log.split_inclusive(|byte| *byte == b'\n') {
            at += line.len();
            if line.starts_with(b"DMLOG ACCEPTED_BLOCK") {
                ends.push(at);
            }
        }
        assert_eq!(ends.len(), blocks.len());
        let piece = |piece: usize| {
            let last = piece * (blocks.len() - 1) / PIECES;
            let highest = blocks[..=last].iter().rev().max_by_key(|block| block.number).unwrap();
            (ends[last], highest.id.to_string())
        };
        let pieces = (1..=PIECES).map(piece).collect();
        // Those of the chain, from its end.
        let mut canonical = vec![];
        let mut wanted = blocks.iter().max_by_key(|block| block.number).unwrap().id;
        for block in blocks.iter().rev() {
            if block.id == wanted {
                wanted = block.header.previous;
                canonical.push(block);
            }
        }
        let mut accounts = BTreeSet::new();
        let mut transactions = BTreeSet::new();
        for block in &canonical {
            for trace in block.transaction_traces() {
                transactions.insert(trace.id.to_string());
                accounts.extend(trace.action_traces.iter().map(|action| action.receiver.to_string()));
            }
        }
        let logged = blocks.iter().zip(&ends).map(|(block, end)| Logged {
            end: *end,
            number: block.number,
            id: block.id.to_string(),
            previous: block.header.previous.to_string(),
        });
        Some(Self {
            blocks: logged.collect(),
            pieces,
            ids: canonical.iter().map(|block| block.id.to_string()).collect(),
            numbers: 2..canonical[0].number + 1,
            transactions: transactions.into_iter().collect(),
            accounts: accounts.into_iter().collect(),
            log,
        })
    }

    /// Ids of the branch that ends with the block, from there down.
    pub(crate) fn branch(&self, id: &str) -> Vec<String> {
        let mut wanted = id;
        let mut branch = Vec::new();
        for block in self.blocks.iter().rev().filter(|block| self.numbers.contains(&block.number)) {
            if block.id == wanted {
                branch.push(block.id.clone());
                wanted = &block.previous;
            }
        }
        branch
    }

    /// The first piece from that one on after which all who have it have the same head, and no block of its height beside it.
    pub(crate) fn settled(&self, from: usize) -> usize {
        let is_settled = |piece: &usize| {
            let (end, head) = &self.pieces[*piece];
            let number = u32::from_str_radix(&head[..8], 16).unwrap();
            let beside = self.blocks.iter().filter(|block| block.end <= *end && block.number >= number).count();
            beside == 1 && self.ids.contains(head)
        };
        (from..PIECES).find(is_settled).unwrap()
    }

    /// Ids of the blocks that were applied and lost, the lowest first.
    pub(crate) fn lost(&self) -> Vec<String> {
        let mut lost: BTreeSet<_> = self.blocks.iter().map(|block| block.id.clone()).collect();
        for id in &self.ids {
            lost.remove(id);
        }
        lost.into_iter().collect()
    }

    /// Something that can be asked of everybody.
    pub(crate) fn request(&self, random: &mut Random) -> String {
        let number = self.numbers.start + random.below(u64::from(self.numbers.end - self.numbers.start)) as u32;
        let (id, account) = (random.pick(&self.ids), random.pick(&self.accounts));
        match random.below(10) {
            0 => format!("/v0/blocks/{id}"),
            1 => format!("/v0/blocks/{id}/transactions?limit=100"),
            2 => format!("/v0/transactions/{}", random.pick(&self.transactions)),
            3 => format!("/v0/state/abi?account={account}&block_num={number}&json=true"),
            4 => format!("/v0/state/permission_links?account={account}&block_num={number}"),
            5 => format!("/v0/state/table?account=eosio&scope=eosio&table=producers&block_num={number}&json=true"),
            6 => format!(
                "/v0/state/table?account=eosio.token&scope={account}&table=accounts&block_num={number}&json=true"
            ),
            7 => format!("/v0/state/table_scopes?account=eosio.token&table=accounts&block_num={number}"),
            8 => format!("/v0/search/transactions?q=receiver:{account}&start_block={number}&limit=20&sort=desc"),
            _ => format!("/v0/search/transactions?q=data.to:{account}&start_block={number}&limit=20&sort=asc"),
        }
    }
}

/// Status and body, without what differs from request to request, and without blocks that lost: whoever came too late for one does
/// not have it.
pub(crate) fn answer(server: &mut Server, path: &str) -> (u16, Value) {
    let answer = server.get(path);
    let mut json = answer.json();
    if let Some(object) = json.as_object_mut() {
        object.remove("trace_id");
        object.remove("sibling_blocks");
    }
    (answer.status, json)
}
