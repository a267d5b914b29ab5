//! The ABI of a contract as its documentation.

use dfuse_antelope::{Name, abi::Abi};
use dfuse_http::{
    Api, Endpoint,
    Kind::{BlockNumber, Name as NameKind},
    Parameter, Params,
    params::rules::block_num,
};
use dfuse_index::abi::history;
use dfuse_query::{
    ApiResult, Class, ErrorCode, ReadContext,
    state::{self, AskedHeight},
};
use maud::{Markup, html};

use crate::{
    heights::Heights,
    links,
    page::{Page, endpoint},
    rules::existing,
    search,
    shown::Shown,
};

/// Most versions of an ABI that are listed.
const VERSIONS: usize = 50;
/// Most fields of an action that can be chosen.
const FIELDS: usize = 50;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    const PARAMETERS: &[Parameter] = &[
        Parameter::required("name", NameKind, "the contract").in_path(),
        Parameter::optional("block_num", BlockNumber, "the height; 0 is the head").or("0"),
    ];
    vec![endpoint("/contract/{name}", Class::Page, "A page: the ABI of a contract.", contract).takes(PARAMETERS).fails(
        &[ErrorCode::AbiNotFound, ErrorCode::AbiMalformed, ErrorCode::BlockNumAboveHead, ErrorCode::StateUnavailable],
    )]
}

async fn contract(api: Api, mut params: Params) -> ApiResult<Page> {
    let name = params.required("name", existing);
    let block_num = params.optional_or("block_num", 0, block_num);
    let (name, block_num) = params.finish((name, block_num))?;
    api.query(move |read| page(read, name, block_num)).await
}

fn page(read: &ReadContext<'_>, name: Name, block_num: u128) -> ApiResult<Page> {
    let found = state::abi(read, name, AskedHeight { block_num, irreversible_only: false })?;
    let abi = found.decode()?;
    let (contract, height) = (name.to_string(), block_num.to_string());
    let height = if block_num == 0 { "" } else { &height };
    let api = links::address("/v0/state/abi", [("account", &contract), ("block_num", height), ("json", "true")]);
    let shown = Shown::new(&api);
    let path = format!("/contract/{contract}");
    let heights = Heights {
        path: &path,
        number: found.height.number(),
        head: read.snapshot().head().map_or(0, |head| head.number),
        is_at_head: block_num == 0,
        at: &|number| links::address(&path, [("block_num", number)]),
    };
    let content = html! {
        p { "What the account " (links::account(name)) " offers, as its ABI of block " (links::numbered_block(found.record.block_number)) " says it." }
        (heights.form(&html! {}, &html! {}))
        (versions(read, &path, name)?)
        (actions(name, &abi, &shown))
        (tables(&contract, height, &abi, &shown))
        (types(&abi, &shown))
        @if shown.is_full() { p { (shown.rest("… the rest as JSON")) } }
    };
    Ok(Page::new(format!("Contract {name}"), api, content))
}

/// The blocks whose ABIs differ, the newest first.
fn versions(read: &ReadContext<'_>, path: &str, name: Name) -> ApiResult<Markup> {
    let mut blocks = Vec::new();
    for record in history(read.view(), name)?.take(VERSIONS) {
        blocks.push(record?.block_number);
    }
    blocks.dedup();
    Ok(html! {
        @if blocks.len() > 1 {
            p.steps { "Set in block" @for block in blocks { a href={ (path) "?block_num=" (block) } { (block) } } }
        }
    })
}

fn actions(contract: Name, abi: &Abi, shown: &Shown) -> Markup {
    html! {
        h2 { "Actions" }
        @if abi.actions.is_empty() { p.quiet { "None." } }
        div.columns { @for action in abi.actions.iter().take_while(|_| !shown.is_full()) {
            div.panel #{ "action-" (action.name) } {
                h3 { (action.name) }
                (fields(abi, &action.type_name, shown))
                (search_form(contract, action.name, abi, &action.type_name, shown))
                @if !action.ricardian_contract.is_empty() {
                    details { summary { "Ricardian contract" } pre { (shown.text(&action.ricardian_contract)) } }
                }
            }
        } }
    }
}

/// Looks for an action, or for those of its kind with a value in a field.
fn search_form(contract: Name, action: Name, abi: &Abi, type_name: &str, shown: &Shown) -> Markup {
    let query = format!("account:{contract} action:{action}");
    let fields = abi.structs.iter().find(|it| it.name == type_name).map(|it| &it.fields[..]).unwrap_or_default();
    // What could not be typed into a query is not offered.
    let fields: Vec<_> = fields.iter().filter(|field| search::is_field(&field.name)).take(FIELDS).collect();
    html! {
        form.filter action="/search" {
            input type="hidden" name="q" value=(query);
            @if !fields.is_empty() {
                label { "Search by"
                    select name="field" {
                        @for field in fields { option value={ "data." (field.name) } { (shown.name(&field.name)) } }
                    }
                }
                label { "Value" input name="value" size="16" spellcheck="false" autocomplete="off" placeholder="any"; }
            }
            button { "Search" }
        }
    }
}

fn tables(contract: &str, height: &str, abi: &Abi, shown: &Shown) -> Markup {
    html! {
        h2 { "Tables" }
        @if abi.tables.is_empty() { p.quiet { "None." } }
        div.columns { @for table in abi.tables.iter().take_while(|_| !shown.is_full()) {
            @let name = table.name.to_string();
            div.panel {
                h3 { a href=(links::address("/table", [("account", contract), ("table", &name), ("block_num", height)])) { (name) } }
                (fields(abi, &table.type_name, shown))
            }
        } }
    }
}

/// Types that are neither of an action nor of a table.
fn types(abi: &Abi, shown: &Shown) -> Markup {
    let is_shown = |name: &str| {
        abi.actions.iter().any(|action| action.type_name == name)
            || abi.tables.iter().any(|table| table.type_name == name)
    };
    html! {
        @let others = || abi.structs.iter().filter(|it| !is_shown(&it.name));
        @if others().next().is_some() || !abi.types.is_empty() || !abi.variants.is_empty() { h2 { "Types" } }
        @for alias in abi.types.iter().take_while(|_| !shown.is_full()) {
            p { strong { (shown.name(&alias.new_type_name)) } " is " code { (shown.name(&alias.type_name)) } }
        }
        @for variant in abi.variants.iter().take_while(|_| !shown.is_full()) {
            p { strong { (shown.name(&variant.name)) } " is one of " code { (shown.text(&variant.types.join(", "))) } }
        }
        div.columns { @for of in others().take_while(|_| !shown.is_full()) {
            div.panel { h3 { (shown.name(&of.name)) } (fields(abi, &of.name, shown)) }
        } }
    }
}

/// The fields of a struct; those of its base are behind its name.
fn fields(abi: &Abi, name: &str, shown: &Shown) -> Markup {
    let Some(of) = abi.structs.iter().find(|it| it.name == name) else {
        return html! { p { code { (shown.name(name)) } } };
    };
    html! {
        @if !of.base.is_empty() { p { "All fields of " code { (shown.name(&of.base)) } ", and:" } }
        @if of.fields.is_empty() { p.quiet { "No fields." } }
        dl.fields {
            @for field in of.fields.iter().take_while(|_| !shown.is_full()) {
                div { dt { (shown.name(&field.name)) } dd { code { (shown.name(&field.type_name)) } } }
            }
        }
    }
}
