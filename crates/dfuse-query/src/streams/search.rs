//! What a query finds, from a block on and as the chain goes on: what was found comes first, page by page, then what each step of
//! the chain brings and takes back.

mod live;
mod past;
mod told;

use std::sync::Arc;

use dfuse_kv::Direction;
use dfuse_search::{Bounds, LiveTail, Position, Query};

use crate::{ApiResult, Service};
use live::Live;
use past::Past;
pub use told::{SearchRow, SearchRowKind, SearchRows};

/// What a stream is about.
#[derive(Debug)]
pub struct SearchFollow {
    /// What matches.
    pub query: Query,
    /// The first and the last block; numbers below 0 count from the end. Without a last one the stream follows the chain.
    pub bounds: Bounds,
    /// Which block comes first. Descending, the stream ends.
    pub direction: Direction,
    /// Where an earlier stream ended.
    pub cursor: Option<Position>,
    /// Whether only blocks count that can no longer be undone.
    pub irreversible_only: bool,
    /// Blocks between two markers at the end of the chain; 0 for none.
    pub marker_interval: u32,
    /// After how many matches the stream ends, those taken back among them.
    pub limit: Option<u64>,
}

/// A stream of what a query finds.
#[derive(Debug)]
pub struct SearchStream {
    service: Service,
    query: Arc<Query>,
    tail: LiveTail,
    stage: Stage,
    /// Matches that may still be sent.
    left: Option<u64>,
}

#[derive(Debug)]
enum Stage {
    /// What is there is searched.
    Past(Past),
    /// The chain is followed.
    Live(Box<Live>),
    /// All was sent.
    Ended,
}

impl SearchStream {
    /// Begins a stream.
    ///
    /// # Errors
    /// `request_validation_error` if there can be no such blocks or the cursor is not usable, `auth_invalid_history_error`, and
    /// those of reading.
    pub async fn begin(service: &Service, follow: SearchFollow) -> ApiResult<Self> {
        let SearchFollow { query, irreversible_only, marker_interval, limit, .. } = follow;
        let tail = LiveTail::new(irreversible_only, marker_interval);
        let question = past::Asked {
            bounds: follow.bounds,
            direction: follow.direction,
            cursor: follow.cursor,
            irreversible_only,
        };
        let past = Past::begin(service, question).await?;
        Ok(Self {
            service: service.clone(),
            query: Arc::new(query),
            tail,
            stage: Stage::Past(past),
            left: limit.filter(|limit| *limit > 0),
        })
    }

    /// The next rows, when there are some; none at the end.
    ///
    /// # Errors
    /// Those of reading and of the feed.
    pub async fn next(&mut self) -> ApiResult<Option<SearchRows>> {
        loop {
            let found = match &mut self.stage {
                Stage::Past(past) => match past.next(&self.service, &self.query).await? {
                    past::Found::Rows(rows) => rows,
                    past::Found::End(rows) => {
                        self.stage = Stage::Ended;
                        rows
                    }
                    past::Found::CaughtUp(caught_up) => {
                        let rows = caught_up.marker(&mut self.tail);
                        self.stage = Stage::Live(Box::new(Live::begin(&self.service, &caught_up).await?));
                        rows
                    }
                },
                Stage::Live(live) => match live.next(&self.service, &self.query, &mut self.tail).await? {
                    Some(rows) => rows,
                    None => {
                        self.stage = Stage::Ended;
                        continue;
                    }
                },
                Stage::Ended => return Ok(None),
            };
            if let Some(rows) = self.within_limit(found) {
                return Ok(Some(rows));
            }
        }
    }

    /// Without what is over the limit; absent if nothing is left.
    fn within_limit(&mut self, mut found: SearchRows) -> Option<SearchRows> {
        if let Some(left) = &mut self.left {
            let mut fits = Vec::with_capacity(found.rows.len());
            for row in found.rows {
                let is_match = !matches!(row.kind, SearchRowKind::Marker);
                if is_match && *left == 0 {
                    break;
                }
                *left -= u64::from(is_match);
                fits.push(row);
            }
            found.rows = fits;
            if *left == 0 {
                self.stage = Stage::Ended;
            }
        }
        Some(found).filter(|found| !found.rows.is_empty())
    }
}
