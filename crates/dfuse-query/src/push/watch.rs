//! Looking out for a transaction on the chain.

use std::sync::Arc;

use dfuse_antelope::{Checksum, Checksum256, Name, TimePointSec, model::TransactionStatus};
use dfuse_blocks::{
    BlockRef, Step,
    feed::{FeedBlock, FeedEvent, Start},
};
use dfuse_trx::{EventKind, Outcome as TraceOutcome};

use futures::future::BoxFuture;

use super::{guarantee::Guarantee, question::PushQuestion, standing::Standing};
use crate::{
    ApiResult, Service,
    streams::{self, Recent, Steps, Weigh},
};

/// What a block has, for all who look for transactions in it.
#[derive(Debug)]
pub(super) struct Content {
    producer: Name,
    /// Transactions with a receipt, sorted.
    transactions: Vec<Checksum256>,
}

impl Weigh for Content {
    fn bytes(&self) -> usize {
        size_of_val(&*self.transactions)
    }
}

/// The newest blocks' transactions.
pub(super) type Contents = Recent<Checksum256, Arc<Content>>;

/// What has become of a transaction.
#[derive(Debug)]
pub(super) enum Outcome {
    /// What was wanted has happened: the transaction's block, and the step with which it did.
    Reached(BlockRef, Box<FeedEvent>),
    /// An irreversible block is later than its expiration, and no block has it.
    Expired,
}

/// Follows the chain for one transaction.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    service: &'a Service,
    contents: &'a Contents,
    id: Checksum256,
    expiration: TimePointSec,
    steps: Steps,
    /// Taken from the steps, and at work.
    at_work: Option<FeedEvent>,
    guarantee: Guarantee,
    standing: Standing,
}

impl<'a> Watch<'a> {
    /// From the head on.
    pub(super) async fn begin(service: &'a Service, contents: &'a Contents, question: PushQuestion) -> ApiResult<Self> {
        let PushQuestion { id, expiration, guarantee } = question;
        let steps = Steps::from(Start::Head(0), &service.chain().feed).await?;
        Ok(Self {
            service,
            contents,
            id,
            expiration,
            steps,
            at_work: None,
            guarantee,
            standing: Standing::new(guarantee),
        })
    }

    /// Begins anew with the block that has the transaction by the indexes, otherwise after what these know. Whether it is in
    /// one.
    pub(super) async fn locate(&mut self) -> ApiResult<bool> {
        let id = self.id;
        let found = self.service.read(move |snapshot, _| {
            let events = dfuse_trx::events(snapshot.view(), id)?;
            let mut traces = events.iter().filter(|(_, event)| match event.kind {
                EventKind::Trace(outcome) | EventKind::LeftOut(outcome) => outcome != TraceOutcome::NoReceipt,
                _ => false,
            });
            Ok((traces.next().map(|(number, _)| *number), snapshot.head(), snapshot.lib()))
        });
        let (found, head, lib) = found.await?;
        let feed = &self.service.chain().feed;
        let start = match (found, head) {
            (Some(number), _) => Start::Block(number),
            (None, Some(head)) => streams::after(head, lib, feed),
            (None, None) => Start::Block(0),
        };
        self.steps = Steps::from(start, feed).await?;
        self.at_work = None;
        self.standing = Standing::new(self.guarantee);
        Ok(found.is_some())
    }

    /// The block that has it at the moment.
    pub(super) fn included(&self) -> Option<BlockRef> {
        self.standing.included()
    }

    /// Waits. Nothing is lost if the future is dropped.
    pub(super) fn outcome(&mut self) -> BoxFuture<'_, ApiResult<Outcome>> {
        Box::pin(async move {
            loop {
                let event = match &self.at_work {
                    Some(event) => event.clone(),
                    None => self.at_work.insert(self.steps.next().await?).clone(),
                };
                let block = BlockRef::from(event.block.encoded());
                match event.step {
                    Step::New => {
                        let content = content(self.contents, &event.block).await?;
                        let has_it = content.transactions.binary_search(&self.id).is_ok();
                        self.standing.joins(block, content.producer, has_it, event.is_final);
                    }
                    Step::Undo => self.standing.leaves(block),
                    Step::Irreversible => self.standing.becomes_final(block),
                }
                self.at_work = None;
                if let Some(block) = self.standing.reached() {
                    return Ok(Outcome::Reached(block, Box::new(event)));
                }
                let is_final = event.is_final || event.step == Step::Irreversible;
                let too_late = event.block.encoded().time().to_unix_ms() > i64::from(self.expiration.0) * 1000;
                // It can still be in a block below those that were looked at.
                if is_final && too_late && self.included().is_none() && !self.locate().await? {
                    return Ok(Outcome::Expired);
                }
            }
        })
    }
}

async fn content(contents: &Contents, block: &Arc<FeedBlock>) -> ApiResult<Arc<Content>> {
    let make = async {
        let block = block.block().await?;
        let with_receipt = block.transaction_traces().iter().filter(|trace| trace.receipt.is_some());
        // A filter leaves transactions out of what is told, not out of the chain.
        let left_out = block.left_out.iter().filter(|it| it.status != TransactionStatus::None);
        let left_out = left_out.map(|it| Checksum(it.id));
        let mut transactions: Vec<_> = with_receipt.map(|trace| trace.id).chain(left_out).collect();
        transactions.sort_unstable();
        Ok(Arc::new(Content { producer: block.header.producer, transactions }))
    };
    contents.get(block.encoded().id(), make).await
}
