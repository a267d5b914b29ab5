//! The schedule of producers under Savanna consensus, as headers change it.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use dfuse_antelope::{
    BlockTimestamp, Checksum256, PublicKey,
    model::{
        BlockHeader, BlockSigningAuthority, BlockSigningAuthorityV0, Extension, KeyWeight, ProducerAuthority,
        ProducerAuthoritySchedule,
    },
    raw::{Reader, Writer},
};
use dfuse_ship::{Consensus, Head, HistoryBlock, SavannaHead};
use dfuse_testkit::recorded;

const KEY: &str = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV";
/// The first slot of a round.
const ROUND: u32 = 1200;

fn producer(name: &str) -> ProducerAuthority {
    let key = KeyWeight { public_key: KEY.parse::<PublicKey>().unwrap().to_string(), weight: 1 };
    ProducerAuthority {
        account_name: name.parse().unwrap(),
        block_signing_authority: BlockSigningAuthority {
            v0: Some(BlockSigningAuthorityV0 { threshold: 1, keys: vec![key] }),
        },
    }
}

/// What a header says of producers: a new version, the positions that are removed, and who is inserted where.
type Change<'a> = (u32, &'a [u16], &'a [(u16, &'a str)]);

/// A chain of headers from one that is known on.
struct Chain {
    consensus: Consensus,
    previous: Checksum256,
    slot: u32,
}

fn id(number: u32, slot: u32) -> Checksum256 {
    let mut id = Checksum256::sha256(&[number.to_be_bytes(), slot.to_be_bytes()].concat());
    id.0[..4].copy_from_slice(&number.to_be_bytes());
    id
}

fn head(id: Checksum256, slot: u32, schedule: Option<ProducerAuthoritySchedule>) -> SavannaHead {
    SavannaHead {
        id,
        header: BlockHeader { timestamp: BlockTimestamp(slot), ..BlockHeader::default() },
        activated_protocol_features: vec![],
        irreversible_block_num: id.block_num() - 1,
        latest_claim: (id.block_num() - 1, true),
        claims: vec![(id.block_num(), id.block_num() - 1)],
        active_schedule: schedule,
        proposed_schedule: None,
        pending_schedule: None,
    }
}

impl Chain {
    /// After block 100, which is the last one before the round.
    fn new(schedule: Option<ProducerAuthoritySchedule>) -> Self {
        let (id, slot) = (id(100, ROUND - 1), ROUND - 1);
        let consensus = Consensus::of_snapshot(&Head { legacy: None, savanna: Some(head(id, slot, schedule)) });
        Self { consensus, previous: id, slot }
    }

    fn of(names: &[&str]) -> Self {
        let producers = names.iter().map(|name| producer(name)).collect();
        Self::new(Some(ProducerAuthoritySchedule { version: 1, producers }))
    }

    fn number(&self) -> u32 {
        self.previous.block_num()
    }

    /// A block in every slot up to `slot`. Each one makes its grandparent final, if it is certified.
    fn to(&mut self, slot: u32, is_certified: bool) {
        while self.slot < slot {
            self.block(self.slot + 1, is_certified, None);
        }
    }

    fn header(&self, slot: u32, is_certified: bool, change: Option<Change<'_>>) -> BlockHeader {
        let mut data = Writer::new();
        data.u32(if is_certified { self.number() } else { 100 });
        data.bool(is_certified);
        // A change of finalizers stands before that of producers.
        data.option(change.as_ref(), |w, _| {
            w.u32(7);
            w.u64(3);
            w.list(&[0, 5], |w, at| w.u16(*at));
            w.list(&["one", "two"], |w, name| {
                w.u16(1);
                w.blob(name.as_bytes());
                w.u64(1);
                w.blob(&[9; 96]);
            });
        });
        data.option(change.as_ref(), |w, (version, removed, inserted)| {
            w.u32(*version);
            w.u32(slot);
            w.list(removed, |w, at| w.u16(*at));
            w.list(inserted, |w, (at, name)| {
                w.u16(*at);
                w.name(name.parse().unwrap());
                w.varuint32(0);
                w.u32(1);
                w.list(&[KEY], |w, key| {
                    key.parse::<PublicKey>().unwrap().write(w);
                    w.u16(1);
                });
            });
        });
        BlockHeader {
            timestamp: BlockTimestamp(slot),
            previous: self.previous,
            header_extensions: vec![Extension { r#type: 2, data: data.bytes.into() }],
            ..BlockHeader::default()
        }
    }

    fn block(&mut self, slot: u32, is_certified: bool, change: Option<Change<'_>>) {
        let header = self.header(slot, is_certified, change);
        let id = id(self.number() + 1, slot);
        let next = self.consensus.next(&header, id).unwrap();
        // What is kept of it leads to the same.
        let kept = Consensus::unpack(&self.consensus.pack()).unwrap();
        assert_eq!(kept.next(&header, id).unwrap().schedule(), next.schedule(), "block {}", id.block_num());
        (self.consensus, self.previous, self.slot) = (next, id, slot);
    }

    fn producers(&self) -> Vec<String> {
        let schedule = self.consensus.schedule().unwrap();
        schedule.producers.iter().map(|it| it.account_name.to_string()).collect()
    }

    /// The slot of the first block from now on, one in each slot, with another schedule.
    fn changes_at(&mut self, limit: u32) -> Option<u32> {
        let before = self.producers();
        (self.slot + 1..limit).find(|slot| {
            self.to(*slot, true);
            self.producers() != before
        })
    }
}

#[test]
fn a_proposal_takes_effect_after_the_next_round() {
    for (at, effective) in [(0, 24), (5, 24), (11, 24), (12, 36), (23, 36)] {
        let mut chain = Chain::of(&["a", "b", "c"]);
        chain.to(ROUND + at - 1, true);
        chain.block(ROUND + at, true, Some((2, &[1], &[(0, "d"), (3, "e")])));
        assert_eq!(chain.producers(), ["a", "b", "c"]);
        assert_eq!(chain.changes_at(ROUND + 100), Some(ROUND + effective), "proposed at {at}");
        assert_eq!(chain.producers(), ["d", "a", "c", "e"]);
        assert_eq!(chain.consensus.schedule().unwrap().version, 2);
        assert_eq!(chain.changes_at(ROUND + 200), None);
    }
}

#[test]
fn rounds_without_blocks_count() {
    let mut chain = Chain::of(&["a"]);
    chain.block(ROUND, true, Some((2, &[0], &[(0, "b")])));
    chain.to(ROUND + 3, true);
    // In the first block of the next round that has any it is pending, in the first one of another round in force.
    chain.block(ROUND + 40, true, None);
    assert_eq!(chain.producers(), ["a"]);
    assert_eq!(chain.changes_at(ROUND + 100), Some(ROUND + 48));
}

#[test]
fn what_is_not_final_waits_and_the_newest_goes_before() {
    let mut chain = Chain::of(&["a"]);
    chain.block(ROUND, false, Some((2, &[0], &[(0, "b")])));
    chain.to(ROUND + 29, false);
    // This builds on what is pending.
    chain.block(ROUND + 30, false, Some((3, &[], &[(1, "c")])));
    chain.to(ROUND + 50, false);
    assert_eq!(chain.producers(), ["a"]);
    // Blocks are final again: the newer one is old enough, so the older one never is in force.
    assert_eq!(chain.changes_at(ROUND + 100), Some(ROUND + 60));
    assert_eq!(chain.producers(), ["b", "c"]);
    assert_eq!(chain.consensus.schedule().unwrap().version, 3);
    assert_eq!(chain.changes_at(ROUND + 200), None);
}

#[test]
fn each_of_two_proposals_has_its_round() {
    let mut chain = Chain::of(&["a"]);
    chain.block(ROUND, true, Some((2, &[0], &[(0, "b")])));
    chain.to(ROUND + 13, true);
    chain.block(ROUND + 14, true, Some((3, &[0], &[(0, "c")])));
    assert_eq!(chain.changes_at(ROUND + 100), Some(ROUND + 24));
    assert_eq!(chain.producers(), ["b"]);
    assert_eq!(chain.changes_at(ROUND + 100), Some(ROUND + 36));
    assert_eq!(chain.producers(), ["c"]);
}

#[test]
fn without_a_schedule_no_difference_makes_one() {
    let mut chain = Chain::new(None);
    chain.block(ROUND, true, Some((2, &[0], &[(0, "b")])));
    chain.to(ROUND + 60, true);
    assert_eq!(chain.consensus.schedule(), None);
}

#[test]
fn a_difference_of_another_schedule_is_refused() {
    type Change<'a> = (&'a [u16], &'a [(u16, &'a str)]);
    let changes: [Change<'_>; 2] = [(&[2], &[]), (&[], &[(3, "b")])];
    for (removed, inserted) in changes {
        let chain = Chain::of(&["a", "b"]);
        let header = chain.header(ROUND, true, Some((2, removed, inserted)));
        let refused = chain.consensus.next(&header, id(101, ROUND)).unwrap_err().to_string();
        assert!(refused.contains("does not fit the schedule"), "{refused}");
    }
}

/// Every block of the recorded log, after the first one, has the schedule that the node says of it.
#[test]
fn the_schedule_is_that_of_the_node() {
    let Some(lines) = recorded::lines("public/spring-unittest.dmlog.zst") else { return };
    let mut consensus: Option<Consensus> = None;
    let mut compared = 0;
    for line in lines {
        let line = String::from_utf8_lossy(&line).into_owned();
        let fields: Vec<_> = line.split(' ').collect();
        let ["DMLOG", "ACCEPTED_BLOCK_V2", id, _, _, block, _, policy, ..] = fields[..] else { continue };
        let bytes = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let (id, packed, policy): (Checksum256, Bytes, _) = (id.parse().unwrap(), bytes(block).into(), bytes(policy));
        let block = HistoryBlock::decode(id, &packed, &Bytes::new(), &[0][..]).unwrap();
        let mut reader = Reader::new(&policy);
        reader.u32().unwrap();
        let mut key = |r: &mut Reader<'_>| Ok(PublicKey::read(r)?.to_string());
        let told = ProducerAuthoritySchedule::unpack(&mut reader, &mut key).unwrap();
        let header = &block.signed.header;
        consensus = Some(match consensus {
            None => {
                let savanna = head(id, header.timestamp.0, Some(told));
                Consensus::of_snapshot(&Head { legacy: None, savanna: Some(savanna) })
            }
            Some(before) => {
                let next = before.next(header, id).unwrap();
                assert_eq!(next.schedule(), Some(&told), "block {}", id.block_num());
                compared += 1;
                next
            }
        });
    }
    assert_eq!(compared, 31);
}
