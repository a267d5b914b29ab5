//! Blocks as endpoints send them, and as we keep them.

use std::sync::Arc;

use dfuse_antelope::model::{
    Block, BlockParts, Message,
    bstream::{ANTELOPE_BLOCK_TYPE_URL, Any, BlockMeta, EOSIO_BLOCK_TYPE_URL, Envelope},
    wire::ReverseWriter,
};
use dfuse_blocks::EncodedBlock;
use dfuse_proto::sf::firehose::v2::{ForkStep, Response};

/// A block of a stream, and what happened to it.
#[derive(Debug, Clone)]
pub struct Received {
    /// What happened to it.
    pub step: ForkStep,
    /// The position after it.
    pub cursor: String,
    /// The block, without JSON of the endpoint.
    pub block: Arc<Block>,
    /// The same as it is stored.
    pub encoded: EncodedBlock,
}

impl Received {
    /// Reads a message of a stream. It takes some time: keep it off threads that should not wait.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(response: Response) -> Result<Self, String> {
        let (Sent { step, cursor, mut block }, any) = Sent::of(response)?;
        let encoded = if block.drop_json() {
            EncodedBlock::encode(&block, &mut ReverseWriter::new())
        } else {
            EncodedBlock::from_envelope(envelope(&block, any).to_bytes())
        };
        let encoded = encoded.map_err(|error| format!("the endpoint sent a block that cannot be: {error}"))?;
        Ok(Self { step, cursor, block: Arc::new(block), encoded })
    }
}

/// A block of a stream as the endpoint sends it: with its JSON, or with a part of its transactions only.
#[derive(Debug, Clone)]
pub struct Sent {
    /// What happened to it.
    pub step: ForkStep,
    /// The position after it.
    pub cursor: String,
    /// The block.
    pub block: Block,
}

impl Sent {
    /// Reads a message of a stream, as [`Received::read`].
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(response: Response) -> Result<Self, String> {
        Self::of(response).map(|(sent, _)| sent)
    }

    /// The same, and the bytes of the block.
    fn of(response: Response) -> Result<(Self, Any), String> {
        let step = response.step();
        if step == ForkStep::StepUnset {
            return Err(format!("the endpoint sent an unknown step ({})", response.step));
        }
        let dfuse_proto::Any { type_url, value } =
            response.block.ok_or("the endpoint sent a message without a block")?;
        if ![ANTELOPE_BLOCK_TYPE_URL, EOSIO_BLOCK_TYPE_URL].contains(&&*type_url) {
            let shown: String = type_url.chars().take(80).collect();
            return Err(format!("the endpoint has blocks of another kind of chain: \"{shown}\""));
        }
        let unreadable =
            |error: dfuse_antelope::Error| format!("the endpoint sent a block that cannot be read: {error}");
        let block = BlockParts::locate(value.clone()).and_then(|parts| parts.decode()).map_err(unreadable)?;
        Ok((Self { step, cursor: response.cursor, block }, Any { type_url, value }))
    }
}

/// What block files have around a block, with the bytes of the block as they came.
fn envelope(block: &Block, payload: Any) -> Envelope {
    let BlockMeta { number, id, parent_id, timestamp, lib_num, parent_num } = BlockMeta::of(block);
    let payload = Some(payload);
    Envelope { number, id, parent_id, timestamp, lib_num, parent_num, payload, ..Envelope::default() }
}
