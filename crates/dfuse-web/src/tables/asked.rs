//! How a table is asked for.

use dfuse_antelope::Name;
use dfuse_http::{
    Kind::{Choice, ExtendedName, Name as NameKind},
    Parameter, Params,
    params::{
        Checked,
        rules::{Field, Problems, Scope, one_of},
    },
};
use dfuse_query::ErrorCode;
use dfuse_state::{KeyType, TableKey};
use maud::{Markup, html};

use crate::links;

/// Where rows and scopes are.
pub(super) const PATH: &str = "/table";
pub(super) const ACCOUNT: Parameter = Parameter::required("account", NameKind, "the contract");
pub(super) const TABLE: Parameter = Parameter::required("table", NameKind, "the table");
pub(super) const SCOPE: Parameter = Parameter::required("scope", ExtendedName, "the scope; may be empty");
pub(super) const KEY_TYPE: Parameter =
    Parameter::optional("key_type", Choice(&KeyType::NAMES), "what primary keys are shown as").or("name");
pub(super) const ERRORS: &[ErrorCode] = &[
    ErrorCode::BlockNumAboveHead,
    ErrorCode::StateUnavailable,
    ErrorCode::AbiNotFound,
    ErrorCode::AbiMalformed,
    ErrorCode::TableNotFound,
];

/// None of them: the page looks at the keys.
pub(super) const ANY_KEY_TYPE: Parameter = Parameter::optional(
    "key_type",
    Choice(&KeyType::NAMES),
    "what primary keys are shown as; without it, what they look like",
);

pub(super) fn one_key_type(field: &Field<'_>) -> Result<KeyType, Problems> {
    one_of(&KeyType::ALL.map(|kind| (kind.as_str(), kind)))(field)
}

pub(super) fn key_type(params: &mut Params) -> Checked<KeyType> {
    params.optional_or("key_type", KeyType::default(), one_key_type)
}

/// A table in a scope, as forms and links have it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) account: Name,
    pub(super) table: Name,
    pub(super) scope: Scope,
    pub(super) key_type: KeyType,
}

impl Asked {
    pub(super) fn key(&self) -> TableKey {
        TableKey { contract: self.account, table: self.table, scope: self.scope.name }
    }

    /// An address with the table and further parameters. An empty scope stays in it.
    pub(super) fn address<const N: usize>(&self, path: &str, further: [(&str, &str); N]) -> String {
        let (account, table) = (self.account.to_string(), self.table.to_string());
        let key_type = if self.key_type == KeyType::default() { "" } else { self.key_type.as_str() };
        let address = links::address(path, [("account", account.as_str()), ("table", &table), ("key_type", key_type)]);
        let further = links::address("", further);
        let scope = form_urlencoded::byte_serialize(self.scope.text.as_bytes()).collect::<String>();
        format!("{address}&scope={scope}{}", further.replacen('?', "&", 1))
    }

    pub(super) fn title(&self, what: &str) -> String {
        format!("{what} {} / {} / {}", self.account, self.table, self.scope.text)
    }

    /// Fields of a form that stay as they are.
    pub(super) fn fields(&self) -> Markup {
        html! {
            input type="hidden" name="account" value=(self.account);
            input type="hidden" name="table" value=(self.table);
            input type="hidden" name="scope" value=(self.scope.text);
            input type="hidden" name="key_type" value=(self.key_type);
        }
    }
}
