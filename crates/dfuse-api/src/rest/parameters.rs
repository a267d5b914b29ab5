//! Parameters that several endpoints take.

use dfuse_http::{
    Kind::{BlockNumber, Cursor, Flag, Id, Integer, Name},
    Parameter,
};

pub(super) const ACCOUNT: Parameter = Parameter::required("account", Name, "the contract");
pub(super) const TABLE: Parameter = Parameter::required("table", Name, "the table");
pub(super) const HEIGHT: Parameter = Parameter::optional("block_num", BlockNumber, "the height; 0 is the head").or("0");
pub(super) const IRREVERSIBLE: Parameter =
    Parameter::optional("irreversible_only", Flag, "the last irreversible block is the newest").or("false");
pub(super) const CURSOR: Parameter = Parameter::optional("cursor", Cursor, "where the page begins");
pub(super) const LIMIT: Parameter = Parameter::optional("limit", Integer(1, 100), "most entries").or("100");
pub(super) const ID: Parameter = Parameter::required("id", Id, "the id").in_path();
