//! Messages of a node's WebSocket of state history.
//!
//! A message is the index of its kind and its fields. The parts of a block come last and can have gigabytes: [`Results`] reads them
//! from a stream, one after the other.

use std::io::Read;

use dfuse_antelope::{
    Checksum256, Error as Wrong, Result as Decoded,
    raw::{Reader, Writer},
};

use crate::{Result, deltas::varuint64, window::Window};

/// A block by number and id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Its number.
    pub block_num: u32,
    /// Its id.
    pub block_id: Checksum256,
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// What the node has.
    Status,
    /// Blocks, from now on.
    Blocks(BlocksRequest),
    /// So many results were processed, and as many more may be sent.
    Ack(u32),
}

/// Which blocks, and what of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlocksRequest {
    /// The first block.
    pub start_block_num: u32,
    /// The block after the last one.
    pub end_block_num: u32,
    /// Results that the node may send before it waits for [`Request::Ack`].
    pub max_messages_in_flight: u32,
    /// Blocks that the client has, ascending: the node begins at the first one that is not of its chain.
    pub have_positions: Vec<Position>,
    /// Only final blocks.
    pub irreversible_only: bool,
    /// With the blocks themselves.
    pub fetch_block: bool,
    /// With traces.
    pub fetch_traces: bool,
    /// With deltas.
    pub fetch_deltas: bool,
    /// With finality data or without: a request of version 1, which only some nodes know.
    pub fetch_finality_data: Option<bool>,
}

/// What a node has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Its head.
    pub head: Position,
    /// Its LIB.
    pub last_irreversible: Position,
    /// First block with traces, and the one after the last; both are 0 if there are none.
    pub traces: (u32, u32),
    /// First block with deltas, and the one after the last.
    pub deltas: (u32, u32),
    /// The chain's id, which old nodes do not say.
    pub chain_id: Option<Checksum256>,
}

/// What a node sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// The answer to [`Request::Status`].
    Status(Status),
    /// A block, whose parts follow.
    Blocks {
        /// The node's head as it sent this.
        head: Position,
        /// The node's LIB as it sent this.
        last_irreversible: Position,
        /// The block. Without it the node does not have the block that it was asked for.
        this_block: Option<Position>,
        /// The block before it on the same branch.
        prev_block: Option<Position>,
    },
}

impl Request {
    /// The message.
    pub fn pack(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Self::Status => writer.varuint32(0),
            Self::Ack(count) => {
                writer.varuint32(2);
                writer.u32(*count);
            }
            Self::Blocks(request) => {
                writer.varuint32(if request.fetch_finality_data.is_some() { 3 } else { 1 });
                writer.u32(request.start_block_num);
                writer.u32(request.end_block_num);
                writer.u32(request.max_messages_in_flight);
                writer.list(&request.have_positions, |w, position| {
                    w.u32(position.block_num);
                    w.checksum256(&position.block_id);
                });
                let flags =
                    [request.irreversible_only, request.fetch_block, request.fetch_traces, request.fetch_deltas];
                flags.into_iter().chain(request.fetch_finality_data).for_each(|flag| writer.bool(flag));
            }
        }
        writer.bytes
    }

    /// Reads what [`Request::pack`] writes.
    ///
    /// # Errors
    /// The message ends too early, or is of an unknown kind.
    pub fn unpack(message: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(message);
        let r = &mut reader;
        Ok(match r.varuint32()? {
            0 | 4 => Self::Status,
            2 => Self::Ack(r.u32()?),
            kind @ (1 | 3) => Self::Blocks(BlocksRequest {
                start_block_num: r.u32()?,
                end_block_num: r.u32()?,
                max_messages_in_flight: r.u32()?,
                have_positions: r.list(36, "positions", position)?,
                irreversible_only: r.bool()?,
                fetch_block: r.bool()?,
                fetch_traces: r.bool()?,
                fetch_deltas: r.bool()?,
                fetch_finality_data: if kind == 3 { Some(r.bool()?) } else { None },
            }),
            other => return Err(Wrong::invalid("request", format!("unknown variant {other}"))),
        })
    }
}

/// Reads a message of a node, which comes in pieces.
pub struct Results<R> {
    window: Window<R>,
    response: Response,
    /// Parts that are left: block, traces, deltas, and with version 1 finality data.
    parts: u32,
}

impl<R: Read> Results<R> {
    /// Reads a message up to the parts of its block.
    ///
    /// # Errors
    /// The stream fails or ends, or what it has is no message of a node.
    pub fn read(message: R) -> Result<Self> {
        let mut window = Window::new(message);
        let (response, parts) = window.frame("a message", response)?;
        let mut results = Self { window, response, parts };
        if let Response::Status(status) = &mut results.response {
            // Whether the id is there only the end of the message says.
            if !results.window.is_at_end()? {
                status.chain_id = Some(results.window.frame("the chain's id", |r| r.checksum256())?);
            }
        }
        Ok(results)
    }

    /// What the message says before the parts.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// Bytes of the next part, which must be read by [`Results::content`] then: the block, its traces, its deltas. `None`: the node
    /// does not have it, was not asked for it, or there are no more parts.
    ///
    /// # Errors
    /// The stream fails or ends, or is wrong.
    pub fn next_part(&mut self) -> Result<Option<u64>> {
        if self.parts == 0 {
            return Ok(None);
        }
        self.parts -= 1;
        self.window.frame("a part of a block", |r| r.option(varuint64))
    }

    /// The content of a part of so many bytes.
    pub fn content(&mut self, size: u64) -> impl Read {
        self.window.content(size)
    }
}

fn position(reader: &mut Reader<'_>) -> Decoded<Position> {
    Ok(Position { block_num: reader.u32()?, block_id: reader.checksum256()? })
}

fn response(reader: &mut Reader<'_>) -> Decoded<(Response, u32)> {
    let range = |r: &mut Reader<'_>| Ok((r.u32()?, r.u32()?));
    let kind = reader.varuint32()?;
    Ok(match kind {
        0 => {
            let (head, last_irreversible) = (position(reader)?, position(reader)?);
            let (traces, deltas) = (range(reader)?, range(reader)?);
            (Response::Status(Status { head, last_irreversible, traces, deltas, chain_id: None }), 0)
        }
        1 | 2 => {
            let blocks = Response::Blocks {
                head: position(reader)?,
                last_irreversible: position(reader)?,
                this_block: reader.option(position)?,
                prev_block: reader.option(position)?,
            };
            (blocks, if kind == 1 { 3 } else { 4 })
        }
        other => return Err(Wrong::invalid("result", format!("unknown variant {other}"))),
    })
}
