//! `/v0/state/code_hash`: which code an account has at a height.

use dfuse_antelope::{Checksum256, Name};
use dfuse_query::{
    ApiResult,
    state::{self, AskedHeight},
};
use dfuse_render::JsonWriter;

use super::height;
use crate::{Api, JsonText, Params, params::rules::name};

pub(super) async fn get(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let account = params.required("account", name);
    let at = height::check(&mut params);
    let (account, at): (Name, AskedHeight) = params.finish((account, at))?;
    let text = api.query(move |read| {
        let found = state::code_hash(read, account, at)?;
        let mut text = Vec::new();
        let mut json = JsonWriter::new(&mut text);
        json.begin_object();
        if let Some(code) = found.code {
            json.key("block_num").unsigned(code.block_number);
        }
        json.key("account").name(account);
        height::write_coverage(&mut json, found.height.state_start(), true);
        // Zeros without code, as nodes answer.
        let hash = found.code.and_then(|code| code.hash).unwrap_or_else(Checksum256::default);
        json.key("code_hash").checksum(hash);
        json.end_object();
        Ok(text)
    });
    text.await.map(JsonText)
}
