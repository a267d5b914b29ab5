//! What answers may lack: by filters, where history begins, and since the source of the blocks does not tell it.

use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    sync::{Arc, LazyLock},
};

use async_graphql::{Object, SimpleObject};
use dfuse_query::{
    ApiResult, ReadContext, Untold,
    filtered::{is_filtered, is_filtered_at},
    search::{Counted, SearchPage},
};

use super::Uint32;
use crate::source::Source;

/// What was done by actions, by the names of the fields.
static OPERATIONS: LazyLock<BTreeSet<String>> =
    LazyLock::new(|| ["dbOps", "dtrxOps", "ramOps", "tableOps"].map(str::to_owned).into());

/// What a search may not tell.
#[derive(SimpleObject)]
pub(crate) struct SearchCoverage {
    /// Whether actions are left out by filters, of the blocks or of what is searched.
    pub(crate) filtered: bool,
    /// The first block that is searched, if there may be too little or too much since ABIs that were set before it are unknown.
    pub(crate) state_from_block_num: Option<Uint32>,
    /// Blocks that were asked for and are not there, since the history of this server begins after them.
    pub(crate) holes: Vec<BlockRange>,
    /// What may be lacking since the source of the blocks did not tell it.
    pub(crate) details: Vec<SearchDetail>,
}

impl SearchCoverage {
    /// Of a page of results.
    pub(crate) fn of_page(read: &ReadContext<'_>, page: &SearchPage) -> Self {
        Self::new(read, page.incomplete_from(), page.missing(), page.untold())
    }

    /// Of numbers of results.
    pub(crate) fn of_count(read: &ReadContext<'_>, counted: &Counted) -> Self {
        Self::new(read, counted.incomplete_from, counted.missing.clone(), counted.untold.as_ref())
    }

    fn new(
        read: &ReadContext<'_>,
        incomplete_from: Option<u32>,
        missing: Option<RangeInclusive<u32>>,
        untold: Option<&Untold>,
    ) -> Self {
        Self {
            filtered: is_filtered(read.service()),
            state_from_block_num: incomplete_from.map(Into::into),
            holes: missing.into_iter().map(Into::into).collect(),
            details: SearchDetail::list(untold),
        }
    }
}

/// What a search may not tell of the block of a result.
pub(crate) struct ResultCoverage {
    source: Arc<Source>,
    block: u32,
    /// The fields of the query that are about what actions did.
    fields: Arc<BTreeSet<String>>,
}

impl ResultCoverage {
    /// Of the block with that number.
    pub(crate) fn new(source: &Arc<Source>, block: u32, fields: &Arc<BTreeSet<String>>) -> Self {
        Self { source: source.clone(), block, fields: fields.clone() }
    }
}

/// What a search may not tell of the block of a result.
#[Object]
impl ResultCoverage {
    /// Whether actions of its block are left out by filters, of the block or of what is searched.
    async fn filtered(&self) -> bool {
        is_filtered_at(self.source.request().read().service(), self.source.view(), self.block)
    }

    /// What the search may not find in its block since the source of the block did not tell it.
    async fn details(&self) -> ApiResult<Vec<SearchDetail>> {
        SearchDetail::of_block(&self.source, &self.fields, self.block)
    }
}

/// Blocks in a row.
#[derive(SimpleObject)]
pub(crate) struct BlockRange {
    /// The first one.
    low_block_num: Uint32,
    /// The last one.
    high_block_num: Uint32,
}

impl From<RangeInclusive<u32>> for BlockRange {
    fn from(blocks: RangeInclusive<u32>) -> Self {
        Self { low_block_num: (*blocks.start()).into(), high_block_num: (*blocks.end()).into() }
    }
}

/// What an answer may lack since the source of its blocks did not tell it.
#[derive(SimpleObject)]
pub(crate) struct SearchDetail {
    /// Which kind of source it is: `state_history`.
    reason: String,
    /// What it is about: fields of the query, or of the answer.
    fields: Vec<String>,
    /// The first block that it is about.
    low_block_num: Uint32,
    /// The last block that it is about.
    high_block_num: Uint32,
    /// The same for people.
    message: String,
}

impl SearchDetail {
    /// As a list, which is empty if nothing is lacking.
    fn list(untold: Option<&Untold>) -> Vec<Self> {
        let detail = untold.map(|untold| Self {
            reason: untold.reason().to_owned(),
            fields: untold.fields.iter().cloned().collect(),
            low_block_num: (*untold.blocks.start()).into(),
            high_block_num: (*untold.blocks.end()).into(),
            message: untold.message(),
        });
        detail.into_iter().collect()
    }

    /// What a block may lack of some fields.
    fn of_block(source: &Source, fields: &BTreeSet<String>, block: u32) -> ApiResult<Vec<Self>> {
        let untold = Untold::of(source.view(), fields.clone(), &(block..=block))?;
        Ok(Self::list(untold.as_ref()))
    }

    /// What a block may lack of what its actions did.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn of_operations(source: &Source, block: u32) -> ApiResult<Vec<Self>> {
        Self::of_block(source, &OPERATIONS, block)
    }
}
