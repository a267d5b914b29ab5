//! The ABI of a contract as its documentation.

use dfuse_antelope::{Name, abi::Abi};
use dfuse_http::{
    Api, Endpoint,
    Kind::{BlockNumber, Name as NameKind},
    Parameter, Params,
    params::rules::block_num,
};
use dfuse_query::{
    ApiResult, Class, ErrorCode,
    state::{self, AskedHeight},
};
use maud::{Markup, html};

use crate::{
    account::existing,
    links,
    page::{Page, endpoint},
    shown::{Shown, visible},
};

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
    api.query(move |read| {
        let found = state::abi(read, name, AskedHeight { block_num, irreversible_only: false })?;
        let abi = found.decode()?;
        let (contract, height) = (name.to_string(), block_num.to_string());
        let asked = if block_num == 0 { "" } else { &height };
        let api = links::address("/v0/state/abi", [("account", &contract), ("block_num", asked), ("json", "true")]);
        let shown = Shown::new(&api);
        let content = html! {
            p { "The contract of " (links::account(name)) ", as its ABI of block " (found.record.block_number) " describes it." }
            (actions(name, &abi, &shown))
            (tables(&contract, &abi, &shown))
            (types(&abi, &shown))
            @if shown.is_full() { p { (shown.rest("… the rest as JSON")) } }
        };
        Ok(Page::new(format!("Contract {name}"), api, content))
    })
    .await
}

fn actions(contract: Name, abi: &Abi, shown: &Shown) -> Markup {
    html! {
        h2 { "Actions" }
        @if abi.actions.is_empty() { p.quiet { "None." } }
        @for action in abi.actions.iter().take_while(|_| !shown.is_full()) {
            h3 #{ "action-" (action.name) } { (action.name) }
            (fields(abi, &action.type_name, shown))
            p { a href=(links::address("/search", [("q", &format!("account:{contract} action:{}", action.name))])) { "Search for it" } }
            @if !action.ricardian_contract.is_empty() {
                details { summary { "Ricardian contract" } pre { (shown.text(&action.ricardian_contract)) } }
            }
        }
    }
}

fn tables(contract: &str, abi: &Abi, shown: &Shown) -> Markup {
    html! {
        h2 { "Tables" }
        @if abi.tables.is_empty() { p.quiet { "None." } }
        @for table in abi.tables.iter().take_while(|_| !shown.is_full()) {
            h3 { a href=(links::address("/table", [("account", contract), ("table", &table.name.to_string())])) { (table.name) } }
            (fields(abi, &table.type_name, shown))
        }
    }
}

/// Types that are neither of an action nor of a table.
fn types(abi: &Abi, shown: &Shown) -> Markup {
    let is_shown = |name: &str| {
        abi.actions.iter().any(|action| action.type_name == name)
            || abi.tables.iter().any(|table| table.type_name == name)
    };
    html! {
        h2 { "Types" }
        @for alias in abi.types.iter().take_while(|_| !shown.is_full()) {
            p { strong { (shown.text(&alias.new_type_name)) } " is " code { (shown.text(&alias.type_name)) } }
        }
        @for variant in abi.variants.iter().take_while(|_| !shown.is_full()) {
            p { strong { (shown.text(&variant.name)) } " is one of " code { (shown.text(&variant.types.join(", "))) } }
        }
        @for of in abi.structs.iter().filter(|it| !is_shown(&it.name)).take_while(|_| !shown.is_full()) {
            h3 { (visible(&of.name)) }
            (fields(abi, &of.name, shown))
        }
    }
}

/// The fields of a struct; those of its base are behind its name.
fn fields(abi: &Abi, name: &str, shown: &Shown) -> Markup {
    let Some(of) = abi.structs.iter().find(|it| it.name == name) else {
        return html! { p { code { (shown.text(name)) } } };
    };
    html! {
        @if !of.base.is_empty() { p { "All fields of " code { (shown.text(&of.base)) } ", and:" } }
        @if of.fields.is_empty() { p.quiet { "No fields." } }
        dl.fields {
            @for field in of.fields.iter().take_while(|_| !shown.is_full()) {
                div { dt { (shown.text(&field.name)) } dd { code { (shown.text(&field.type_name)) } } }
            }
        }
    }
}
