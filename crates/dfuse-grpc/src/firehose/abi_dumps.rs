//! ABI dumps for servers of ours that follow this one: blocks do not carry what was set before them.

use std::{collections::VecDeque, vec};

use dfuse_antelope::{AbiDump, Name};
use dfuse_blocks::Error;
use dfuse_proto::dfuse::blocks::v1::{
    AbiDumpPart, ReadAbiDumpsRequest,
    abi_dump_part::{Beginning, ContractAbi, Part},
    abi_dumps_server::AbiDumps,
};
use dfuse_query::{ApiResult, Place, RouteClass};
use futures::stream;
use tonic::{Request, Response, Status};

use super::Firehose;
use crate::call::{Call, Messages};

#[async_trait::async_trait]
impl AbiDumps for Firehose {
    type ReadStream = Messages<AbiDumpPart>;

    async fn read(&self, request: Request<ReadAbiDumpsRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let (place, dumps) = begin(&call, &request).await.map_err(|error| call.fail(error))?;
        let parts = {
            let call = call.clone();
            stream::try_unfold((dumps, Vec::new().into_iter()), move |(dumps, abis)| {
                let call = call.clone();
                async move { next(dumps, abis, &call).await }
            })
        };
        Ok(call.stream(&request, place, parts))
    }
}

async fn begin(call: &Call, request: &ReadAbiDumpsRequest) -> ApiResult<(Place, VecDeque<u32>)> {
    call.caller().take(RouteClass::Stream)?;
    let place = call.caller().stream()?;
    let dumps = call.service().chain().feed.abi_dumps().await?;
    Ok((place, dumps.into_iter().filter(|number| !request.known.contains(number)).collect()))
}

type Abis = vec::IntoIter<(Name, bytes::Bytes)>;
/// A part, and what is left.
type NextPart = ((AbiDumpPart, u64), (VecDeque<u32>, Abis));

/// The next part, which is no document; one dump at a time is in memory.
async fn next(mut dumps: VecDeque<u32>, mut abis: Abis, call: &Call) -> ApiResult<Option<NextPart>> {
    let part = match abis.next() {
        Some((contract, abi)) => Part::Abi(ContractAbi { contract: contract.to_string(), abi: abi.into() }),
        None => loop {
            let Some(number) = dumps.pop_front() else { return Ok(None) };
            match call.service().chain().feed.abi_dump(number).await {
                Ok(AbiDump { block_num, global_sequence, abis: found }) => {
                    let abi_count = found.len() as u64;
                    abis = found.into_iter();
                    break Part::Beginning(Beginning { block_num, global_sequence, abi_count });
                }
                // It was there a moment ago.
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        },
    };
    Ok(Some(((AbiDumpPart { part: Some(part) }, 0), (dumps, abis))))
}
