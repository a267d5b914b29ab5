//! `/v0/state/abi`: ABIs at a height.

use dfuse_antelope::{Name, abi::Abi};
use dfuse_query::{
    ApiError, ApiResult,
    state::{self, AskedHeight},
};
use dfuse_render::JsonWriter;

use super::height;
use crate::{
    Api, JsonText, Params,
    params::rules::{boolean, name},
};

pub(super) async fn get(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let account = params.required("account", name);
    let at = height::check(&mut params);
    let as_json = params.optional_or("json", false, boolean);
    let (account, at, as_json): (Name, AskedHeight, bool) = params.finish((account, at, as_json))?;
    let text = api.query(move |read| {
        let abi = state::abi(read, account, at)?;
        let mut text = Vec::new();
        let mut json = JsonWriter::new(&mut text);
        json.begin_object();
        json.key("block_num").unsigned(abi.record.block_number);
        json.key("account").name(account);
        height::write_coverage(&mut json, abi.height.state_start(), true);
        json.key("abi");
        if as_json {
            json.raw(&to_json(&abi.decode()?)?);
        } else {
            json.hex(&abi.record.abi);
        }
        json.end_object();
        Ok(text)
    });
    text.await.map(JsonText)
}

/// The ABI as JSON text.
pub(super) fn to_json(abi: &Abi) -> ApiResult<Vec<u8>> {
    serde_json::to_vec(abi).map_err(|error| ApiError::unexpected(format!("an ABI that has no JSON: {error}")))
}
