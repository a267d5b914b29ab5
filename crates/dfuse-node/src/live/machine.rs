//! The live stream of one machine.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use dfuse_antelope::{
    Checksum256,
    model::bstream::{ANTELOPE_BLOCK_TYPE_URL, EOSIO_BLOCK_TYPE_URL},
};
use dfuse_blocks::{Backoff, EncodedBlock};
use dfuse_proto::{envelope, sf::bstream::v1::Block};
use tokio::{sync::mpsc, time::sleep};
use tracing::{info, warn};

use crate::firehose::{Endpoint, Failure, FirehoseClient, FirehoseOptions, identity, varied};

/// How long to wait before a machine that was lost is tried again, the first time and at most; doubled from time to time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What comes of a machine.
pub(super) enum Message {
    /// The machine at that place of the list sends.
    Connected(usize),
    /// It does not, for this reason.
    Lost(usize, String),
    Block(EncodedBlock),
}

/// A machine that sends blocks.
pub(super) struct Machine {
    pub(super) at: usize,
    pub(super) endpoint: Endpoint,
    pub(super) options: FirehoseOptions,
    pub(super) chain_id: Option<Checksum256>,
}

impl Machine {
    /// Takes its blocks, and comes back to it whenever it is lost, until nobody wants them.
    pub(super) async fn follow(self, from: Arc<AtomicU32>, messages: mpsc::Sender<Message>) {
        let Self { at, endpoint, .. } = &self;
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let mut told = None;
        loop {
            let failure = match self.stream(&from, &messages, &mut backoff).await {
                Ok(never) => match never {},
                Err(failure) => failure.to_string(),
            };
            if told.as_ref() != Some(&failure) {
                warn!("the machine {endpoint} sends no blocks: {failure}");
            }
            if messages.send(Message::Lost(*at, failure.clone())).await.is_err() {
                return;
            }
            told = Some(failure);
            tokio::select! {
                () = messages.closed() => return,
                () = sleep(varied(backoff.next_pause())) => {}
            }
        }
    }

    async fn stream(
        &self,
        from: &AtomicU32,
        messages: &mpsc::Sender<Message>,
        backoff: &mut Backoff,
    ) -> Result<Infallible, Failure> {
        let Self { at, endpoint, options, chain_id } = self;
        let client = FirehoseClient::connect(endpoint, options).await?;
        match client.info().await {
            Ok(info) => identity::check(&info, *chain_id).map_err(Failure::Lasting)?,
            Err(Failure::Unimplemented) => {}
            Err(failure) => return Err(failure),
        }
        let mut blocks = client.live(from.load(Ordering::Relaxed)).await?;
        info!(from = from.load(Ordering::Relaxed), "following the machine {endpoint}");
        let unwanted = |_| Failure::Passing("nobody wants its blocks".to_owned());
        messages.send(Message::Connected(*at)).await.map_err(unwanted)?;
        while let Some(block) = blocks.message().await? {
            backoff.reset();
            let block = encoded(block).map_err(Failure::Lasting)?;
            messages.send(Message::Block(block)).await.map_err(unwanted)?;
        }
        Err(Failure::Passing("it ended its stream".to_owned()))
    }
}

/// The block as files have it.
fn encoded(block: Block) -> Result<EncodedBlock, String> {
    let payload = block.payload.as_ref().ok_or("it sent a block without content")?;
    if ![ANTELOPE_BLOCK_TYPE_URL, EOSIO_BLOCK_TYPE_URL].contains(&&*payload.type_url) {
        let shown: String = payload.type_url.chars().take(80).collect();
        return Err(format!("it has blocks of another kind of chain: \"{shown}\""));
    }
    EncodedBlock::from_envelope(envelope(block)).map_err(|error| format!("it sent a block that cannot be: {error}"))
}
