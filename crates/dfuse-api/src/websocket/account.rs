mod node_form;
mod zero;

use dfuse_antelope::Name;
use dfuse_node::rpc::{NodeError, RpcError};
use dfuse_query::{
    ApiError, ApiResult,
    state::{account, account_links, account_not_found},
};
use serde_json::{Map, Value, json};

use super::{
    context::Context,
    message::{Message, check, invalid},
    request::Request,
};

/// `get_account`: an account as the node has it or, where no node is configured, as the indexes have it; who created it, and
/// its permission links.
pub(super) struct GetAccount {
    name: Name,
    start_block: i64,
}

impl Request for GetAccount {
    const NAMES: &[&str] = &["get_account"];

    fn read(message: &Message) -> ApiResult<Self> {
        check(message.fetch, "'fetch' is required")?;
        check(!message.listen, "'listen' is not supported")?;
        message.takes_reversible()?;
        message.takes_newest()?;
        let name = message.data.text("name")?;
        check(!name.is_empty(), "'data.name' is required")?;
        let name = name.parse().map_err(|_| invalid("The data.name field must be a valid EOS name"))?;
        Ok(Self { name, start_block: message.start_block })
    }

    async fn run(self, context: Context) -> ApiResult<()> {
        let Self { name, start_block } = self;
        context.start_block(start_block, 0)?;
        let of_node =
            if context.shared().nodes.upstreams().any() { Some(ask_node(&context, name).await?) } else { None };
        let answer = context.api().query(move |read| {
            let links = account_links(read, name)?;
            let values = match of_node.clone() {
                Some(values) => values,
                None => node_form::account(&account(read, name)?, &links.links),
            };
            Ok(json!({"account": node_form::complete(values, &links)}).to_string())
        });
        context.send("account", answer.await?.as_bytes()).await;
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
            Some(refusal) if is_unknown(refusal) => return Err(account_not_found(name)),
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
