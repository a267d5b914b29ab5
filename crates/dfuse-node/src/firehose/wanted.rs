use dfuse_proto::{Any, dfuse::firehose::v1::SearchFilter, sf::firehose::v2::Request};
use prost::Message;

/// What is wanted of an endpoint.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The first block; below 0 it counts from the head.
    pub start: i64,
    /// The last block; without it the stream has no end.
    pub stop: Option<u32>,
    /// Where a stream goes on, instead of the first block.
    pub cursor: Option<String>,
    /// Only final blocks, each once.
    pub final_only: bool,
    /// A query, for what it finds in blocks. Only servers of ours know it.
    pub query: Option<String>,
    /// Whether servers of ours send the JSON of actions and rows. Others do as they like.
    pub json: bool,
}

impl Wanted {
    pub(super) fn request(&self) -> Request {
        let filter = |query: &String| Any {
            type_url: "type.googleapis.com/dfuse.firehose.v1.SearchFilter".to_owned(),
            value: SearchFilter { query: query.clone(), ..SearchFilter::default() }.encode_to_vec().into(),
        };
        Request {
            start_block_num: self.start,
            cursor: self.cursor.clone().unwrap_or_default(),
            stop_block_num: self.stop.map_or(0, u64::from),
            final_blocks_only: self.final_only,
            transforms: self.query.iter().map(filter).collect(),
        }
    }
}
