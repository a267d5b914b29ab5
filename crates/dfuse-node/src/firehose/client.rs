use std::{ops::RangeInclusive, time::Duration};

use dfuse_antelope::AbiDump;
use dfuse_blocks::with_causes;
use dfuse_proto::{
    dfuse::blocks::v1::{
        LostBlock, ReadAbiDumpsRequest, ReadLostBlocksRequest, abi_dumps_client::AbiDumpsClient,
        lost_blocks_client::LostBlocksClient,
    },
    sf::bstream::v1::{Block as LiveBlock, BlockRequest, block_stream_client::BlockStreamClient},
    sf::firehose::v2::{
        ForkStep, InfoRequest, InfoResponse, Request, Response, SingleBlockRequest, SingleBlockResponse,
        endpoint_info_client::EndpointInfoClient, fetch_client::FetchClient, stream_client::StreamClient,
    },
};
use futures::{Stream, StreamExt};
use tokio::{task::spawn_blocking, time::timeout};
use tonic::{
    Request as Call, Status, Streaming,
    codec::CompressionEncoding,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig},
};

use super::{Credential, Endpoint, Failure, FirehoseOptions, Received, Sent, Wanted, dumps::Dumps};

/// Bytes that an endpoint may send ahead: a round trip over a long way takes less than these.
const WINDOW: u32 = 8 << 20;
/// How long an endpoint may take to send the second of two blocks that it has.
const SECOND_BLOCK: Duration = Duration::from_secs(1);
/// Metadata that tells servers of ours whether the JSON of actions and rows is wanted.
const JSON: &str = "x-dfuse-json";
/// Blocks of an endpoint that are decoded at the same time.
const DECODED_AT_ONCE: usize = 4;

/// A client of a Firehose endpoint.
#[derive(Debug, Clone)]
pub struct FirehoseClient {
    channel: Channel,
    credential: Option<(&'static str, MetadataValue<Ascii>)>,
    options: FirehoseOptions,
}

/// A client of one of the services, with the limits and the compressions of all.
macro_rules! service {
    ($client:ident, $of:expr) => {{
        let client = $client::new($of.channel.clone()).max_decoding_message_size($of.options.max_block_bytes);
        match $of.options.compression {
            true => client.accept_compressed(CompressionEncoding::Zstd).accept_compressed(CompressionEncoding::Gzip),
            false => client,
        }
    }};
}

impl FirehoseClient {
    /// Connects to an endpoint.
    ///
    /// # Errors
    /// [`Failure::Lasting`] for certificates and credentials that are none, [`Failure::Passing`] if it cannot be reached.
    pub async fn connect(endpoint: &Endpoint, options: &FirehoseOptions) -> Result<Self, Failure> {
        let lasting = |error: tonic::transport::Error| Failure::Lasting(with_causes(&error));
        let mut connecting = Channel::from_shared(endpoint.url())
            .map_err(|error| Failure::Lasting(error.to_string()))?
            .connect_timeout(options.timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .http2_keep_alive_interval(options.keepalive)
            .keep_alive_timeout(options.keepalive_timeout)
            .keep_alive_while_idle(true);
        if endpoint.is_tls() {
            let mut tls = ClientTlsConfig::new().with_native_roots();
            if let Some(certificates) = &options.certificates {
                tls = tls.ca_certificate(Certificate::from_pem(certificates));
            }
            connecting = connecting.tls_config(tls).map_err(lasting)?;
        }
        let credential = options.credential.as_ref().map(header).transpose()?;
        let channel = within(options, connecting.connect()).await?;
        let channel = channel.map_err(|error| Failure::Passing(with_causes(&error)))?;
        Ok(Self { channel, credential, options: options.clone() })
    }

    /// What the endpoint serves.
    ///
    /// # Errors
    /// Those of the endpoint.
    pub async fn info(&self) -> Result<InfoResponse, Failure> {
        let mut client = service!(EndpointInfoClient, self);
        Ok(within(&self.options, client.info(self.call(InfoRequest {}))).await??.into_inner())
    }

    /// One block.
    ///
    /// # Errors
    /// Those of the endpoint.
    pub async fn block(&self, request: SingleBlockRequest) -> Result<SingleBlockResponse, Failure> {
        let mut client = service!(FetchClient, self);
        Ok(within(&self.options, client.block(self.call(request))).await??.into_inner())
    }

    /// Blocks as the endpoint sends them, some of them decoded ahead.
    ///
    /// # Errors
    /// Those of the endpoint.
    pub async fn sent(&self, wanted: &Wanted) -> Result<impl Stream<Item = Result<Sent, Failure>> + use<>, Failure> {
        Ok(decoded(self.stream(wanted).await?, Sent::read))
    }

    /// The same as they are stored, without JSON of the endpoint.
    ///
    /// # Errors
    /// Those of the endpoint.
    pub async fn received(
        &self,
        wanted: &Wanted,
    ) -> Result<impl Stream<Item = Result<Received, Failure>> + use<>, Failure> {
        Ok(decoded(self.stream(wanted).await?, Received::read))
    }

    async fn stream(&self, wanted: &Wanted) -> Result<Streaming<Response>, Failure> {
        let mut call = self.call(wanted.request());
        if wanted.json {
            call.metadata_mut().insert(JSON, MetadataValue::from_static("true"));
        }
        Ok(service!(StreamClient, self).blocks(call).await?.into_inner())
    }

    /// A stream of blocks.
    ///
    /// # Errors
    /// Those of the endpoint.
    pub async fn blocks(&self, request: Request) -> Result<Streaming<Response>, Failure> {
        let mut client = service!(StreamClient, self);
        // An endpoint that has nothing to send yet need not answer before it has.
        Ok(client.blocks(self.call(request)).await?.into_inner())
    }

    /// Blocks as they come to a machine that shares the block store, those of forks included, each after its parent: from that
    /// height on, or the lowest that it has in memory.
    ///
    /// # Errors
    /// Those of the machine.
    pub async fn live(&self, from: u32) -> Result<Streaming<LiveBlock>, Failure> {
        let mut client = service!(BlockStreamClient, self);
        // -1 means another thing, and no chain has a block 1 that a node can give.
        let burst = -i64::from(from.max(2));
        let request = BlockRequest { burst, requester: "dfuse".to_owned(), ..BlockRequest::default() };
        Ok(within(&self.options, client.blocks(self.call(request))).await??.into_inner())
    }

    /// Number of the head.
    ///
    /// # Errors
    /// Those of the endpoint.
    pub async fn head(&self) -> Result<u32, Failure> {
        let request = Request { start_block_num: -1, ..Request::default() };
        let mut stream = within(&self.options, self.blocks(request)).await??;
        let first = within(&self.options, stream.message()).await??;
        let first = first
            .and_then(number)
            .ok_or_else(|| Failure::Passing("it does not say where its chain ends".to_owned()))?;
        // The block before the head, unless there is only one.
        let second = timeout(SECOND_BLOCK, stream.message()).await;
        Ok(second.ok().and_then(Result::ok).flatten().and_then(number).unwrap_or(first))
    }

    /// The ABI dumps that the endpoint has, but for those of the blocks `known`.
    ///
    /// # Errors
    /// [`Failure::Unimplemented`] from an endpoint that is not a server of ours, and others.
    pub async fn abi_dumps(&self, known: Vec<u32>) -> Result<Vec<AbiDump>, Failure> {
        let mut client = service!(AbiDumpsClient, self);
        let mut parts =
            within(&self.options, client.read(self.call(ReadAbiDumpsRequest { known }))).await??.into_inner();
        let mut dumps = Dumps::default();
        while let Some(part) = within(&self.options, parts.message()).await?? {
            dumps.add(part)?;
        }
        dumps.finish()
    }

    /// The blocks of these heights that the endpoint keeps and that lost, each after its parent; then, if that is wanted, those that
    /// lose from now on. Older servers end the stream before.
    ///
    /// # Errors
    /// [`Failure::Unimplemented`] from an endpoint that is not a server of ours, and others.
    pub async fn lost_blocks(
        &self,
        numbers: RangeInclusive<u32>,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<Received, Failure>> + use<>, Failure> {
        let request = ReadLostBlocksRequest { first: *numbers.start(), last: *numbers.end(), follow };
        let mut client = service!(LostBlocksClient, self);
        let lost = within(&self.options, client.read(self.call(request))).await??.into_inner();
        let response = |LostBlock { block }| Response { block, step: ForkStep::StepNew.into(), ..Response::default() };
        Ok(decoded(lost.map(move |message| message.map(response)), Received::read))
    }

    fn call<M>(&self, message: M) -> Call<M> {
        let mut call = Call::new(message);
        // Servers of ours would decode what is dropped here.
        call.metadata_mut().insert(JSON, MetadataValue::from_static("false"));
        if let Some((name, value)) = &self.credential {
            call.metadata_mut().insert(*name, value.clone());
        }
        call
    }
}

/// The messages of a stream, some of them decoded at once, in their order.
pub(super) fn decoded<T: Send + 'static>(
    stream: impl Stream<Item = Result<Response, Status>>,
    read: fn(Response) -> Result<T, String>,
) -> impl Stream<Item = Result<T, Failure>> {
    let decode = move |message: Result<Response, Status>| async move {
        let response = message.map_err(Failure::from)?;
        let read = spawn_blocking(move || read(response)).await;
        read.map_err(|_| Failure::Passing("the process stops".to_owned()))?.map_err(Failure::Lasting)
    };
    stream.map(decode).buffered(DECODED_AT_ONCE)
}

/// The height of the block in a message.
fn number(response: Response) -> Option<u32> {
    match &response.metadata {
        Some(metadata) => metadata.num.try_into().ok(),
        None => Received::read(response).ok().map(|received| received.encoded.number()),
    }
}

async fn within<T>(options: &FirehoseOptions, work: impl Future<Output = T>) -> Result<T, Failure> {
    let too_slow = |_| Failure::Passing(format!("no answer within {} s", options.timeout.as_secs()));
    timeout(options.timeout, work).await.map_err(too_slow)
}

/// The header that says who asks.
fn header(credential: &Credential) -> Result<(&'static str, MetadataValue<Ascii>), Failure> {
    let (name, text) = match credential {
        Credential::Token(token) => ("authorization", format!("Bearer {token}")),
        Credential::ApiKey(key) => ("x-api-key", key.clone()),
    };
    let unusable = |_| Failure::Lasting("the token or API key has characters that cannot be sent".to_owned());
    let mut value: MetadataValue<Ascii> = text.parse().map_err(unusable)?;
    value.set_sensitive(true);
    Ok((name, value))
}
