use dfuse_antelope::Name;
use dfuse_index::{ServingSnapshot, accounts, blocks};
use dfuse_node::rpc::{NodeError, RpcError};
use dfuse_state::StateAt;
use serde_json::{Map, Value, json};

use super::{
    context::Context,
    message::{Message, check, invalid},
    request::Request,
};
use crate::{ApiError, ApiResult, ErrorCode, Reading, text::rfc3339};

/// Most links that are shown.
const MAX_LINKS: usize = 1000;
/// What the node says of an account whose code was never set.
const NEVER: &str = "1970-01-01T00:00:00";

/// `get_account`: an account as the node has it, who created it, and its permission links.
pub(super) struct GetAccount {
    name: Name,
}

impl Request for GetAccount {
    const NAMES: &[&str] = &["get_account"];

    fn read(message: &Message) -> ApiResult<Self> {
        check(message.fetch, "'fetch' is required")?;
        check(!message.listen, "'listen' is not supported")?;
        message.takes_reversible()?;
        let name = message.data.text("name")?;
        check(!name.is_empty(), "'data.name' is required")?;
        let name = name.parse().map_err(|_| invalid("The data.name field must be a valid EOS name"))?;
        Ok(Self { name })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        let name = self.name;
        let of_node = ask_node(&context, name).await?;
        let ours = context.api().read(move |snapshot, reading| Ours::read(snapshot, reading, name)).await?;
        let account = ours.merge(of_node);
        context.send("account", json!({"account": account}).to_string().as_bytes()).await;
        Ok(())
    }
}

/// What the nodes say, the next one if one is away.
async fn ask_node(context: &Context, name: Name) -> ApiResult<Map<String, Value>> {
    let upstreams = context.api().chain_api().upstreams();
    let mut last = ApiError::unavailable("No node is configured that could answer this: set chain_api.upstreams.");
    for node in upstreams.candidates() {
        let error = match node.client().get_account(name).await {
            Ok(account) => {
                upstreams.succeeded(node);
                return Ok(account);
            }
            Err(error) => error,
        };
        match error.refusal() {
            Some(refusal) if is_unknown(refusal) => {
                return Err(ApiError::new(ErrorCode::AccountNotFound, "There is no account of this name.")
                    .detail("account", name.to_string()));
            }
            Some(_) => {}
            None => upstreams.failed(node, &error),
        }
        last = away(&error);
    }
    Err(last)
}

/// `account_query_exception`, and what nodes before 2.1 say.
fn is_unknown(refusal: &NodeError) -> bool {
    refusal.error.code == 3_060_002 || refusal.error.details.iter().any(|it| it.message.contains("unknown key"))
}

fn away(error: &RpcError) -> ApiError {
    ApiError::unavailable("The node does not answer.").with_cause(error)
}

/// What the indexes know of an account.
struct Ours {
    creator: Value,
    links: Vec<Value>,
}

impl Ours {
    fn read(snapshot: &ServingSnapshot, reading: &Reading, name: Name) -> ApiResult<Self> {
        let view = snapshot.view();
        let creation = accounts::get(view, name)?;
        let creator = creation.map(|creation| {
            let block = blocks::by_number(view, creation.block_number)?;
            Ok::<_, ApiError>(json!({
                "created": creation.account,
                "creator": creation.creator,
                "block_id": block.as_ref().map(|block| block.id),
                "block_num": creation.block_number,
                "block_time": block.as_ref().map(|block| rfc3339(block.time)),
                "trx_id": creation.transaction_id,
            }))
        });
        let mut links = Vec::new();
        for link in StateAt::of(view.clone()).permission_links(name, None)?.take(MAX_LINKS) {
            reading.go_on()?;
            let link = link?;
            let (contract, action, permission) = (link.contract, link.action, link.permission);
            links.push(json!({"contract": contract, "action": action, "permission_name": permission}));
        }
        Ok(Self { creator: creator.transpose()?.unwrap_or(Value::Null), links })
    }

    fn merge(self, mut account: Map<String, Value>) -> Map<String, Value> {
        let updated = account.get("last_code_update").and_then(Value::as_str);
        let has_contract = updated.is_some_and(|time| !time.starts_with(NEVER));
        account.insert("creator".to_owned(), self.creator);
        account.insert("linked_permissions".to_owned(), self.links.into());
        // Nobody ever filled it.
        account.insert("account_verifications".to_owned(), Value::Null);
        account.insert("has_contract".to_owned(), has_contract.into());
        account
    }
}
