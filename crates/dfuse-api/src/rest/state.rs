//! `/v0/state`: rows of contract tables, ABIs, keys, links and scopes at any height, and what follows from them.
//!
//! The height, the ABI and the table of a request are resolved before the first byte of its answer; what comes then is
//! streamed.

mod abi;
mod bin_to_json;
mod code_hash;
mod difference;
mod height;
mod history;
mod keys;
mod parameters;
mod rows;
mod table;
mod tokens;

pub(crate) use self::height::write_coverage;
use dfuse_http::{AnswerForm, Charge, Endpoint};
use dfuse_query::{Class, RouteClass};

use super::answers;

pub(super) fn endpoints() -> Vec<Endpoint> {
    [of_tables(), of_contracts(), of_tokens()].into_iter().flatten().collect()
}

fn of_tables() -> Vec<Endpoint> {
    use Class::{LookUp, Page};
    vec![
        Endpoint::new("/v0/state/table", Charge::new(Page, RouteClass::List), table::one)
            .takes(parameters::ROWS)
            .answers("The rows of a table, in the order of their primary keys.", AnswerForm::Json(answers::ROWS))
            .fails(parameters::ROWS_ERRORS),
        Endpoint::new("/v0/state/table/diff", Charge::new(Page, RouteClass::List), difference::get)
            .takes(parameters::DIFFERENCE)
            .answers(
                "What is to be done to a table at one height so that it becomes what it is at another.",
                AnswerForm::Json(answers::DIFFERENCE),
            )
            .fails(parameters::ROWS_ERRORS),
        Endpoint::new("/v0/state/table/row", Charge::new(LookUp, RouteClass::LookUp), table::row)
            .takes(parameters::ROW)
            .answers("One row.", AnswerForm::Json(answers::ROW))
            .fails(parameters::ROW_ERRORS),
        Endpoint::new("/v0/state/table/row/history", Charge::new(Page, RouteClass::List), history::get)
            .takes(parameters::HISTORY)
            .answers("What became of one row: a page of its changes.", AnswerForm::Json(answers::ROW_HISTORY))
            .fails(parameters::ROWS_ERRORS),
        Endpoint::new("/v0/state/tables/accounts", Charge::new(Page, RouteClass::List), table::of_accounts)
            .takes(parameters::ROWS_OF_ACCOUNTS)
            .answers("The rows of a table of many contracts.", AnswerForm::Json(answers::TABLES))
            .fails(parameters::ROWS_ERRORS),
        Endpoint::new("/v0/state/tables/scopes", Charge::new(Page, RouteClass::List), table::of_scopes)
            .takes(parameters::ROWS_OF_SCOPES)
            .answers("The rows of a table in many scopes.", AnswerForm::Json(answers::TABLES))
            .fails(parameters::ROWS_ERRORS),
    ]
}

fn of_contracts() -> Vec<Endpoint> {
    use Class::{LookUp, Page};
    vec![
        Endpoint::new("/v0/state/abi", Charge::new(LookUp, RouteClass::LookUp), abi::get)
            .takes(parameters::ABI)
            .answers("The ABI of a contract, and the block that set it.", AnswerForm::Json(answers::ABI))
            .fails(parameters::ABI_ERRORS),
        Endpoint::post_json("/v0/state/abi/bin_to_json", Charge::new(Page, RouteClass::List), bin_to_json::post)
            .takes(parameters::DECODED)
            .answers("Rows that were sent as bytes, decoded.", AnswerForm::Json(answers::DECODED_ROWS))
            .fails(parameters::DECODED_ERRORS),
        Endpoint::new("/v0/state/code_hash", Charge::new(LookUp, RouteClass::LookUp), code_hash::get)
            .takes(parameters::OF_ACCOUNT)
            .answers(
                "The hash of the code of an account, and the block that set it.",
                AnswerForm::Json(answers::CODE_HASH),
            )
            .fails(parameters::CODE_ERRORS),
        Endpoint::new("/v0/state/key_accounts", Charge::new(Page, RouteClass::List), keys::key_accounts)
            .takes(parameters::OF_KEY)
            .answers("The accounts with a permission that a key stands in.", AnswerForm::Json(answers::ACCOUNT_NAMES))
            .fails(parameters::KEY_ERRORS),
        Endpoint::new("/v0/state/permission_links", Charge::new(Page, RouteClass::List), keys::permission_links)
            .takes(parameters::OF_ACCOUNT)
            .answers("The actions for which an account has linked a permission.", AnswerForm::Json(answers::LINKS))
            .fails(parameters::STATE_ERRORS),
        Endpoint::new("/v0/state/table_scopes", Charge::new(Page, RouteClass::List), keys::table_scopes)
            .takes(parameters::OF_TABLE)
            .answers("The scopes of a table.", AnswerForm::Json(answers::SCOPES))
            .fails(parameters::SCOPES_ERRORS),
        Endpoint::get("/v1/history/get_key_accounts", Charge::new(Page, RouteClass::List), keys::legacy)
            .takes(parameters::LEGACY)
            .answers(
                "The accounts of a key at the head, as nodes answered once.",
                AnswerForm::Json(answers::ACCOUNT_NAMES),
            )
            .fails(parameters::STATE_ERRORS),
        Endpoint::post_json("/v1/history/get_key_accounts", Charge::new(Page, RouteClass::List), keys::legacy_json)
            .takes(parameters::LEGACY_JSON)
            .answers("The same.", AnswerForm::Json(answers::ACCOUNT_NAMES))
            .fails(parameters::STATE_ERRORS),
    ]
}

fn of_tokens() -> Vec<Endpoint> {
    use Class::{Page, Search};
    vec![
        Endpoint::new("/v0/tokens", Charge::new(Search, RouteClass::List), tokens::all)
            .takes(parameters::TOKENS)
            .answers("Tokens of one contract or of all.", AnswerForm::Json(answers::TOKENS))
            .fails(parameters::TOKEN_ERRORS),
        Endpoint::new("/v0/tokens/{contract}/{symbol}/holders", Charge::new(Search, RouteClass::List), tokens::holders)
            .takes(parameters::HOLDERS)
            .answers("A token, and a page of the accounts with a balance of it.", AnswerForm::Json(answers::HOLDERS))
            .fails(parameters::TOKEN_ERRORS),
        Endpoint::new("/v0/accounts/{account}/balances", Charge::new(Page, RouteClass::List), tokens::balances)
            .takes(parameters::BALANCES)
            .answers("A page of the tokens of which an account has a balance.", AnswerForm::Json(answers::BALANCES))
            .fails(parameters::TOKEN_ERRORS),
    ]
}
