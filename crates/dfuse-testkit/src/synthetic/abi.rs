//! Packed ABIs of the synthetic contracts.

use dfuse_antelope::{Name, raw::Writer};

/// Types by their text: `name` and `fields` as `field:type` separated by spaces.
struct Source {
    version: &'static str,
    aliases: &'static [(&'static str, &'static str)],
    structs: &'static [(&'static str, &'static str)],
    /// Actions whose type has their own name.
    actions: &'static [&'static str],
    /// Table and row type.
    tables: &'static [(&'static str, &'static str)],
    /// Action and type of its return value.
    results: &'static [(&'static str, &'static str)],
}

fn pack(source: &Source) -> Vec<u8> {
    let mut w = Writer::new();
    let text = |w: &mut Writer, text: &str| w.blob(text.as_bytes());
    let name = |w: &mut Writer, text: &str| w.name(text.parse::<Name>().expect("a name"));
    text(&mut w, source.version);
    w.list(source.aliases, |w, (alias, of)| {
        text(w, alias);
        text(w, of);
    });
    w.list(source.structs, |w, (title, fields)| {
        text(w, title);
        text(w, "");
        let fields: Vec<_> = fields.split_whitespace().map(|field| field.split_once(':').expect("a type")).collect();
        w.list(&fields, |w, (field, of)| {
            text(w, field);
            text(w, of);
        });
    });
    w.list(source.actions, |w, action| {
        name(w, action);
        text(w, action);
        text(w, "");
    });
    w.list(source.tables, |w, (table, row)| {
        name(w, table);
        text(w, "i64");
        w.count(0);
        w.count(0);
        text(w, row);
    });
    w.count(0); // ricardian clauses
    w.count(0); // error messages
    w.count(0); // extensions
    if !source.version.ends_with("1.0") {
        w.count(0); // variants
        w.list(source.results, |w, (action, of)| {
            name(w, action);
            text(w, of);
        });
    }
    w.bytes
}

const SYSTEM_TYPES: &[(&str, &str)] = &[
    ("account_name", "name"),
    ("permission_name", "name"),
    ("action_name", "name"),
    ("weight_type", "uint16"),
    ("block_id_type", "checksum256"),
    ("transaction_id_type", "checksum256"),
];

macro_rules! native_structs {
    ($($more:expr),*) => {
        &[
            ("permission_level", "actor:account_name permission:permission_name"),
            ("key_weight", "key:public_key weight:weight_type"),
            ("permission_level_weight", "permission:permission_level weight:weight_type"),
            ("wait_weight", "wait_sec:uint32 weight:weight_type"),
            ("authority", "threshold:uint32 keys:key_weight[] accounts:permission_level_weight[] waits:wait_weight[]"),
            ("producer_key", "producer_name:name block_signing_key:public_key"),
            ("producer_schedule", "version:uint32 producers:producer_key[]"),
            ("extension", "type:uint16 data:bytes"),
            (
                "block_header",
                "timestamp:uint32 producer:account_name confirmed:uint16 previous:block_id_type \
                 transaction_mroot:checksum256 action_mroot:checksum256 schedule_version:uint32 \
                 new_producers:producer_schedule? header_extensions:extension[]",
            ),
            ("newaccount", "creator:account_name name:account_name owner:authority active:authority"),
            ("setcode", "account:account_name vmtype:uint8 vmversion:uint8 code:bytes"),
            ("setabi", "account:account_name abi:bytes"),
            ("updateauth", "account:account_name permission:permission_name parent:permission_name auth:authority"),
            ("deleteauth", "account:account_name permission:permission_name"),
            ("linkauth", "account:account_name code:account_name type:action_name requirement:permission_name"),
            ("unlinkauth", "account:account_name code:account_name type:action_name"),
            ("canceldelay", "canceling_auth:permission_level trx_id:transaction_id_type"),
            ("onerror", "sender_id:uint128 sent_trx:bytes"),
            ("onblock", "header:block_header"),
            $($more),*
        ]
    };
}

/// What every node has built in for `eosio`, and dumps when it starts.
pub(crate) fn native() -> Vec<u8> {
    pack(&Source {
        version: "eosio::abi/1.0",
        aliases: SYSTEM_TYPES,
        structs: native_structs!(),
        actions: &[
            "newaccount",
            "setcode",
            "setabi",
            "updateauth",
            "deleteauth",
            "linkauth",
            "unlinkauth",
            "canceldelay",
            "onerror",
            "onblock",
        ],
        tables: &[],
        results: &[],
    })
}

/// The system contract's, which adds privileged actions.
pub(crate) fn system() -> Vec<u8> {
    pack(&Source {
        version: "eosio::abi/1.1",
        aliases: SYSTEM_TYPES,
        structs: native_structs!(
            ("setalimits", "account:name ram_bytes:int64 net_weight:int64 cpu_weight:int64"),
            ("setprods", "schedule:producer_key[]"),
            ("activate", "feature_digest:checksum256")
        ),
        actions: &[
            "newaccount",
            "setcode",
            "setabi",
            "updateauth",
            "deleteauth",
            "linkauth",
            "unlinkauth",
            "canceldelay",
            "onerror",
            "onblock",
            "setalimits",
            "setprods",
            "activate",
        ],
        tables: &[],
        results: &[],
    })
}

/// The token contract's. The second version names the memo `note` and knows `retire`.
pub(crate) fn token(version: u32) -> Vec<u8> {
    const TABLES: &[(&str, &str)] = &[("accounts", "account"), ("stat", "currency_stats")];
    macro_rules! structs {
        ($($more:expr),*) => {
            &[
                ("account", "balance:asset"),
                ("currency_stats", "supply:asset max_supply:asset issuer:name"),
                ("create", "issuer:name maximum_supply:asset"),
                ("open", "owner:name symbol:symbol ram_payer:name"),
                ("close", "owner:name symbol:symbol"),
                $($more),*
            ]
        };
    }
    pack(&match version {
        1 => Source {
            version: "eosio::abi/1.1",
            aliases: &[],
            structs: structs!(
                ("issue", "to:name quantity:asset memo:string"),
                ("transfer", "from:name to:name quantity:asset memo:string")
            ),
            actions: &["create", "issue", "transfer", "open", "close"],
            tables: TABLES,
            results: &[],
        },
        _ => Source {
            version: "eosio::abi/1.2",
            aliases: &[("text", "string")],
            structs: structs!(
                ("issue", "to:name quantity:asset note:text"),
                ("transfer", "from:name to:name quantity:asset note:text"),
                ("retire", "quantity:asset note:text")
            ),
            actions: &["create", "issue", "transfer", "open", "close", "retire"],
            tables: TABLES,
            results: &[],
        },
    })
}

/// The app contract's. Rows of `items` gain `extra` in the second version, and `value` is called `score`.
pub(crate) fn app(version: u32) -> Vec<u8> {
    const ACTIONS: &[&str] = &[
        "put", "del", "give", "count", "blob", "ping", "pong", "event", "later", "drop", "boom", "value", "log",
        "kvset", "kvdel",
    ];
    const TABLES: &[(&str, &str)] = &[("items", "item"), ("counters", "counter"), ("blobs", "blob_row")];
    macro_rules! structs {
        ($($more:expr),*) => {
            &[
                ("counter", "id:uint64 count:uint64"),
                ("blob_row", "data:uint8[]$"),
                ("del", "scope:name id:uint64"),
                ("give", "scope:name id:uint64 payer:name"),
                ("count", "scope:uint64 id:uint64"),
                ("blob", "scope:name id:uint64 data:bytes"),
                ("ping", "from:name depth:uint8 width:uint8"),
                ("pong", "from:name depth:uint8 width:uint8"),
                ("event", "number:uint32"),
                ("later", "payer:name sender_id:uint64 delay:uint32 mode:uint8"),
                ("drop", "sender_id:uint64"),
                ("boom", "mode:uint8"),
                ("value", "from:name"),
                ("log", "text:string"),
                ("kvset", "payer:name key:bytes value:bytes"),
                ("kvdel", "key:bytes"),
                $($more),*
            ]
        };
    }
    pack(&match version {
        1 => Source {
            version: "eosio::abi/1.2",
            aliases: &[],
            structs: structs!(
                ("item", "id:uint64 owner:name value:uint64 note:string"),
                ("put", "scope:name id:uint64 payer:name value:uint64 note:string")
            ),
            actions: ACTIONS,
            tables: TABLES,
            results: &[("value", "uint64")],
        },
        _ => Source {
            version: "eosio::abi/1.2",
            aliases: &[("score_type", "uint64")],
            structs: structs!(
                ("item", "id:uint64 owner:name score:score_type note:string extra:uint32$"),
                ("put", "scope:name id:uint64 payer:name score:score_type note:string")
            ),
            actions: ACTIONS,
            tables: TABLES,
            results: &[("value", "uint64")],
        },
    })
}
