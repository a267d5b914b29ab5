//! What the endpoints of state take, and what they fail with.

use dfuse_http::{
    Kind::{
        BlockNumber, Choice, ExtendedName, ExtendedNames, Flag, Integer, Name, Names, PrimaryKey, PublicKey,
        SymbolCode, Text, Texts,
    },
    Parameter,
};
use dfuse_query::ErrorCode::{
    self, AbiMalformed, AbiNotFound, AccountNotFound, BlockNumAboveHead, BlockNumAboveLib, PublicKeyNotFound,
    RowNotFound, StateUnavailable, TableNotFound, TableRowNotDecoded, TokenNotFound,
};
use dfuse_state::KeyType;

use crate::rest::parameters::{ACCOUNT, CURSOR, HEIGHT, IRREVERSIBLE, TABLE};

/// What any look at state may fail with.
pub(super) const STATE_ERRORS: &[ErrorCode] = &[BlockNumAboveHead, BlockNumAboveLib, StateUnavailable];
pub(super) const CODE_ERRORS: &[ErrorCode] = &[BlockNumAboveHead, BlockNumAboveLib, StateUnavailable, AccountNotFound];
pub(super) const ABI_ERRORS: &[ErrorCode] =
    &[BlockNumAboveHead, BlockNumAboveLib, StateUnavailable, AbiNotFound, AbiMalformed];
/// Of rows that are asked for in JSON.
pub(super) const ROWS_ERRORS: &[ErrorCode] =
    &[BlockNumAboveHead, BlockNumAboveLib, StateUnavailable, AbiNotFound, AbiMalformed, TableNotFound];
pub(super) const ROW_ERRORS: &[ErrorCode] =
    &[BlockNumAboveHead, BlockNumAboveLib, StateUnavailable, AbiNotFound, AbiMalformed, TableNotFound, RowNotFound];
pub(super) const DECODED_ERRORS: &[ErrorCode] =
    &[BlockNumAboveHead, StateUnavailable, AbiNotFound, AbiMalformed, TableNotFound, TableRowNotDecoded];
pub(super) const KEY_ERRORS: &[ErrorCode] = &[BlockNumAboveHead, BlockNumAboveLib, StateUnavailable, PublicKeyNotFound];
pub(super) const SCOPES_ERRORS: &[ErrorCode] = &[BlockNumAboveHead, BlockNumAboveLib, StateUnavailable, TableNotFound];
pub(super) const TOKEN_ERRORS: &[ErrorCode] = &[StateUnavailable, TokenNotFound];

const SCOPE: Parameter = Parameter::required("scope", ExtendedName, "the scope; may be empty");
const PRIMARY_KEY: Parameter = Parameter::required("primary_key", PrimaryKey, "the row; may be empty");
const JSON: Parameter =
    Parameter::optional("json", Flag, "decode by the ABI in force, rather than show bytes").or("false");
const KEY_TYPE: Parameter =
    Parameter::optional("key_type", Choice(&KeyType::NAMES), "how primary keys are written").or("name");
const WITH_BLOCK: Parameter =
    Parameter::optional("with_block_num", Flag, "name the block that wrote each row").or("false");
const WITH_ABI: Parameter = Parameter::optional("with_abi", Flag, "add the ABI").or("false");
const OFFSET: Parameter =
    Parameter::optional("offset", Integer(0, u64::MAX), "rows of each table that are passed").or("0");
const ROWS_LIMIT: Parameter =
    Parameter::optional("limit", Integer(0, u64::MAX), "most rows of each table; 0 for all").or("0");

pub(super) const ROWS: &[Parameter] = &[
    ACCOUNT,
    TABLE,
    SCOPE,
    HEIGHT,
    IRREVERSIBLE,
    JSON,
    KEY_TYPE,
    WITH_ABI,
    WITH_BLOCK,
    Parameter::optional("lower_bound", PrimaryKey, "the first primary key"),
    Parameter::optional("upper_bound", PrimaryKey, "the last primary key"),
    OFFSET,
    ROWS_LIMIT,
    CURSOR,
];
pub(super) const ROW: &[Parameter] = &[
    ACCOUNT,
    TABLE,
    SCOPE,
    PRIMARY_KEY,
    HEIGHT,
    IRREVERSIBLE,
    JSON,
    KEY_TYPE,
    WITH_ABI,
    WITH_BLOCK,
    OFFSET,
    ROWS_LIMIT,
];
pub(super) const ROWS_OF_ACCOUNTS: &[Parameter] = &[
    Parameter::required("accounts", Names, "the contracts"),
    TABLE,
    SCOPE,
    HEIGHT,
    IRREVERSIBLE,
    JSON,
    KEY_TYPE,
    WITH_ABI,
    WITH_BLOCK,
    OFFSET,
    ROWS_LIMIT,
];
pub(super) const ROWS_OF_SCOPES: &[Parameter] = &[
    ACCOUNT,
    TABLE,
    Parameter::required("scopes", ExtendedNames, "the scopes"),
    HEIGHT,
    IRREVERSIBLE,
    JSON,
    KEY_TYPE,
    WITH_ABI,
    WITH_BLOCK,
    OFFSET,
    ROWS_LIMIT,
];
pub(super) const DIFFERENCE: &[Parameter] = &[
    ACCOUNT,
    TABLE,
    SCOPE,
    Parameter::required("from_block", BlockNumber, "the height that the difference begins at; from 1"),
    Parameter::optional("to_block", BlockNumber, "the height that it leads to; 0 is the head").or("0"),
    IRREVERSIBLE,
    JSON,
    KEY_TYPE,
    WITH_BLOCK,
];
pub(super) const HISTORY: &[Parameter] = &[
    ACCOUNT,
    TABLE,
    SCOPE,
    PRIMARY_KEY,
    KEY_TYPE,
    JSON,
    WITH_BLOCK,
    Parameter::optional("from_block", BlockNumber, "the first block").or("0"),
    Parameter::optional("to_block", BlockNumber, "the last block; 0 is the head").or("0"),
    IRREVERSIBLE,
    Parameter::optional("sort", Choice(&["asc", "desc"]), "in which order, in any case of letters").or("desc"),
    Parameter::optional("limit", Integer(1, 100), "most changes").or("20"),
    CURSOR,
];
pub(super) const ABI: &[Parameter] = &[ACCOUNT, HEIGHT, IRREVERSIBLE, JSON];
pub(super) const DECODED: &[Parameter] = &[
    ACCOUNT.in_json(),
    TABLE.in_json(),
    Parameter::required("hex_rows", Texts, "rows in hex, two digits for each byte").in_json(),
    HEIGHT.in_json(),
];
pub(super) const OF_KEY: &[Parameter] =
    &[Parameter::required("public_key", PublicKey, "the key"), HEIGHT, IRREVERSIBLE];
pub(super) const OF_ACCOUNT: &[Parameter] =
    &[Parameter::required("account", Name, "the account"), HEIGHT, IRREVERSIBLE];
pub(super) const OF_TABLE: &[Parameter] = &[ACCOUNT, TABLE, HEIGHT, IRREVERSIBLE];
const ANY_KEY: Parameter = Parameter::optional("public_key", Text, "the key");
pub(super) const LEGACY: &[Parameter] = &[ANY_KEY];
pub(super) const LEGACY_JSON: &[Parameter] = &[ANY_KEY.in_json()];

const TOKENS_LIMIT: Parameter = Parameter::optional("limit", Integer(1, 1000), "most entries").or("100");
const WITH_STAKED: Parameter = Parameter::optional("with_staked", Flag, "add what accounts have staked").or("false");
pub(super) const TOKENS: &[Parameter] =
    &[Parameter::optional("contract", Name, "tokens of this contract alone"), IRREVERSIBLE, TOKENS_LIMIT, CURSOR];
pub(super) const HOLDERS: &[Parameter] = &[
    Parameter::required("contract", Name, "the contract").in_path(),
    Parameter::required("symbol", SymbolCode, "the symbol code").in_path(),
    IRREVERSIBLE,
    WITH_STAKED,
    TOKENS_LIMIT,
    CURSOR,
];
pub(super) const BALANCES: &[Parameter] =
    &[Parameter::required("account", Name, "the account").in_path(), IRREVERSIBLE, WITH_STAKED, TOKENS_LIMIT, CURSOR];
