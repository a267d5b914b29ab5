//! `fc::variant`, the node's own tagged values, as JSON. They occur in the stack of an exception.

use dfuse_antelope::{Error, Result, raw::Reader};
use serde_json::{Map, Number, Value};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 32;

/// Reads one value: a tag of one byte, then the content.
pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Value> {
    read_at(reader, 0)
}

fn read_at(reader: &mut Reader<'_>, depth: usize) -> Result<Value> {
    if depth > MAX_DEPTH {
        return Err(Error::Limit { what: "nesting of an fc variant", limit: MAX_DEPTH });
    }
    Ok(match reader.u8()? {
        0 => Value::Null,
        1 => reader.i64()?.into(),
        2 => reader.u64()?.into(),
        3 => Number::from_f64(f64::from_le_bytes(reader.array("double")?)).map_or(Value::Null, Value::Number),
        4 => reader.bool()?.into(),
        5 => reader.string("variant string")?.into(),
        6 => Value::Array(reader.list(1, "variant array", |r| read_at(r, depth + 1))?),
        7 => object(reader, depth)?.into(),
        8 => const_hex::encode(reader.blob("variant blob")?).into(),
        other => return Err(Error::invalid("fc variant", format!("unknown tag {other}"))),
    })
}

fn object(reader: &mut Reader<'_>, depth: usize) -> Result<Map<String, Value>> {
    let count = reader.count(2, "variant object")?;
    let mut object = Map::new();
    for _ in 0..count {
        let key = reader.string("variant key")?;
        object.insert(key, read_at(reader, depth + 1)?);
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use dfuse_antelope::raw::Writer;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_tag() {
        let mut writer = Writer::new();
        writer.take(&[7, 6]);
        for (key, value) in [
            ("a", &[0u8][..]),
            ("b", &[4, 1]),
            ("c", &[5, 1, b'x']),
            ("d", &[6, 1, 2, 7, 0, 0, 0, 0, 0, 0, 0]),
            ("e", &[8, 2, 0xab, 0xcd]),
            ("f", &[1, 255, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            writer.blob(key.as_bytes());
            writer.take(value);
        }
        let value = read(&mut Reader::new(&writer.bytes)).unwrap();
        assert_eq!(value, json!({"a": null, "b": true, "c": "x", "d": [7], "e": "abcd", "f": -1}));
        assert!(read(&mut Reader::new(&[9])).is_err());
        assert!(read(&mut Reader::new(&[6, 1].repeat(50))).is_err());
    }
}
