//! What this endpoint serves.

use dfuse_proto::sf::firehose::v2::{
    InfoRequest, InfoResponse, endpoint_info_server::EndpointInfo, info_response::BlockIdEncoding,
};
use dfuse_query::{
    ApiError, ApiResult, Caller, RouteClass, Service,
    streams::{BlockName, whole_block},
};
use tonic::{Request, Response, Status};

use super::Firehose;
use crate::call::Call;

/// Chains that are known by the id of their second block: its name, and other names.
const KNOWN: [(&str, &str, &[&str]); 3] = [
    ("0000000267f3e2284b482f3afc2e724be1d6cbc1804532ec62d4e7af47c30693", "eos", &["eos-mainnet"]),
    ("00000002a1ec7ae214b9e43a904b6c010fb1260c9e8a12e5967bdbe451152a07", "kylin", &[]),
    ("00000002d61d836f51657f886a5bc55b18a731f7eace6565784328fbd051fc90", "jungle4", &[]),
];

#[async_trait::async_trait]
impl EndpointInfo for Firehose {
    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async {
            call.caller().take(RouteClass::LookUp)?;
            info(call.service()).await
        };
        call.answer(&request.into_inner(), work).await
    }
}

async fn info(service: &Service) -> ApiResult<InfoResponse> {
    let chain = service.chain();
    let first = chain.feed.first_block().ok_or_else(ApiError::not_ready)?;
    // Whoever may read nothing of it may know what it is called.
    let everything = service.on_behalf_of(Caller::unrestricted(service.caller().client));
    let id = whole_block(BlockName::Number(first.into()), &everything).await?.encoded().id().to_string();
    let known = KNOWN.iter().find(|(known, ..)| *known == id);
    let own_name = || chain.chain_id.map(|id| id.to_string()).unwrap_or_default();
    Ok(InfoResponse {
        chain_name: known.map_or_else(own_name, |(_, name, _)| (*name).to_owned()),
        chain_name_aliases: known
            .map_or(&[][..], |(.., others)| others)
            .iter()
            .map(|name| (*name).to_owned())
            .collect(),
        first_streamable_block_num: first.into(),
        first_streamable_block_id: id,
        block_id_encoding: BlockIdEncoding::Hex.into(),
        block_features: Vec::new(),
    })
}
