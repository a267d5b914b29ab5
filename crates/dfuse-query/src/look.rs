//! What operators look at: whether the server is ready, and why not.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use dfuse_antelope::BlockTimestamp;
use dfuse_index::{BlockRef, Floors, IndexState, ServingSnapshot, Status, blocks};

use crate::{ApiResult, Service, blocking, within};

/// How long looking may take: the head is in memory, unless the store hangs.
const LOOK: Duration = Duration::from_secs(5);

/// The head block, as operators see it.
#[derive(Debug)]
pub struct Head {
    /// Which one it is.
    pub block: BlockRef,
    /// Its time.
    pub time: BlockTimestamp,
    /// How old it is.
    pub age_seconds: f64,
}

impl Head {
    fn new(service: &Service, block: BlockRef, time: BlockTimestamp) -> Self {
        let age_ms = service.chain().clock.now().as_millis() as i64 - time.to_unix_ms();
        Self { block, time, age_seconds: age_ms as f64 / 1000.0 }
    }
}

type Conditions = BTreeMap<Cow<'static, str>, Result<(), String>>;

/// What must be so of the head block.
fn hold_head(conditions: &mut Conditions, service: &Service, head: Option<&Head>, unreadable: Option<String>) {
    let none = head.is_none().then(|| "no block yet".to_owned());
    conditions.insert("head_block".into(), unreadable.or(none).map_or(Ok(()), Err));
    if let Some(most) = service.options().max_head_age {
        let age = head.map(|head| head.age_seconds).filter(|age| *age > most.as_secs_f64());
        let problem = age.map(|age| format!("the head block is {age:.0} seconds old"));
        conditions.insert("head_age".into(), problem.map_or(Ok(()), Err));
    }
}

/// The state of everything at one moment, and whether clients may be sent here.
#[derive(Debug)]
pub struct Look {
    /// The newest block that is indexed.
    pub head: Option<Head>,
    /// The last irreversible one.
    pub lib: Option<BlockRef>,
    /// The conditions of readiness by name: it holds, or why it does not.
    pub conditions: Conditions,
    /// Of the indexes.
    pub status: Arc<Status>,
    /// The first block that is indexed, if the chain had begun before it.
    pub mid_chain_start: Option<u32>,
    /// The first block after which state is known, if the chain had begun before it, and whether all of it is known.
    pub state_start: Option<(u32, bool)>,
    /// What is kept.
    pub floors: Floors,
}

impl Look {
    /// Looks, not in line with other reads: a busy server is a healthy one. One that is stopping is not ready.
    ///
    /// # Errors
    /// `service_unavailable_error` where the store does not answer.
    pub async fn take(service: &Service, is_stopping: bool) -> ApiResult<Self> {
        if !service.options().has_indexes {
            return within(LOOK, "The store does not answer.", Self::at_feed(service, is_stopping)).await;
        }
        let (shared, serving) = (service.clone(), service.chain().serving.clone());
        let look = blocking(move |_| Self::at(&shared, &serving.snapshot(), serving.status(), is_stopping));
        within(LOOK, "The store does not answer.", look).await
    }

    /// That of a process without indexes.
    async fn at_feed(service: &Service, is_stopping: bool) -> ApiResult<Self> {
        let feed = &service.chain().feed;
        let head = match feed.head() {
            Some(block) => Some(Head::new(service, block, feed.block(block).await?.encoded().time())),
            None => None,
        };
        let mut conditions = service.readiness().all();
        hold_head(&mut conditions, service, head.as_ref(), None);
        let stopping = is_stopping.then(|| "the server is going away".to_owned());
        conditions.entry("running".into()).or_insert(stopping.map_or(Ok(()), Err));
        let status = service.chain().serving.status();
        Ok(Self {
            head,
            lib: feed.lib(),
            conditions,
            status,
            mid_chain_start: None,
            state_start: None,
            floors: Floors::default(),
        })
    }

    fn at(service: &Service, snapshot: &ServingSnapshot, status: Arc<Status>, is_stopping: bool) -> ApiResult<Self> {
        let mut conditions = service.readiness().all();
        let head = snapshot.head().map(|block| {
            let time = blocks::by_number(snapshot.view(), block.number)?.map(|block| block.time).unwrap_or_default();
            Ok::<_, dfuse_index::Error>(Head::new(service, block, time))
        });
        let head = head.transpose();
        let unreadable = head.as_ref().err().map(|error| format!("the index of blocks cannot be read: {error}"));
        // What cannot be read is named; all else is still told.
        let head = head.unwrap_or_default();
        hold_head(&mut conditions, service, head.as_ref(), unreadable);
        let mut hold = |name: Cow<'static, str>, problem: Option<String>| {
            conditions.insert(name, problem.map_or(Ok(()), Err));
        };
        let stall = status.stall.as_ref().map(|stall| format!("the store takes no writes: {}", stall.error));
        hold("index_store".into(), stall);
        for index in &status.indexes {
            let problem = match index.state {
                IndexState::Live => None,
                IndexState::Behind(None) => Some("it must be built from the first block on".to_owned()),
                IndexState::Behind(Some(block)) => Some(format!("it must be built from block {} on", block.number + 1)),
            };
            hold(format!("index_{}", index.name).into(), problem);
        }
        // Before it stops, it may be set by whoever lets clients leave first.
        let stopping = is_stopping.then(|| "the server is going away".to_owned());
        conditions.entry("running".into()).or_insert(stopping.map_or(Ok(()), Err));
        let mid_chain_start = snapshot.history_start();
        let state_start = snapshot.state_start().map(|first| (first, !snapshot.lacks_older_state()));
        Ok(Self {
            head,
            lib: snapshot.lib(),
            conditions,
            status,
            mid_chain_start,
            state_start,
            floors: snapshot.floors(),
        })
    }
}
