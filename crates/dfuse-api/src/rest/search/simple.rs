//! `/v0/simple_search`: what a text may name.

use dfuse_antelope::{Checksum256, Name};
use dfuse_query::{ApiError, ApiResult, ErrorCode, Reading};
use dfuse_trx::{BlockSource, FeedBlocks, IdPrefix, Lifecycles};
use serde_json::{Value, json};

use crate::{
    Api, JsonText, Params,
    params::rules::text,
    rest::{block_id, blocks as block_pages},
};
use dfuse_index::{ServingSnapshot, View, abi::ViewAbis, accounts, blocks};
use dfuse_render::{JsonWriter, Renderer, rfc3339};

/// A shorter text is no id: it may be a name.
const MIN_ID_DIGITS: usize = 14;
/// How long after a time its block may be, in milliseconds.
const NEAR_MS: i64 = 5000;

/// Tries in turn: id of a block, id of a transaction or its beginning, number of a block, name of an account, time of a block.
pub(super) async fn simple_search(api: Api, mut params: Params) -> ApiResult<JsonText> {
    let text = params.required("q", text);
    let text = params.finish(text)?;
    let reader = api.clone();
    let found = api.read(move |snapshot, reading| Looking { api: &reader, snapshot, reading }.find(&text));
    found.await.map(JsonText)
}

struct Looking<'a> {
    api: &'a Api,
    snapshot: &'a ServingSnapshot,
    reading: &'a Reading,
}

impl Looking<'_> {
    fn find(&self, text: &str) -> ApiResult<Vec<u8>> {
        let view = self.snapshot.view();
        let lower = text.to_ascii_lowercase();
        let is_hex = lower.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id: Option<Checksum256> = lower.parse().ok();
        if let Some(block) = id.map(|id| self.block(id)).transpose()?.flatten() {
            return Ok(block);
        }
        if is_hex
            && (MIN_ID_DIGITS..=64).contains(&lower.len())
            && let Some(transaction) = self.transaction(&lower)?
        {
            return Ok(transaction);
        }
        if let Some(block) = text.parse().ok().map(|number| blocks::by_number(view, number)).transpose()?.flatten() {
            return Ok(of_kind("block", &json!({"id": block.id})));
        }
        if let Some(account) = Name::parse(lower.as_bytes()).ok().filter(|name| *name != Name(0))
            && let Some(account) = self.account(view, account)?
        {
            return Ok(of_kind("account", &account));
        }
        if let Some(id) = id {
            // It may be on its way.
            return Ok(of_kind("transaction", &json!({"id": id})));
        }
        if let Some(block) = block_id::at_or_soon_after(self.snapshot, text, NEAR_MS)? {
            return Ok(of_kind("block", &json!({"id": block.id})));
        }
        let message = "Nothing is known by this text: no block, transaction, account or time of a block.";
        Err(ApiError::new(ErrorCode::SimpleSearchNotFound, message))
    }

    fn block(&self, id: Checksum256) -> ApiResult<Option<Vec<u8>>> {
        match block_pages::with_siblings(self.api, self.snapshot, self.reading, id) {
            Ok(summary) => {
                let summary = serde_json::to_value(summary).map_err(ApiError::unexpected)?;
                Ok(Some(of_kind("block", &summary)))
            }
            Err(error) if matches!(error.code(), ErrorCode::BlockNotFound | ErrorCode::StateUnavailable) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn transaction(&self, digits: &str) -> ApiResult<Option<Vec<u8>>> {
        let (view, chain) = (self.snapshot.view(), self.api.chain());
        let blocks: &dyn BlockSource = &FeedBlocks::new(chain.feed.clone());
        let lifecycles = Lifecycles { view, forked: &chain.forked, blocks, chain_id: chain.chain_id };
        let found = match lifecycles.find(&IdPrefix::from_hex(&digits[..digits.len() & !1])?) {
            Err(dfuse_trx::Error::AmbiguousPrefix { .. }) => None,
            found => found?.filter(|id| id.to_string().starts_with(digits)),
        };
        let Some(lifecycle) = found.map(|id| lifecycles.get(id)).transpose()?.flatten() else { return Ok(None) };
        let (mut text, abis) = (Vec::new(), ViewAbis::new(view, self.api.abis()));
        let mut renderer = Renderer::new(&mut text, &abis);
        renderer.json().begin_object();
        renderer.json().key("type").string("transaction");
        renderer.json().key("data");
        renderer.lifecycle(&lifecycle)?;
        renderer.json().end_object();
        Ok(Some(text))
    }

    /// An account; who created it is known if that was indexed.
    fn account(&self, view: &View, account: Name) -> ApiResult<Option<Value>> {
        let Some(found) = accounts::get(view, account)? else { return Ok(None) };
        let Some(creation) = found.creation else {
            return Ok(Some(json!({"account_name": account, "creator": null})));
        };
        let block = blocks::by_number(view, found.block_number)?;
        let block = block.ok_or_else(|| ApiError::unexpected("an account was created in an unknown block"))?;
        Ok(Some(json!({
            "account_name": account,
            "creator": {
                "created": account,
                "creator": creation.creator,
                "block_id": block.id,
                "block_num": block.number,
                "block_time": rfc3339(block.time),
                "trx_id": creation.transaction_id,
            },
        })))
    }
}

fn of_kind(kind: &str, data: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    let mut json = JsonWriter::new(&mut text);
    json.begin_object();
    json.key("type").string(kind);
    json.key("data").raw(data.to_string().as_bytes());
    json.end_object();
    text
}
