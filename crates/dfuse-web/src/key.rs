//! The accounts that a public key stands in.

use dfuse_antelope::PublicKey;
use dfuse_http::{
    Api, Endpoint,
    Kind::{BlockNumber, PublicKey as KeyKind},
    Parameter, Params,
    params::rules::{block_num, public_key},
};
use dfuse_query::{
    ApiResult, Class, ErrorCode,
    state::{self, AskedHeight},
};
use maud::html;

use crate::{
    heights::Heights,
    links,
    page::{Page, endpoint},
    shown::Shown,
};

/// Most accounts of a page.
const ACCOUNTS: usize = 100;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const PARAMETERS: &[Parameter] = &[
        Parameter::required("key", KeyKind, "the public key").in_path(),
        Parameter::optional("block_num", BlockNumber, "the height; 0 is the head").or("0"),
    ];
    vec![endpoint("/key/{key}", Class::Page, "A page: the accounts of a public key.", key).takes(PARAMETERS).fails(&[
        ErrorCode::PublicKeyNotFound,
        ErrorCode::BlockNumAboveHead,
        ErrorCode::StateUnavailable,
    ])]
}

async fn key(api: Api, mut params: Params) -> ApiResult<Page> {
    let key = params.required("key", public_key);
    let block_num = params.optional_or("block_num", 0, block_num);
    let (key, block_num): (PublicKey, _) = params.finish((key, block_num))?;
    api.query(move |read| {
        let text = key.to_string();
        let height = if block_num == 0 { String::new() } else { block_num.to_string() };
        let api = links::address("/v0/state/key_accounts", [("public_key", &text), ("block_num", &height)]);
        let at = AskedHeight { block_num, irreversible_only: false };
        let mut accounts = state::key_accounts(read, key.clone(), at)?;
        let mut found = Vec::new();
        while found.len() < ACCOUNTS
            && let Some(account) = accounts.next_item()?
        {
            found.push(account);
        }
        let path = format!("/key/{text}");
        let heights = Heights {
            path: &path,
            number: accounts.height().number(),
            head: read.snapshot().head().map_or(0, |head| head.number),
            is_at_head: block_num == 0,
            at: &|number| links::address(&path, [("block_num", number)]),
        };
        let content = html! {
            p { code.id { (text) } }
            (heights.form(&html! {}, &html! {}))
            @if found.is_empty() { p.quiet { "It stands in no permission at this block." } }
            ul.plain {
                @for it in &found {
                    li { (links::account(it.account)) "@" (it.permission) ", since block " (links::numbered_block(it.block_number)) }
                }
            }
            @if found.len() == ACCOUNTS { p { (Shown::new(&api).rest("all accounts as JSON")) } }
        };
        Ok(Page::new("Public key", api, content).searching(&text))
    })
    .await
}
