//! The types of messages, and what each takes.

use serde_json::{Value, json};

/// A type of messages, as a client asks for it.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Data that it takes, and where nothing is.
    pub(super) data: Value,
    /// Whether it can be asked for what is there now.
    pub(super) fetched: bool,
    /// Whether it can be a stream.
    pub(super) listened: bool,
    /// Whether it is checked at which block it begins.
    pub(super) starts: bool,
    /// Whether it can be what is irreversible only.
    pub(super) irreversible: bool,
    /// Whether it can be what has confirmations.
    pub(super) confirmed: bool,
    /// Texts and flags in its data.
    pub(super) texts: &'static [&'static str],
    pub(super) flags: &'static [&'static str],
    /// What is said without a field of its data.
    pub(super) required: &'static [(&'static str, &'static str)],
    /// Fields of its data with text of the right type that cannot be, and what is said.
    pub(super) odd: Vec<(&'static str, String, String)>,
}

impl Kind {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            data: json!({}),
            fetched: true,
            listened: true,
            starts: false,
            irreversible: false,
            confirmed: true,
            texts: &[],
            flags: &[],
            required: &[],
            odd: Vec::new(),
        }
    }

    /// A good message in the first way that the type offers, with some fields changed.
    pub(super) fn request(&self, changes: &[(&str, Value)]) -> Value {
        let mut request = json!({"type": self.name, "req_id": "r", "data": self.data});
        let listens = changes.iter().any(|(field, value)| *field == "listen" && *value == json!(true));
        match (self.fetched && !listens, self.listened) {
            (true, _) => request["fetch"] = json!(true),
            (false, true) => request["listen"] = json!(true),
            (false, false) => {}
        }
        for (field, value) in changes {
            request[*field] = value.clone();
        }
        request
    }

    /// The same with a field of its data changed; without it, if it is null.
    pub(super) fn with_data(&self, field: &str, value: Value) -> Value {
        let mut data = self.data.clone();
        data[field] = value;
        self.request(&[("data", data)])
    }
}

fn no_name(field: &'static str) -> (&'static str, String, String) {
    (field, "EOS".to_owned(), format!("'data.{field}' has \"EOS\", which is not a name"))
}

fn action_traces(name: &'static str) -> Kind {
    let names = ["accounts", "account", "receivers", "receiver", "action_names", "action_name"];
    let mut odd: Vec<_> = names.into_iter().map(no_name).collect();
    odd.push(("accounts", " | ".to_owned(), "'data.accounts' required".to_owned()));
    Kind {
        data: json!({"accounts": "eosio.token"}),
        fetched: false,
        starts: true,
        irreversible: true,
        texts: &["accounts", "account", "receivers", "receiver", "action_names", "action_name"],
        flags: &[
            "with_inline_traces",
            "with_dbops",
            "with_ramops",
            "with_dtrxops",
            "with_tableops",
            "with_soft_fail",
            "with_undo",
        ],
        required: &[("accounts", "'data.accounts' required")],
        odd,
        ..Kind::new(name)
    }
}

fn lifecycle(name: &'static str) -> Kind {
    let odd = [
        ("abcdef0".to_owned(), "transaction id too short"),
        ("a".repeat(65), "transaction id too long"),
        ("abcdefabc".to_owned(), "transaction id odd length"),
        ("abcdefgh".to_owned(), "transaction id not hexadecimal"),
        ("0xabcdefab".to_owned(), "transaction id not hexadecimal"),
    ];
    Kind {
        data: json!({"id": "ab".repeat(32)}),
        starts: true,
        texts: &["id"],
        required: &[("id", "transaction id too short")],
        odd: odd.map(|(id, reason)| ("id", id, reason.to_owned())).into(),
        ..Kind::new(name)
    }
}

fn table_rows() -> Kind {
    let scope =
        "'data.scope' must be a valid EOS name, a symbol such as 4,EOS or its code, not \"no scope\"".to_owned();
    Kind {
        data: json!({"code": "eosio.token", "scope": "eosio", "table": "accounts"}),
        starts: true,
        texts: &["code", "scope", "table"],
        flags: &["json", "with_block_num"],
        required: &[
            ("code", "'data.code' required"),
            ("scope", "'data.scope' required"),
            ("table", "'data.table' required"),
        ],
        odd: vec![no_name("code"), no_name("table"), ("scope", "no scope".to_owned(), scope)],
        ..Kind::new("get_table_rows")
    }
}

/// All of them; two have a second name.
pub(super) fn kinds() -> Vec<Kind> {
    vec![
        action_traces("get_action_traces"),
        action_traces("get_actions"),
        Kind::new("get_head_info"),
        Kind { irreversible: true, confirmed: false, ..Kind::new("get_price") },
        table_rows(),
        lifecycle("get_transaction_lifecycle"),
        lifecycle("get_transaction"),
        Kind {
            data: json!({"name": "nobody"}),
            listened: false,
            starts: true,
            confirmed: false,
            texts: &["name"],
            required: &[("name", "'data.name' is required")],
            odd: vec![("name", "EOS".to_owned(), "The data.name field must be a valid EOS name".to_owned())],
            ..Kind::new("get_account")
        },
        Kind::new("get_vote_tally"),
        Kind {
            data: json!({"req_id": "none"}),
            fetched: false,
            listened: false,
            // It is about the connection: what else is in the message has no effect.
            irreversible: true,
            texts: &["req_id"],
            required: &[("req_id", "'data.req_id' is required")],
            ..Kind::new("unlisten")
        },
    ]
}
