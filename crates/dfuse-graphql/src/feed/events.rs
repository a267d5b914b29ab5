//! What use cases bring for a subscription, before it is rendered.

use std::{collections::BTreeSet, sync::Arc};

use dfuse_antelope::model::TransactionLifecycle;
use dfuse_index::{BlockRef, View};
use dfuse_kv::Direction;
use dfuse_query::{
    ApiResult, ReadContext, Service,
    streams::{HeadInfo, LifecycleStream, NewHeads, RowChanges, RowStream, SearchFollow, SearchRows, SearchStream},
    turns::Class,
};

use crate::slot::Asked;

/// A transaction, and the indexes that tell of it.
pub(super) type Lifecycle = (View, TransactionLifecycle);

/// What the results of a search have to know of it.
#[derive(Clone)]
pub(super) struct AskedSearch {
    pub(super) direction: Direction,
    /// The fields of the query that are about what actions did.
    pub(super) fields: Arc<BTreeSet<String>>,
}

impl AskedSearch {
    fn of(follow: &SearchFollow) -> Self {
        Self { direction: follow.direction, fields: Arc::new(follow.query.fields_of_operations()) }
    }
}

/// What there is to stream.
pub(super) enum Events {
    Search { stream: Box<SearchStream>, asked: AskedSearch },
    Rows(Box<RowStream>),
    Lifecycle(Box<LifecycleStream<Box<Lifecycle>>>),
    Heads(Box<NewHeads>),
}

/// Some events that are rendered in one turn, or in several.
pub(super) enum Batch {
    Search { rows: SearchRows, asked: AskedSearch },
    Rows(RowChanges),
    Lifecycle(Box<Lifecycle>),
    Head { head: BlockRef, lib: BlockRef },
}

impl Events {
    /// Begins what was asked for.
    pub(super) async fn begin(service: &Service, asked: Asked) -> ApiResult<Self> {
        Ok(match asked {
            Asked::Search(follow) => {
                let asked = AskedSearch::of(&follow);
                Self::Search { stream: Box::new(SearchStream::begin(service, follow).await?), asked }
            }
            Asked::Rows(follow) => Self::Rows(Box::new(RowStream::begin(service, follow).await?)),
            Asked::Lifecycle { id, confirmations } => {
                Self::Lifecycle(Box::new(LifecycleStream::begin(service, id, confirmations, kept).await?))
            }
            Asked::Head { confirmations } => Self::Heads(Box::new(NewHeads::new(service, confirmations))),
        })
    }

    /// What comes next; nothing at the end.
    pub(super) async fn next(&mut self) -> ApiResult<Option<Batch>> {
        Ok(match self {
            Self::Search { stream, asked } => {
                stream.next().await?.map(|rows| Batch::Search { rows, asked: asked.clone() })
            }
            Self::Rows(stream) => stream.next().await?.map(Batch::Rows),
            Self::Lifecycle(stream) => stream.next().await?.map(Batch::Lifecycle),
            Self::Heads(heads) => {
                let step = heads.next().await?;
                Some(Batch::Head { head: step.block, lib: HeadInfo::lib_below(step.block, step.lib) })
            }
        })
    }
}

/// What is known of a transaction, rendered later.
fn kept(_: &ReadContext<'_>, view: &View, lifecycle: &TransactionLifecycle) -> ApiResult<Box<Lifecycle>> {
    Ok(Box::new((view.clone(), lifecycle.clone())))
}

impl Batch {
    /// Whose turn it is to render it.
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Search { rows: SearchRows { block: None, .. }, .. } => Class::Past,
            Self::Rows(changes) => changes.class,
            Self::Search { .. } | Self::Lifecycle(_) | Self::Head { .. } => Class::Live,
        }
    }
}
