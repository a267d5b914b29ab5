//! Rows of an answer, one after the other, into the file of their table.

use std::{
    fmt,
    io::{Read, Write},
};

use anyhow::Context;
use dfuse_antelope::Name;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::migration::{Hex, Row};

/// A row as the API answers it.
#[derive(Deserialize)]
struct Answered {
    key: String,
    payer: Name,
    hex: Hex,
}

/// Writes the rows of an answer as lines. Returns how many there are.
pub(super) fn copy(answer: &mut dyn Read, scope: Name, out: &mut impl Write) -> anyhow::Result<u64> {
    let mut copied = Copied { scope, out, rows: 0, failed: None };
    let parsed = serde_json::Deserializer::from_reader(answer).deserialize_map(Members(&mut copied));
    match (copied.failed, parsed) {
        (Some(failed), _) => Err(failed),
        (None, parsed) => parsed.map(|()| copied.rows).context("an answer that is not JSON"),
    }
}

struct Copied<'a, W> {
    scope: Name,
    out: &'a mut W,
    rows: u64,
    failed: Option<anyhow::Error>,
}

impl<W: Write> Copied<'_, W> {
    fn add(&mut self, row: Answered) -> anyhow::Result<()> {
        let key = row.key.parse().with_context(|| format!("a key \"{}\" that is not a number", row.key))?;
        let row = Row { scope: self.scope, key, payer: row.payer, hex: row.hex };
        serde_json::to_writer(&mut *self.out, &row)?;
        self.out.write_all(b"\n")?;
        self.rows += 1;
        Ok(())
    }
}

/// The answer, an object; only its rows are of interest.
struct Members<'a, 'b, W>(&'a mut Copied<'b, W>);

impl<'de, W: Write> Visitor<'de> for Members<'_, '_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with rows")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "rows" {
                map.next_value_seed(Rows(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The list of rows.
struct Rows<'a, 'b, W>(&'a mut Copied<'b, W>);

impl<'de, W: Write> DeserializeSeed<'de> for Rows<'_, '_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, W: Write> Visitor<'de> for Rows<'_, '_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element()? {
            if let Err(error) = self.0.add(row) {
                let told = serde::de::Error::custom(&error);
                self.0.failed = Some(error);
                return Err(told);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_lines() {
        let answer =
            r#"{"a":[1],"rows":[{"key":"5","payer":"p","hex":"00"},{"key":"6","payer":"q","hex":""}],"z":null}"#;
        let mut out = Vec::new();
        assert_eq!(copy(&mut answer.as_bytes(), Name::literal("s"), &mut out).unwrap(), 2);
        let lines = "{\"scope\":\"s\",\"key\":\"5\",\"payer\":\"p\",\"hex\":\"00\"}\n\
                     {\"scope\":\"s\",\"key\":\"6\",\"payer\":\"q\",\"hex\":\"\"}\n";
        assert_eq!(String::from_utf8(out).unwrap(), lines);
        assert!(copy(&mut &answer.as_bytes()[..40], Name(0), &mut Vec::new()).is_err());
        let named = answer.replace("\"5\"", "\"alice\"");
        let error = copy(&mut named.as_bytes(), Name(0), &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("\"alice\""), "{error}");
    }
}
