mod own;
mod zero;

use dfuse_antelope::Name;
use dfuse_index::{ServingSnapshot, accounts, blocks};
use dfuse_node::rpc::{NodeError, RpcError};
use dfuse_query::{ApiError, ApiResult, ErrorCode, Reading};
use dfuse_state::{PermissionLink, StateAt};
use serde_json::{Map, Value, json};

use super::{
    context::Context,
    message::{Message, check, invalid},
    request::Request,
};
use dfuse_render::rfc3339;

/// Most links that are shown.
const MAX_LINKS: usize = 1000;
/// What the node says of an account whose code was never set.
const NEVER: &str = "1970-01-01T00:00:00.000";

/// `get_account`: an account as the node has it or, where no node is configured, as the indexes have it; who created it, and
/// its permission links.
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
        let api = context.api().clone();
        let of_node =
            if context.shared().nodes.upstreams().any() { Some(ask_node(&context, name).await?) } else { None };
        let reader = api.clone();
        let account = api.read(move |snapshot, reading| {
            let links = links(snapshot, reading, name)?;
            let account = match of_node {
                Some(account) => account,
                None => own::account(&reader, snapshot, name, &links)?,
            };
            Ok(complete(account, creator(snapshot, name)?, &links))
        });
        let account = account.await?;
        context.send("account", json!({"account": account}).to_string().as_bytes()).await;
        Ok(())
    }
}

/// What the nodes say, the next one if one is away.
async fn ask_node(context: &Context, name: Name) -> ApiResult<Map<String, Value>> {
    let upstreams = context.shared().nodes.upstreams();
    let mut last = ApiError::unavailable("No node answers.");
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
                return Err(no_account(name));
            }
            Some(_) => {}
            None => upstreams.failed(node, &error),
        }
        last = away(&error);
    }
    Err(last)
}

fn no_account(name: Name) -> ApiError {
    ApiError::new(ErrorCode::AccountNotFound, "There is no account of this name.").detail("account", name.to_string())
}

/// `account_query_exception`, and what nodes before 2.1 say.
fn is_unknown(refusal: &NodeError) -> bool {
    refusal.error.code == 3_060_002 || refusal.error.details.iter().any(|it| it.message.contains("unknown key"))
}

fn away(error: &RpcError) -> ApiError {
    ApiError::unavailable("The node does not answer.").with_cause(error)
}

/// Who created the account, and where; null if that is unknown.
fn creator(snapshot: &ServingSnapshot, name: Name) -> ApiResult<Value> {
    let view = snapshot.view();
    let Some((account, creation)) = accounts::get(view, name)?.and_then(|it| Some((it, it.creation?))) else {
        return Ok(Value::Null);
    };
    let block = blocks::by_number(view, account.block_number)?;
    Ok(json!({
        "created": account.name,
        "creator": creation.creator,
        "block_id": block.as_ref().map(|block| block.id),
        "block_num": account.block_number,
        "block_time": block.as_ref().map(|block| rfc3339(block.time)),
        "trx_id": creation.transaction_id,
    }))
}

fn links(snapshot: &ServingSnapshot, reading: &Reading, name: Name) -> ApiResult<Vec<PermissionLink>> {
    let links = StateAt::of(snapshot.view().clone()).permission_links(name, None)?.take(MAX_LINKS);
    links
        .map(|link| {
            reading.go_on()?;
            Ok(link?)
        })
        .collect()
}

/// Adds what nodes do not say, and what clients read without asking.
fn complete(mut account: Map<String, Value>, creator: Value, links: &[PermissionLink]) -> Map<String, Value> {
    zero::fill(&mut account);
    let updated = account.get("last_code_update").and_then(Value::as_str);
    // Nodes print the fraction since version 2.
    let never = NEVER.trim_end_matches(".000");
    let has_contract = updated.is_some_and(|time| !time.starts_with(never));
    let links = links
        .iter()
        .map(|link| json!({"contract": link.contract, "action": link.action, "permission_name": link.permission}));
    account.insert("creator".to_owned(), creator);
    account.insert("linked_permissions".to_owned(), links.collect::<Vec<_>>().into());
    // Nobody ever filled it.
    account.insert("account_verifications".to_owned(), Value::Null);
    account.insert("has_contract".to_owned(), has_contract.into());
    account
}
