//! What answers look like, for the table of endpoints.

use dfuse_http::{
    Field,
    Schema::{self, Anything, Choice, Either, Flag, Integer, List, Map, Named, Nullable, Number, Object, Text},
};

const fn always(name: &'static str, schema: Schema) -> Field {
    Field::always(name, schema)
}

const fn maybe(name: &'static str, schema: Schema) -> Field {
    Field::maybe(name, schema)
}

/// An object that documents do not describe further.
const ANY_OBJECT: Schema = Map(&Anything);
const ANY_OBJECT_OR_NULL: Schema = Nullable(&ANY_OBJECT);
const TEXTS: Schema = List(&Text);

/// Whether state of before the first indexed block is missing.
const COVERAGE: &[Field] = &[maybe("state_from_block", Integer), maybe("complete", Flag)];
/// The blocks that state is read at.
const HEIGHT: &[Field] = &[
    maybe("up_to_block_id", Text),
    maybe("up_to_block_num", Integer),
    always("last_irreversible_block_id", Text),
    always("last_irreversible_block_num", Integer),
];
const BLOCK_NUM: &[Field] = &[always("block_num", Integer)];
/// Where the next page begins; empty after the last one.
const CURSOR: &[Field] = &[always("cursor", Text)];

const ROW_CONTENT: &[Field] =
    &[maybe("payer", Text), maybe("block", Integer), maybe("hex", Text), maybe("json", Anything), maybe("error", Text)];
const ROW_OBJECT: Schema = Named("Row", &Object(&[&[always("key", Text)], ROW_CONTENT]));
const ROW_VERSION: Schema = Nullable(&Named("RowVersion", &Object(&[ROW_CONTENT])));
const ABI_OBJECT: Schema = Named("Abi", &ANY_OBJECT);
const ROWS_FIELDS: &[Field] = &[maybe("abi", ABI_OBJECT), always("rows", List(&ROW_OBJECT)), maybe("cursor", Text)];
const ONE_OF_TABLES: Schema = Named(
    "TableOfMany",
    &Object(&[&[always("account", Text), always("scope", Text), maybe("error", Text)], ROWS_FIELDS]),
);

pub(super) const ROWS: Schema = Object(&[HEIGHT, COVERAGE, ROWS_FIELDS]);
pub(super) const ROW: Schema = Object(&[HEIGHT, COVERAGE, &[maybe("abi", ABI_OBJECT), always("row", ROW_OBJECT)]]);
pub(super) const TABLES: Schema =
    Object(&[HEIGHT, COVERAGE, &[maybe("abi", ABI_OBJECT), always("tables", List(&ONE_OF_TABLES))]]);
const CHANGED_ROW: Schema = Object(&[&[always("key", Text), always("old", ROW_VERSION), always("new", ROW_VERSION)]]);
pub(super) const DIFFERENCE: Schema = Object(&[
    HEIGHT,
    COVERAGE,
    &[always("from_block", Integer), always("to_block", Integer), always("rows", List(&CHANGED_ROW))],
]);
const WRITTEN_ROW: Schema = Object(&[
    BLOCK_NUM,
    &[
        always("block_id", Text),
        always("block_time", Text),
        always("trx_ids", TEXTS),
        always("old", Nullable(&ANY_OBJECT)),
        always("new", Nullable(&ANY_OBJECT)),
    ],
]);
pub(super) const ROW_HISTORY: Schema = Object(&[HEIGHT, COVERAGE, &[always("changes", List(&WRITTEN_ROW))], CURSOR]);

pub(super) const ABI: Schema =
    Object(&[BLOCK_NUM, COVERAGE, &[always("account", Text), always("abi", Either(&[Text, ABI_OBJECT]))]]);
pub(super) const CODE_HASH: Schema =
    Object(&[COVERAGE, &[maybe("block_num", Integer), always("account", Text), always("code_hash", Text)]]);
pub(super) const DECODED_ROWS: Schema =
    Object(&[BLOCK_NUM, COVERAGE, &[always("account", Text), always("table", Text), always("rows", List(&Anything))]]);
pub(super) const ACCOUNT_NAMES: Schema = Object(&[BLOCK_NUM, COVERAGE, &[always("account_names", TEXTS)]]);
pub(super) const SCOPES: Schema = Object(&[BLOCK_NUM, COVERAGE, &[always("scopes", TEXTS)]]);
const LINK: Schema = Object(&[&[always("contract", Text), always("action", Text), always("permission_name", Text)]]);
pub(super) const LINKS: Schema = Object(&[HEIGHT, COVERAGE, &[always("linked_permissions", List(&LINK))]]);

const TOKEN_FIELDS: &[Field] = &[
    always("contract", Text),
    always("symbol", Text),
    always("precision", Integer),
    always("issuer", Text),
    always("supply", Text),
    always("max_supply", Text),
    always("holders", Integer),
];
const TOKEN: Schema = Named("Token", &Object(&[TOKEN_FIELDS]));
const HOLDER: Schema = Object(&[&[always("account", Text), always("balance", Text), maybe("staked", Text)]]);
const BALANCE: Schema =
    Object(&[&[always("contract", Text), always("symbol", Text), always("balance", Text), maybe("staked", Text)]]);
pub(super) const TOKENS: Schema = Object(&[HEIGHT, COVERAGE, &[always("tokens", List(&TOKEN))], CURSOR]);
pub(super) const HOLDERS: Schema =
    Object(&[HEIGHT, COVERAGE, TOKEN_FIELDS, &[always("accounts", List(&HOLDER))], CURSOR]);
pub(super) const BALANCES: Schema =
    Object(&[HEIGHT, COVERAGE, &[always("account", Text), always("balances", List(&BALANCE))], CURSOR]);

const BLOCK_FIELDS: &[Field] = &[
    always("id", Text),
    always("block_num", Integer),
    always("irreversible", Flag),
    always("header", ANY_OBJECT),
    always("active_schedule", ANY_OBJECT),
    always("transaction_count", Integer),
    always("dpos_lib_num", Integer),
];
const SIBLING: Schema = Object(&[BLOCK_FIELDS]);
pub(super) const BLOCK: Schema =
    Named("Block", &Object(&[BLOCK_FIELDS, &[always("sibling_blocks", Nullable(&List(&SIBLING)))]]));
pub(super) const BLOCKS: Schema = List(&BLOCK);
const BLOCK_AT: Schema = Object(&[&[always("id", Text), always("num", Integer), always("time", Text)]]);
pub(super) const BLOCK_BY_TIME: Schema = Object(&[&[always("block", BLOCK_AT)]]);

pub(super) const LIFECYCLE: Schema = Named(
    "TransactionLifecycle",
    &Object(&[&[
        always(
            "transaction_status",
            Choice(&["pending", "delayed", "canceled", "expired", "executed", "soft_fail", "hard_fail", "unknown"]),
        ),
        always("id", Text),
        always("transaction", ANY_OBJECT_OR_NULL),
        always("execution_trace", ANY_OBJECT_OR_NULL),
        always("execution_block_header", ANY_OBJECT_OR_NULL),
        always("dtrxops", Nullable(&List(&ANY_OBJECT))),
        always("creation_tree", Nullable(&List(&List(&Integer)))),
        always("dbops", Nullable(&List(&ANY_OBJECT))),
        always("ramops", Nullable(&List(&ANY_OBJECT))),
        always("tableops", Nullable(&List(&ANY_OBJECT))),
        always("pub_keys", Nullable(&TEXTS)),
        always("created_by", ANY_OBJECT_OR_NULL),
        always("canceled_by", ANY_OBJECT_OR_NULL),
        always("execution_irreversible", Flag),
    ]]),
);
pub(super) const LIFECYCLES: Schema = Object(&[CURSOR, &[always("transactions", List(&LIFECYCLE))]]);

/// Blocks that are missing.
const HOLES: Schema = List(&Object(&[&[always("from_block", Integer), always("to_block", Integer)]]));
const RANGE: Schema = Object(&[&[
    always("from_block", Nullable(&Integer)),
    always("to_block", Nullable(&Integer)),
    always("complete", Flag),
    maybe("holes", HOLES),
]]);
const APPLIED_FILTER: Schema = Object(&[&[
    always("from_block", Integer),
    maybe("include", Text),
    maybe("exclude", Text),
    maybe("system", Text),
    maybe("state", Text),
]]);
const BLOCK_OR_NULL: Schema = Nullable(&Object(&[&[always("num", Integer), always("id", Text)]]));
pub(super) const COVERED: Schema = Object(&[&[
    always("head", BLOCK_OR_NULL),
    always("lib", BLOCK_OR_NULL),
    always("blocks", Object(&[&[always("from_block", Integer), always("to_block", Integer), always("holes", HOLES)]])),
    maybe("of_state_history", Object(&[&[always("from_block", Integer), always("to_block", Integer)]])),
    always("state", Object(&[&[always("from_block", Integer), always("complete", Flag)]])),
    maybe("filters", List(&APPLIED_FILTER)),
]]);
const TERM: Schema = Object(&[&[always("field", Text), always("values", TEXTS)]]);
const EXPLANATION: Schema = Object(&[&[
    always("query", Text),
    always("terms", List(&TERM)),
    always("work", Integer),
    always("blocks_read", Integer),
    always("search_ms", Number),
]]);
const FOUND: Schema =
    Object(&[&[always("lifecycle", LIFECYCLE), always("action_idx", List(&Integer)), maybe("undo", Flag)]]);
/// Whether actions are left out by filters of blocks, or by those of what is indexed.
const FILTERED: Field = maybe("filtered", Flag);
/// What an answer may lack since the source of its blocks did not tell it.
const DETAILS: Field = maybe(
    "details",
    List(&Object(&[&[
        always("reason", Choice(&["state_history"])),
        always("fields", TEXTS),
        always("from_block", Integer),
        always("to_block", Integer),
        always("message", Text),
    ]])),
);
pub(super) const FOUND_PAGE: Schema = Object(&[
    CURSOR,
    COVERAGE,
    &[
        always("transactions", List(&FOUND)),
        maybe("forked_head_warning", Flag),
        FILTERED,
        DETAILS,
        always("range", RANGE),
        maybe("explain", EXPLANATION),
    ],
]);
pub(super) const COUNTED: Schema = Object(&[
    COVERAGE,
    &[always("actions", Integer), always("transactions", Integer), FILTERED, DETAILS, always("range", RANGE)],
]);
const SUGGESTION: Schema = Object(&[&[always("label", Text), always("key", Text), maybe("summary", Text)]]);
const SECTION: Schema = Object(&[&[always("id", Text), always("suggestions", List(&SUGGESTION))]]);
pub(super) const COMPLETION: Schema = List(&SECTION);
pub(super) const NAMED: Schema =
    Object(&[&[always("type", Choice(&["block", "transaction", "account"])), always("data", ANY_OBJECT)]]);

pub(super) const ISSUED: Schema = Object(&[&[always("token", Text), always("expires_at", Integer)]]);
pub(super) const KEY_SET: Schema = Object(&[&[always("keys", List(&ANY_OBJECT))]]);
