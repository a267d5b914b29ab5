//! Blocks.

use std::sync::{Arc, OnceLock};

use async_graphql::{Object, SimpleObject};
use dfuse_antelope::{PublicKey, model, raw::Reader};
use dfuse_index::{
    BlockRef,
    blocks::{IndexedBlock, by_id},
};
use dfuse_query::ApiResult;

use super::{Time, Uint32};
use crate::source::Source;

/// Header extension that announces a schedule of producers.
const PRODUCER_SCHEDULE_CHANGE: u32 = 1;

/// A block by its id.
#[derive(Debug, SimpleObject)]
#[graphql(name = "BlockIDResponse")]
pub(crate) struct BlockIdResponse {
    /// When it was made.
    time: Time,
    /// Its height.
    num: Uint32,
    /// Its id.
    id: String,
}

impl From<IndexedBlock> for BlockIdResponse {
    fn from(block: IndexedBlock) -> Self {
        Self { time: block.time.into(), num: block.number.into(), id: block.id.to_string() }
    }
}

/// The header of a block, which is read when more than id, number and time are asked for.
pub(crate) struct BlockHeader {
    source: Arc<Source>,
    block: BlockRef,
    header: OnceLock<model::BlockHeader>,
}

impl BlockHeader {
    pub(crate) fn new(source: &Arc<Source>, block: BlockRef) -> Self {
        Self { source: source.clone(), block, header: OnceLock::new() }
    }

    fn header(&self) -> ApiResult<&model::BlockHeader> {
        if let Some(header) = self.header.get() {
            return Ok(header);
        }
        let header = self.source.header(self.block)?;
        Ok(self.header.get_or_init(|| header))
    }
}

/// The header of a block.
#[Object]
impl BlockHeader {
    /// The block's id.
    async fn id(&self) -> String {
        self.block.id.to_string()
    }

    /// Its height.
    async fn num(&self) -> Uint32 {
        self.block.number.into()
    }

    /// When it was made.
    async fn timestamp(&self) -> ApiResult<Time> {
        match by_id(self.source.view(), self.block.id)? {
            Some(indexed) => Ok(indexed.time.into()),
            None => Ok(self.header()?.timestamp.into()),
        }
    }

    /// Who made it.
    async fn producer(&self) -> ApiResult<String> {
        Ok(self.header()?.producer.to_string())
    }

    /// How many blocks its producer confirms with it.
    async fn confirmed(&self) -> ApiResult<Uint32> {
        Ok(self.header()?.confirmed.into())
    }

    /// The id of the block before.
    async fn previous(&self) -> ApiResult<String> {
        Ok(self.header()?.previous.to_string())
    }

    /// Root of the Merkle tree of its transactions, in hex.
    #[graphql(name = "transactionMRoot")]
    async fn transaction_mroot(&self) -> ApiResult<String> {
        Ok(const_hex::encode(self.header()?.transaction_mroot))
    }

    /// Root of the Merkle tree of its actions, in hex.
    #[graphql(name = "actionMRoot")]
    async fn action_mroot(&self) -> ApiResult<String> {
        Ok(const_hex::encode(self.header()?.action_mroot))
    }

    /// Version of the schedule of producers that made it.
    async fn schedule_version(&self) -> ApiResult<Uint32> {
        Ok(self.header()?.schedule_version.into())
    }

    /// A schedule of producers that it announces.
    async fn new_producers(&self) -> Option<ApiResult<ProducerSchedule>> {
        self.header().map(ProducerSchedule::announced).transpose()
    }
}

/// Who makes blocks, in turn.
#[derive(Debug, SimpleObject)]
pub(crate) struct ProducerSchedule {
    /// Grows with every schedule.
    version: Uint32,
    /// The producers.
    producers: Vec<ProducerKey>,
}

/// A producer and the key that it signs with.
#[derive(Debug, SimpleObject)]
pub(crate) struct ProducerKey {
    /// The account.
    producer_name: String,
    /// Of several keys the first; empty if there is none.
    block_signing_key: String,
}

impl From<&model::ProducerSchedule> for ProducerSchedule {
    fn from(schedule: &model::ProducerSchedule) -> Self {
        let key = |producer: &model::ProducerKey| ProducerKey {
            producer_name: producer.account_name.to_string(),
            block_signing_key: producer.block_signing_key.clone(),
        };
        Self { version: schedule.version.into(), producers: schedule.producers.iter().map(key).collect() }
    }
}

impl ProducerSchedule {
    /// The one that a header announces.
    fn announced(header: &model::BlockHeader) -> Option<Self> {
        if let Some(schedule) = &header.new_producers_v1 {
            return Some(schedule.into());
        }
        let mut extensions = header.header_extensions.iter();
        let announced = extensions.find(|it| it.r#type == PRODUCER_SCHEDULE_CHANGE)?;
        Self::read(&announced.data)
    }

    /// Of the bytes of a header extension; absent if they are none.
    fn read(data: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(data);
        let version = reader.u32().ok()?;
        let count = reader.varuint32().ok()?;
        let mut producers = Vec::new();
        for _ in 0..count {
            let producer_name = reader.name().ok()?.to_string();
            // Of authorities there is one kind: weighted keys.
            let _kind = reader.varuint32().ok()?;
            let _threshold = reader.u32().ok()?;
            let mut first = None;
            for _ in 0..reader.varuint32().ok()? {
                let key = PublicKey::read(&mut reader).ok()?;
                let _weight = reader.u16().ok()?;
                first.get_or_insert(key);
            }
            let block_signing_key = first.map(|key| key.to_string()).unwrap_or_default();
            producers.push(ProducerKey { producer_name, block_signing_key });
        }
        Some(Self { version: version.into(), producers })
    }
}

/// The Merkle tree of the ids of all blocks before.
#[derive(Debug, SimpleObject)]
pub(crate) struct BlockRootMerkle {
    /// How many ids.
    node_count: Uint32,
    /// Its nodes that are not complete yet, in hex.
    active_nodes: Vec<String>,
}

impl From<model::BlockRootMerkle> for BlockRootMerkle {
    fn from(tree: model::BlockRootMerkle) -> Self {
        let active_nodes = tree.active_nodes.iter().map(const_hex::encode).collect();
        Self { node_count: tree.node_count.into(), active_nodes }
    }
}

/// Where a page is in its list.
#[derive(Debug, Default, SimpleObject)]
pub(crate) struct PageInfo {
    /// Cursor of the first item; empty if there is none.
    pub(crate) start_cursor: String,
    /// Cursor of the last item; empty if there is none.
    pub(crate) end_cursor: String,
    /// Whether items come after it.
    pub(crate) has_next_page: bool,
    /// Whether items come before it.
    pub(crate) has_previous_page: bool,
}

impl PageInfo {
    /// Of a page with these cursors.
    pub(crate) fn new<'a>(
        mut cursors: impl DoubleEndedIterator<Item = &'a String>,
        has_next_page: bool,
        has_previous_page: bool,
    ) -> Self {
        let start = cursors.next().cloned().unwrap_or_default();
        let end = cursors.next_back().cloned().unwrap_or_else(|| start.clone());
        Self { start_cursor: start, end_cursor: end, has_next_page, has_previous_page }
    }
}
