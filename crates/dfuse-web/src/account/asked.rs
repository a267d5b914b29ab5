//! What is asked of the page of an account.

use dfuse_antelope::Name;
use dfuse_http::{
    Kind::{BlockNumber, Choice, Cursor, Name as NameKind},
    Parameter, Params,
    params::rules::{block_num, name, one_of, text},
};
use dfuse_kv::Direction;
use dfuse_query::{
    ApiResult, Service,
    search::{BlockSpan, InvalidQuery, account_history, parse},
    state::AskedHeight,
};
use dfuse_search::Query;

use crate::{links, rules::existing};

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::required("name", NameKind, "the account").in_path(),
    Parameter::optional("block_num", BlockNumber, "the height; 0 is the head").or("0"),
    Parameter::optional("contract", NameKind, "only actions of this contract").or(""),
    Parameter::optional("action", NameKind, "only actions of this name").or(""),
    Parameter::optional("way", Choice(&["any", "auth", "from", "to"]), "all, what it signed, or transfers").or("any"),
    Parameter::optional("with", NameKind, "only transfers with this other account").or(""),
    Parameter::optional("cursor", Cursor, "where the history begins").or(""),
];

/// Which part an account has in the actions of its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It signed them, or they came to it.
    Any,
    Auth,
    From,
    To,
}

impl Way {
    pub(super) const ALL: [(&str, Self); 4] =
        [("any", Self::Any), ("auth", Self::Auth), ("from", Self::From), ("to", Self::To)];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Auth => "auth",
            Self::From => "from",
            Self::To => "to",
        }
    }

    /// As forms call it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Any => "everything",
            Self::Auth => "what it signed",
            Self::From => "what it sent",
            Self::To => "what it received",
        }
    }
}

/// An account at a height, and the part of its history.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) name: Name,
    /// 0 for the head.
    pub(super) block_num: u128,
    /// Empty names for any.
    pub(super) contract: Name,
    pub(super) action: Name,
    pub(super) with: Name,
    pub(super) way: Way,
    pub(super) cursor: String,
}

impl Asked {
    pub(super) fn of(mut params: Params) -> ApiResult<Self> {
        let account = params.required("name", existing);
        let block_num = params.optional_or("block_num", 0, block_num);
        let contract = params.optional_or("contract", Name(0), name);
        let action = params.optional_or("action", Name(0), name);
        let way = params.optional_or("way", Way::Any, one_of(&Way::ALL));
        let with = params.optional_or("with", Name(0), name);
        let cursor = params.optional_or("cursor", String::new(), text);
        let (name, block_num, contract, action, way, with, cursor) =
            params.finish((account, block_num, contract, action, way, with, cursor))?;
        Ok(Self { name, block_num, contract, action, with, way, cursor })
    }

    pub(super) fn at(&self) -> AskedHeight {
        AskedHeight { block_num: self.block_num, irreversible_only: false }
    }

    pub(super) fn is_at_head(&self) -> bool {
        self.block_num == 0
    }

    /// The height as a parameter; empty for the head.
    pub(super) fn height(&self) -> String {
        if self.is_at_head() { String::new() } else { self.block_num.to_string() }
    }

    /// Whether the history has a part of it only that no list of the account's actions has.
    fn is_filtered(&self) -> bool {
        self.action != Name(0) || self.with != Name(0) || self.way != Way::Any
    }

    /// The blocks of the history, the newest first.
    pub(super) fn span(&self) -> BlockSpan {
        let start = u32::try_from(self.block_num).unwrap_or(u32::MAX);
        BlockSpan { start, count: u32::MAX, direction: Direction::Reverse, with_reversible: true }
    }

    /// What the history is searched with.
    pub(super) fn query(&self, service: &Service) -> ApiResult<Result<Query, InvalidQuery>> {
        if self.is_filtered() {
            return Ok(parse(service, &self.query_text()));
        }
        let contract = Some(self.contract).filter(|contract| *contract != Name(0));
        account_history(service, self.name, contract).map(Ok)
    }

    /// The same as somebody would type it. Names stand in quotes: one may be `true`.
    pub(super) fn query_text(&self) -> String {
        let Self { name, contract, action, with, .. } = self;
        let mut text = match self.way {
            Way::Any => format!("(receiver:\"{name}\" OR auth:\"{name}\")"),
            Way::Auth => format!("auth:\"{name}\""),
            Way::From => format!("data.from:\"{name}\" notif:false"),
            Way::To => format!("data.to:\"{name}\" notif:false"),
        };
        if *with != Name(0) {
            text += &match self.way {
                Way::Any | Way::Auth => format!(" (data.from:\"{with}\" OR data.to:\"{with}\")"),
                Way::From => format!(" data.to:\"{with}\""),
                Way::To => format!(" data.from:\"{with}\""),
            };
        }
        for (field, value) in [("account", contract), ("action", action)] {
            if *value != Name(0) {
                text += &format!(" {field}:\"{value}\"");
            }
        }
        text
    }

    /// The address of the page at that height, with its filters.
    pub(super) fn page(&self, height: &str, cursor: &str) -> String {
        let text = |name: Name| if name == Name(0) { String::new() } else { name.to_string() };
        let way = if self.way == Way::Any { "" } else { self.way.as_str() };
        links::address(
            &format!("/account/{}", self.name),
            [
                ("block_num", height),
                ("contract", &text(self.contract)),
                ("action", &text(self.action)),
                ("way", way),
                ("with", &text(self.with)),
                ("cursor", cursor),
            ],
        )
    }

    /// The request that answers with a page of the history.
    pub(super) fn history_api(&self, limit: usize) -> String {
        let (limit, start) = (limit.to_string(), self.height());
        let paged = [("start_block", start.as_str()), ("limit", &limit), ("cursor", &self.cursor)];
        if self.is_filtered() {
            let query = self.query_text();
            let searched = [("q", query.as_str()), ("sort", "desc"), ("with_reversible", "true")];
            return links::address(
                "/v0/search/transactions",
                [searched[0], searched[1], searched[2], paged[0], paged[1], paged[2]],
            );
        }
        let contract = if self.contract == Name(0) { String::new() } else { self.contract.to_string() };
        let path = format!("/v0/accounts/{}/actions", self.name);
        links::address(&path, [("contract", &contract), paged[0], paged[1], paged[2]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_a_query() {
        let asked = |way, with, contract, action| Asked {
            name: Name::literal("alice"),
            block_num: 0,
            contract,
            action,
            with,
            way,
            cursor: String::new(),
        };
        let (none, bob, token) = (Name(0), Name::literal("bob"), Name::literal("eosio.token"));
        for (asked, text) in [
            (asked(Way::Any, none, none, none), r#"(receiver:"alice" OR auth:"alice")"#),
            (asked(Way::To, bob, token, none), r#"data.to:"alice" notif:false data.from:"bob" account:"eosio.token""#),
            (
                asked(Way::From, none, none, Name::literal("transfer")),
                r#"data.from:"alice" notif:false action:"transfer""#,
            ),
            (asked(Way::Auth, bob, none, none), r#"auth:"alice" (data.from:"bob" OR data.to:"bob")"#),
        ] {
            assert_eq!(asked.query_text(), text);
        }
        let page = asked(Way::To, bob, none, none).page("7", "");
        assert_eq!(page, "/account/alice?block_num=7&way=to&with=bob");
    }
}
