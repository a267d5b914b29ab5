//! JSON text, written front to back into one buffer.

use dfuse_antelope::{BlockTimestamp, Checksum256, Name, TimePoint, TimePointSec, json};

/// Appends JSON text and puts commas where they belong: before everything that follows a value.
#[derive(Debug)]
pub struct JsonWriter<'o> {
    pub(crate) text: &'o mut Vec<u8>,
}

impl<'o> JsonWriter<'o> {
    /// Appends to `text`.
    pub fn new(text: &'o mut Vec<u8>) -> Self {
        Self { text }
    }

    /// Bytes of text by now, those that were there before included.
    pub fn written(&self) -> usize {
        self.text.len()
    }

    /// A value or key comes next. No value ends with one of these, so that the last byte tells where we are.
    fn separate(&mut self) {
        if !matches!(self.text.last(), None | Some(b'{' | b'[' | b':' | b',')) {
            self.text.push(b',');
        }
    }

    /// The key of the value that comes next; plain ASCII.
    pub fn key(&mut self, key: &'static str) -> &mut Self {
        self.separate();
        self.text.push(b'"');
        self.text.extend_from_slice(key.as_bytes());
        self.text.extend_from_slice(b"\":");
        self
    }

    /// `{`, before keys.
    pub fn begin_object(&mut self) {
        self.separate();
        self.text.push(b'{');
    }

    /// `}`
    pub fn end_object(&mut self) {
        self.text.push(b'}');
    }

    /// `[`, before items.
    pub fn begin_array(&mut self) {
        self.separate();
        self.text.push(b'[');
    }

    /// `]`
    pub fn end_array(&mut self) {
        self.text.push(b']');
    }

    /// All items, each written by `item`.
    pub fn array<T>(&mut self, items: impl IntoIterator<Item = T>, mut item: impl FnMut(&mut Self, T)) {
        self.begin_array();
        for value in items {
            item(self, value);
        }
        self.end_array();
    }

    /// As [`JsonWriter::array`], `null` if there are no items.
    pub fn array_or_null<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        match items {
            [] => self.null(),
            _ => self.array(items, &mut item),
        }
    }

    /// `null`
    pub fn null(&mut self) {
        self.raw(b"null");
    }

    /// `true` or `false`
    pub fn boolean(&mut self, value: bool) {
        self.raw(if value { b"true" } else { b"false" });
    }

    /// A number, whatever its size.
    pub fn unsigned(&mut self, value: impl Into<u64>) {
        self.separate();
        json::write_unsigned(self.text, value.into());
    }

    /// A number, whatever its size.
    pub fn signed(&mut self, value: impl Into<i64>) {
        self.separate();
        json::write_signed(self.text, value.into());
    }

    /// A number up to 2^32 - 1, text beyond.
    pub fn u64(&mut self, value: u64) {
        self.separate();
        json::write_u64(self.text, value);
    }

    /// A number up to 2^32 - 1 either way, text beyond.
    pub fn i64(&mut self, value: i64) {
        self.separate();
        json::write_i64(self.text, value);
    }

    /// Text, escaped.
    pub fn string(&mut self, value: &str) {
        self.separate();
        json::write_string(self.text, value.as_bytes(), "");
    }

    /// What `text` writes, in quotes; it must need no escaping.
    pub fn quoted(&mut self, text: impl FnOnce(&mut Vec<u8>)) {
        self.separate();
        json::write_quoted(self.text, text);
    }

    /// Lower-case hex, in quotes.
    pub fn hex(&mut self, bytes: &[u8]) {
        self.quoted(|text| json::write_hex(text, bytes));
    }

    /// Lower-case hex, in quotes.
    pub fn checksum(&mut self, checksum: Checksum256) {
        self.hex(&checksum.0);
    }

    /// A name as text.
    pub fn name(&mut self, name: Name) {
        self.quoted(|text| text.extend_from_slice(name.as_ascii(&mut [0; 13])));
    }

    /// Names with slashes between.
    pub fn path<const N: usize>(&mut self, names: [Name; N]) {
        self.quoted(|text| {
            for (at, name) in names.into_iter().enumerate() {
                if at > 0 {
                    text.push(b'/');
                }
                text.extend_from_slice(name.as_ascii(&mut [0; 13]));
            }
        });
    }

    /// `2019-05-14T19:56:14`, or with `.500`.
    pub fn block_time(&mut self, time: BlockTimestamp) {
        self.quoted(|text| {
            time.write_to(text);
            if text.ends_with(b".000") {
                text.truncate(text.len() - 4);
            }
        });
    }

    /// `2019-05-14T19:56:14`.
    pub fn seconds(&mut self, time: TimePointSec) {
        self.quoted(|text| time.write_to(text));
    }

    /// `2019-05-14T19:56:14`, without the fraction.
    pub fn whole_seconds(&mut self, time: TimePoint) {
        self.quoted(|text| {
            time.write_to(text);
            text.truncate(text.len() - 4);
        });
    }

    /// Text that is a JSON value.
    pub fn raw(&mut self, value: &[u8]) {
        self.separate();
        self.text.extend_from_slice(value);
    }

    /// A key, and a JSON value that `write` appends. If that fails, neither is there.
    pub fn try_value<E>(
        &mut self,
        key: &'static str,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.text.len();
        self.key(key);
        write(self.text).inspect_err(|_| self.text.truncate(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_are_between_values() {
        let mut text = Vec::new();
        let mut json = JsonWriter { text: &mut text };
        json.begin_array();
        json.begin_object();
        json.key("a").null();
        json.key("b").array([1u32, 2], JsonWriter::unsigned);
        let refused = json.try_value("c", |text| {
            text.push(b'{');
            Err("no")
        });
        assert_eq!(refused, Err("no"));
        json.key("d").string("[");
        json.end_object();
        json.array_or_null(&[0; 0], |_, _| ());
        json.path([Name::literal("a"), Name(0), Name::literal("b")]);
        json.whole_seconds(TimePoint(-1));
        for slot in [0, 1] {
            json.block_time(BlockTimestamp(slot));
        }
        json.i64(-4_294_967_296);
        json.signed(i64::MIN);
        json.end_array();
        let wanted = r#"[{"a":null,"b":[1,2],"d":"["},null,"a//b","1969-12-31T23:59:59","2000-01-01T00:00:00","2000-01-01T00:00:00.500","-4294967296",-9223372036854775808]"#;
        assert_eq!(String::from_utf8(text).unwrap(), wanted);
    }
}
