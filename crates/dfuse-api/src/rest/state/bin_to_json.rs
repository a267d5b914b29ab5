//! `/v0/state/abi/bin_to_json`: rows that the client has as bytes become JSON. All of them or none, so that they are decoded to
//! see that they can be before the first is sent; what is longer than a slice is decoded again then, and never in memory as a
//! whole.

use std::fmt;

use axum::response::Response;
use dfuse_http::Room;
use dfuse_index::ServingSnapshot;
use dfuse_query::{
    ApiError, ApiResult, ErrorCode, Reading,
    state::{self, AskedHeight},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, SeqAccess, Visitor},
};

use super::height;
use crate::{
    Api, JsonBody, Params,
    params::rules::{Field, Problems, hex, name},
    streamed::{self, Pieces, SLICE_BYTES},
};
use dfuse_render::{JsonWriter, RenderedRow, RowRenderer};

/// Most text that is answered; an ABI can make a great deal of a few bytes.
const MAX_JSON: usize = 64 << 20;
/// Rows of which the JSON is kept, at most.
const MAX_KEPT: usize = 4096;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    table: Option<String>,
    #[serde(default)]
    hex_rows: Option<HexRows>,
    #[serde(default)]
    block_num: Option<u128>,
}

/// Rows in hex, one after the other: there may be millions in a body.
#[derive(Debug, Default)]
struct HexRows {
    text: String,
    ends: Vec<usize>,
    /// What is wrong with the first that is.
    problems: Option<Problems>,
}

impl HexRows {
    fn push(&mut self, row: &str) {
        let row = row.trim();
        if self.problems.is_some() {
            return;
        }
        // The bytes are of no use yet.
        let is_hex = !row.is_empty() && row.len().is_multiple_of(2) && row.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex {
            let name = format!("hex_rows[{}]", self.ends.len());
            let problems = hex(&Field { name: &name, text: row }).err().unwrap_or_default();
            self.problems = Some(problems.into_iter().map(|problem| format!("{name} {problem}")).collect());
            return;
        }
        self.text.push_str(row);
        self.ends.push(self.text.len());
    }

    fn get(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start..end)
    }

    /// All right, and at least one.
    fn check(self) -> Result<Self, Problems> {
        match self.problems {
            Some(problems) => Err(problems),
            None if self.ends.is_empty() => {
                Err(vec!["is required".to_owned(), "must have at least 1 element".to_owned()])
            }
            None => Ok(self),
        }
    }
}

impl<'de> Deserialize<'de> for HexRows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = HexRows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<HexRows, A::Error> {
                let mut rows = HexRows::default();
                while elements.next_element_seed(Element(&mut rows))?.is_some() {}
                Ok(rows)
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// The next row.
struct Element<'a>(&'a mut HexRows);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, row: &str) -> Result<(), E> {
        self.0.push(row);
        Ok(())
    }
}

pub(super) async fn post(api: Api, JsonBody { value, room, mut params }: JsonBody<Request>) -> ApiResult<Response> {
    for (name, value) in [("account", &value.account), ("table", &value.table)] {
        if let Some(value) = value {
            params.insert(name, value);
        }
    }
    let account = params.required("account", name);
    let table = params.required("table", name);
    let rows = params.custom("hex_rows", value.hex_rows.unwrap_or_default().check());
    let (account, table, rows) = params.finish((account, table, rows))?;
    let asked = AskedHeight { block_num: value.block_num.unwrap_or(0), irreversible_only: false };
    let mut given = Some((rows, room));
    streamed::answer(&api, move |read, json| {
        let abi = state::abi(read, account, asked)?;
        let (rows, room) = given.take().ok_or_else(|| ApiError::unexpected("rows were decoded before"))?;
        let mut decoded = Decoded {
            rows,
            renderer: state::row_renderer(read, &abi, table)?,
            next: 0,
            bytes: Vec::new(),
            _room: room,
        };
        let text = decoded.check(read.reading())?;
        json.begin_object();
        json.key("block_num").unsigned(abi.record.block_number);
        json.key("account").name(account);
        json.key("table").name(table);
        height::write_coverage(json, abi.height.state_start(), true);
        json.key("rows").begin_array();
        for row in text.iter().flatten() {
            json.raw(row);
            decoded.next += 1;
        }
        Ok(decoded)
    })
    .await
}

/// Rows that are decoded as they are sent.
struct Decoded {
    rows: HexRows,
    renderer: RowRenderer,
    next: usize,
    /// Of the row at work.
    bytes: Vec<u8>,
    _room: Room,
}

impl Decoded {
    /// The JSON of all rows, if it is short.
    fn check(&mut self, reading: &Reading) -> ApiResult<Option<Vec<Vec<u8>>>> {
        let (mut kept, mut length) = (Some(Vec::new()), 0);
        for at in 0..self.rows.ends.len() {
            reading.go_on()?;
            let row = self.row(at)?;
            length += row.len() + 1;
            if length > MAX_JSON {
                return Err(too_long());
            }
            if length > SLICE_BYTES || at >= MAX_KEPT {
                kept = None;
            }
            if let Some(kept) = &mut kept {
                kept.push(row);
            }
        }
        Ok(kept)
    }

    fn row(&mut self, at: usize) -> ApiResult<Vec<u8>> {
        let hex = self.rows.get(at).unwrap_or_default();
        self.bytes.resize(hex.len() / 2, 0);
        const_hex::decode_to_slice(hex, &mut self.bytes).map_err(ApiError::unexpected)?;
        match self.renderer.render(&self.bytes) {
            RenderedRow::Json(row) => Ok(row),
            RenderedRow::Hex { error, .. } => {
                let message = format!("A row does not decode: {error}.");
                Err(ApiError::new(ErrorCode::TableRowNotDecoded, message).detail("data", hex))
            }
        }
    }
}

impl Pieces for Decoded {
    fn next(&mut self, json: &mut JsonWriter<'_>) -> ApiResult<bool> {
        if self.next == self.rows.ends.len() {
            json.end_array();
            json.end_object();
            return Ok(false);
        }
        json.raw(&self.row(self.next)?);
        self.next += 1;
        Ok(true)
    }

    /// They are of no snapshot.
    fn renew(&mut self, _: &ServingSnapshot) -> ApiResult<()> {
        Ok(())
    }
}

fn too_long() -> ApiError {
    let problem = format!("must stand for at most {} MiB of JSON: send less rows", MAX_JSON >> 20);
    let mut params = Params::default();
    let too_many = params.custom::<()>("hex_rows", Err(vec![problem]));
    params.finish(too_many).expect_err("it is wrong")
}
