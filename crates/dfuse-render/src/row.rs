//! Rows as JSON.

use std::sync::Arc;

use dfuse_antelope::{
    Name,
    abi::{AbiSerializer, Rendering},
};

/// JSON that a row may become: so much, and so many times its bytes. A few bytes can stand for a great many where an ABI
/// wants them to.
const MAX_JSON: (usize, usize) = (64 << 10, 64);

/// A row for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenderedRow {
    /// JSON text.
    Json(Vec<u8>),
    /// The ABI does not fit.
    Hex {
        /// The bytes, in lower-case digits.
        hex: String,
        /// Which ABI and type, and what is wrong.
        error: String,
    },
}

/// Renders the rows of a table by an ABI, as dfuse's state API does.
#[derive(Debug, Clone)]
pub struct RowRenderer {
    abi: Arc<AbiSerializer>,
    abi_block: u32,
    table: Name,
}

impl RowRenderer {
    /// For the rows of a table of the ABI that was set in that block; fails with [`dfuse_antelope::Error::Unknown`] if the ABI
    /// does not have the table.
    pub fn new(abi: Arc<AbiSerializer>, abi_block: u32, table: Name) -> dfuse_antelope::Result<Self> {
        abi.table(table)?;
        Ok(Self { abi, abi_block, table })
    }

    /// Most bytes of JSON that a row may become: 64 KiB and 64 times its own.
    pub fn max_json(data: &[u8]) -> usize {
        data.len().saturating_mul(MAX_JSON.1).saturating_add(MAX_JSON.0)
    }

    /// The row's JSON, as [`Rendering::Plain`]; hex if the bytes are no row of that type, or if the JSON were out of
    /// proportion to them: see [`RowRenderer::max_json`].
    pub fn render(&self, data: &[u8]) -> RenderedRow {
        let mut json = Vec::new();
        let limit = Self::max_json(data);
        let decoded = self.abi.table(self.table).and_then(|it| it.decode(data, Rendering::Plain, limit, &mut json));
        match decoded {
            Ok(_) => RenderedRow::Json(json),
            Err(error) => RenderedRow::Hex {
                hex: const_hex::encode(data),
                error: format!("not a row of table \"{}\" by the ABI of block {}: {error}", self.table, self.abi_block),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use dfuse_antelope::abi::Abi;

    use super::*;

    #[test]
    fn rows_are_json_or_hex_with_an_error() {
        let abi: Abi = serde_json::from_str(
            r#"{"version": "eosio::abi/1.1",
                "structs": [{"name": "account", "base": "", "fields": [{"name": "balance", "type": "asset"}]},
                            {"name": "empty", "base": "", "fields": []},
                            {"name": "bomb", "base": "", "fields": [{"name": "fuse", "type": "empty[]"}]}],
                "tables": [{"name": "accounts", "index_type": "i64", "type": "account"},
                           {"name": "bombs", "index_type": "i64", "type": "bomb"}]}"#,
        )
        .unwrap();
        let abi = Arc::new(AbiSerializer::new(&abi));
        let renderer = |table: &str| RowRenderer::new(abi.clone(), 7, table.parse().unwrap());
        let accounts = renderer("accounts").unwrap();
        let row = const_hex::decode("aa2c0b010000000004454f5300000000").unwrap();
        assert_eq!(accounts.render(&row), RenderedRow::Json(br#"{"balance":"1750.9546 EOS"}"#.to_vec()));
        let RenderedRow::Hex { hex, error } = accounts.render(&row[..15]) else { panic!() };
        assert_eq!(hex, "aa2c0b010000000004454f53000000");
        assert!(
            error.starts_with("not a row of table \"accounts\" by the ABI of block 7: account.balance: "),
            "{error}"
        );
        // A million empty structs.
        let RenderedRow::Hex { error, .. } = renderer("bombs").unwrap().render(&[0xff, 0xff, 0x3f]) else { panic!() };
        assert!(error.contains("JSON text is over the limit"), "{error}");
        assert!(renderer("other").is_err());
        // Letters that are none, too many decimals, too large an amount. No letters at all are no damage.
        for (row, why) in [
            ("aa2c0b010000000004654f5300000000", "account.balance: invalid symbol code: "),
            ("aa2c0b010000000013454f5300000000", "account.balance: invalid symbol: 19 decimals"),
            ("000000000000004004454f5300000000", "account.balance: invalid asset: the amount 4611686018427387904 "),
        ] {
            let RenderedRow::Hex { hex, error } = accounts.render(&const_hex::decode(row).unwrap()) else {
                panic!("{row}")
            };
            assert_eq!(hex, row);
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(accounts.render(&[0; 16]), RenderedRow::Json(br#"{"balance":"0 "}"#.to_vec()));
    }
}
