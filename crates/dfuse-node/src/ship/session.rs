//! One connection: what is asked, and what becomes of the answers.

use std::io::{self, Read};

use bytes::Bytes;
use dfuse_antelope::{AbiDump, model::wire::ReverseWriter};
use dfuse_blocks::EncodedBlock;
use dfuse_ship::{
    Assembler, BlocksRequest, Error as Wrong, GenesisState, HistoryBlock, MemoryRows, Position, Protocol, Request,
    Response, Results, Status,
};

use super::{Ended, Followed, address::Address, socket::Socket};
use crate::{Error, SourceEvent, SourceOptions, event::Sender, kept::settle, whole_state::is_whole_state};

/// Blocks that a node sends before it waits for an acknowledgement, and after how many taken ones it gets it.
const IN_FLIGHT: u32 = 50;
const ACKNOWLEDGED: u32 = 10;
/// Most bytes of a block, or of its traces. Deltas are read as a stream.
const MAX_PART: u64 = 1 << 30;

type Step<T> = Result<T, Ended>;

struct Session<'a> {
    address: &'a Address,
    options: &'a SourceOptions,
    followed: &'a mut Followed,
    sender: &'a Sender,
    writer: ReverseWriter,
}

/// Connects and takes blocks until something ends it.
pub(super) fn run(address: &Address, options: &SourceOptions, followed: &mut Followed, sender: &Sender) -> Ended {
    let mut session = Session { address, options, followed, sender, writer: ReverseWriter::new() };
    let ended = match session.run() {
        Ok(ended) => ended,
        Err(ended) => ended,
    };
    if sender.is_closed() { Ended::Unwanted } else { ended }
}

impl Session<'_> {
    fn run(&mut self) -> Step<Ended> {
        let (mut socket, text) = Socket::connect(self.address, self.sender).map_err(|error| lost(&error))?;
        let protocol = Protocol::from_abi(&text).map_err(|error| Ended::Refused(self.wrong(error)))?;
        socket.send(Request::Status.pack()).map_err(|error| lost(&error))?;
        let mut message = socket.message();
        let results = Results::read(&mut message).map_err(|error| told(&error))?;
        let Response::Status(status) = *results.response() else {
            return Err(Ended::Lost("it did not answer a request for its status".to_owned()));
        };
        self.check(&status)?;
        let request = self.request(protocol);
        let first = request.start_block_num;
        let head = status.head.block_num;
        tracing::info!(node = %self.address, from = first, head, "following state history");
        socket.send(Request::Blocks(request).pack()).map_err(|error| lost(&error))?;
        // Without a new block, the node says nothing more.
        let is_at_head = head < first;
        if !self.tell_server() || !self.tell_head(head) || is_at_head && !self.tell_connected() {
            return Ok(Ended::Unwanted);
        }
        let mut unacknowledged = 0;
        loop {
            if !self.take(&mut socket, first)? {
                return Ok(Ended::Unwanted);
            }
            unacknowledged += 1;
            if unacknowledged == ACKNOWLEDGED {
                socket.send(Request::Ack(unacknowledged).pack()).map_err(|error| lost(&error))?;
                unacknowledged = 0;
            }
        }
    }

    /// Says which node serves. False: nobody wants more.
    fn tell_server(&self) -> bool {
        self.sender.blocking_send(Ok(SourceEvent::ServedBy(self.address.to_string()))).is_ok()
    }

    /// Says how far the node is. False: nobody wants more.
    fn tell_head(&mut self, head: u32) -> bool {
        let is_news = head > self.followed.told;
        self.followed.told = self.followed.told.max(head);
        !is_news || self.sender.blocking_send(Ok(SourceEvent::HasUpTo(head))).is_ok()
    }

    /// Says that a node gives blocks, if it was said that none does. False: nobody wants more.
    fn tell_connected(&mut self) -> bool {
        let was_interrupted = std::mem::take(&mut self.followed.is_interrupted);
        !was_interrupted || self.sender.blocking_send(Ok(SourceEvent::Interrupted(None))).is_ok()
    }

    /// Whether the node is of the chain that is followed, and has what is wanted.
    fn check(&mut self, status: &Status) -> Step<()> {
        if let (Some(wanted), Some(found)) = (self.followed.chain_id, status.chain_id)
            && wanted != found
        {
            let why = format!("node {} is of chain {found} instead of {wanted}", self.address);
            return Err(Ended::Refused(Error::HistoryMissing(why)));
        }
        self.followed.chain_id = self.followed.chain_id.or(status.chain_id);
        let next = self.followed.assembler.as_ref().map_or(1, |assembler| assembler.head().block_num() + 1);
        // The first block has no transactions, and a node that has replayed its blocks no deltas of it.
        let slack = if next == 1 { 2 } else { next };
        for (what, option, (begin, end)) in
            [("traces", "trace-history", status.traces), ("deltas", "chain-state-history", status.deltas)]
        {
            let why = match (begin, end) {
                (_, 0) => format!("node {} has no {what}: it needs {option} = true", self.address),
                (begin, _) if begin > slack => {
                    format!("node {} has {what} from block {begin} on, and block {next} is wanted", self.address)
                }
                _ => continue,
            };
            // Another node may have more, and what is there can be served. One without blocks has nothing yet, whatever its options are.
            let has_begun = self.followed.assembler.is_some() || !self.options.is_empty;
            return Err(match has_begun || status.head.block_num <= 1 {
                true => Ended::Lost(why),
                false => Ended::Refused(Error::HistoryMissing(why)),
            });
        }
        Ok(())
    }

    /// What is asked for: with finality data, where the node knows such a request.
    fn request(&self, protocol: Protocol) -> BlocksRequest {
        let assembler = self.followed.assembler.as_ref();
        let ids = assembler.map(Assembler::positions).unwrap_or_default();
        BlocksRequest {
            start_block_num: assembler.map_or(1, |assembler| assembler.head().block_num() + 1),
            end_block_num: u32::MAX,
            max_messages_in_flight: IN_FLIGHT,
            have_positions: ids.into_iter().map(|id| Position { block_num: id.block_num(), block_id: id }).collect(),
            irreversible_only: false,
            fetch_block: true,
            fetch_traces: true,
            fetch_deltas: true,
            fetch_finality_data: protocol.has_finality_data.then_some(true),
        }
    }

    /// Takes one result. False: nobody wants more.
    fn take(&mut self, socket: &mut Socket<'_>, first: u32) -> Step<bool> {
        let mut message = socket.message();
        let mut results = Results::read(&mut message).map_err(|error| told(&error))?;
        let Response::Blocks { head, this_block, .. } = *results.response() else {
            return Err(Ended::Lost("it sent something that was not asked for".to_owned()));
        };
        // Only a number above the node's head is one that it may come to have.
        let missing = |what: &str, number: u32| match number <= head.block_num {
            true => Ended::Lost(format!("its history is missing: it has no {what} of block {number} any more")),
            false => Ended::Lost(format!("it has no {what} of block {number} yet")),
        };
        let Some(this_block) = this_block else { return Err(missing("block", first)) };
        let number = this_block.block_num;
        let block = self.part(&mut results)?.ok_or_else(|| missing("block", number))?;
        let traces = self.part(&mut results)?;
        let deltas = results.next_part().map_err(|error| told(&error))?;
        // The first block has no traces. One without transactions has traces that are empty.
        let is_first = number == 1;
        if traces.is_none() && !is_first {
            return Err(missing("traces", number));
        }
        let parts = match deltas {
            Some(size) => {
                HistoryBlock::decode(this_block.block_id, &block, &traces.unwrap_or_default(), results.content(size))
            }
            None if is_first => HistoryBlock::decode(this_block.block_id, &block, &Bytes::new(), &[0][..]),
            None => return Err(missing("deltas", number)),
        };
        let parts = parts.map_err(|error| told(&error))?;
        // Absent where it was not asked for, not kept, or there is none yet.
        if let Some(finality_data) = self.part(&mut results)? {
            parts.must_agree_with(&finality_data).map_err(|error| told(&error))?;
        }
        // The rest of a message that is not known.
        io::copy(&mut message, &mut io::sink()).map_err(|error| lost(&error))?;
        Ok(self.tell_connected() && self.tell_head(head.block_num) && self.give(parts)?)
    }

    fn part(&self, results: &mut Results<impl Read>) -> Step<Option<Bytes>> {
        let Some(size) = results.next_part().map_err(|error| told(&error))? else { return Ok(None) };
        if size > MAX_PART {
            return Err(Ended::Lost(format!("a part of a block has {size} bytes, more than {MAX_PART}")));
        }
        let mut part = vec![];
        results.content(size).read_to_end(&mut part).map_err(|error| lost(&error))?;
        Ok(Some(part.into()))
    }

    fn give(&mut self, parts: HistoryBlock) -> Step<bool> {
        let (id, number) = (parts.id, parts.id.block_num());
        let Some(assembler) = &mut self.followed.assembler else { return self.begin(parts) };
        // Blocks that are there come again from a node that is behind, or whose branch parts further down.
        if number <= assembler.irreversible() || assembler.positions().contains(&id) {
            return Ok(true);
        }
        let wanted = assembler.head().block_num() + 1;
        if number > wanted {
            // A node that has pruned its logs begins with what it has.
            return Err(Ended::Lost(format!(
                "its history is missing: block {wanted} is wanted, and it sent block {number}"
            )));
        }
        let block = match assembler.block(parts) {
            Ok(block) => block,
            Err(error @ Wrong::Rows(_)) => return Err(Ended::Failed(self.wrong(error))),
            // Asked again with all positions, the node sends the branch from where it parts.
            Err(error) => return Err(Ended::Lost(error.to_string())),
        };
        if let Err(error) = settle(assembler, self.options) {
            return Err(Ended::Failed(self.wrong(error)));
        }
        self.followed.taken += 1;
        if number < self.options.start_block {
            return Ok(true);
        }
        let encoded = EncodedBlock::encode(&block, &mut self.writer).map_err(|error| Ended::Failed(error.into()))?;
        let event = SourceEvent::Block { block: Some(block.into()), encoded };
        Ok(self.sender.blocking_send(Ok(event)).is_ok())
    }

    /// Takes the first block of the chain; of a node that has replayed its blocks the second one, too, which has the state that the chain
    /// began with.
    fn begin(&mut self, parts: HistoryBlock) -> Step<bool> {
        let (id, number) = (parts.id, parts.id.block_num());
        let first = self.followed.first.filter(|first| number == 2 && parts.signed.header.previous == *first);
        if number != 1 && first.is_none() {
            return Err(Ended::Refused(Error::HistoryMissing(format!(
                "node {} begins with block {number}, and not with the first block of the chain",
                self.address
            ))));
        }
        let genesis = GenesisState::of_state(&parts.deltas).filter(|_| is_whole_state(&parts.deltas));
        let Some(genesis) = genesis else {
            if number == 1 {
                self.followed.first = Some(id);
                return Ok(true);
            }
            return Err(Ended::Refused(Error::HistoryMissing(format!(
                "node {} has no state of the first blocks; use another one, or ship-log:DIR for logs that have it",
                self.address
            ))));
        };
        let rows = self.followed.rows.take().unwrap_or_else(|| Box::<MemoryRows>::default());
        let (assembler, second) = match first {
            Some(first) => (Assembler::genesis(&genesis, first, vec![], rows), Some(parts)),
            None => (Assembler::genesis(&genesis, id, parts.deltas, rows), None),
        };
        self.followed.assembler = Some(assembler);
        // A chain begins with an ABI that no action has set.
        if self.sender.blocking_send(Ok(SourceEvent::AbiDump(AbiDump::native()))).is_err() {
            return Ok(false);
        }
        second.map_or(Ok(true), |second| self.give(second))
    }

    fn wrong(&self, source: Wrong) -> Error {
        Error::History { place: format!("node {}", self.address), source }
    }
}

/// A connection that ends, or damage on the way, can be another on the next try.
fn told(error: &Wrong) -> Ended {
    Ended::Lost(error.to_string())
}

fn lost(error: &io::Error) -> Ended {
    Ended::Lost(error.to_string())
}
