//! JSON values to bytes.

use serde_json::{Map, Value};

use super::{
    builtin::mismatch,
    decode::{ROOT_DEPTH, after_extension, check_depth},
    resolve::{AbiSerializer, AbiType, Node, NodeId, Struct},
};
use crate::{
    Error, Result,
    error::shorten,
    raw::{MAX_ITEMS, Writer},
};

impl AbiType<'_> {
    /// The bytes of a JSON value, which must not be more than `limit`.
    ///
    /// What nodeos takes and renders is accepted: a struct as an object, whose other keys are ignored, or (without a base)
    /// as an array of its fields in order; a variant as `["type", value]`; numbers as numbers or strings. An absent key
    /// stands for an optional value that is absent, or for a binary extension if it is at the very end.
    ///
    /// The error says where in the value it is: `transfer.quantity: invalid asset: ...`.
    pub fn encode(&self, value: &Value, limit: usize) -> Result<Vec<u8>> {
        let mut encoder = Encoder { abi: self.abi, writer: Writer::new(), limit };
        match encoder.value(self.node, value, ROOT_DEPTH, true).and_then(|()| encoder.check_limit()) {
            Ok(()) => Ok(encoder.writer.bytes),
            Err(error) => Err(error.within(&shorten(&self.name()))),
        }
    }
}

struct Encoder<'a> {
    abi: &'a AbiSerializer,
    writer: Writer,
    limit: usize,
}

impl Encoder<'_> {
    /// `at_end`: no value follows this one, so that binary extensions at its end may be left out.
    fn value(&mut self, id: NodeId, value: &Value, depth: usize, at_end: bool) -> Result<()> {
        check_depth(depth)?;
        self.check_limit()?;
        match self.abi.node(id) {
            Node::Builtin(builtin) => builtin.encode(value, &mut self.writer),
            Node::Struct(index) => {
                let definition = &self.abi.structs[index as usize];
                match value {
                    Value::Object(object) => self.object(definition, object, depth, at_end),
                    Value::Array(values) => self.fields_in_order(definition, values, depth, at_end),
                    _ => Err(mismatch(value, "struct", "an object")),
                }
            }
            Node::Array(item) => {
                let items = array(value)?;
                if items.len() > MAX_ITEMS {
                    return Err(Error::Limit { what: "array", limit: MAX_ITEMS });
                }
                self.writer.count(items.len());
                self.items(item, items, depth)
            }
            Node::FixedArray(item, count) => match array(value)? {
                items if items.len() == count as usize => self.items(item, items, depth),
                items => Err(Error::invalid("array", format!("{count} items wanted, not {}", items.len()))),
            },
            Node::Optional(item) => {
                self.writer.bool(!value.is_null());
                if value.is_null() { Ok(()) } else { self.value(item, value, depth + 1, at_end) }
            }
            Node::Variant(index) => {
                let Some([Value::String(name), value]) = value.as_array().map(Vec::as_slice) else {
                    return Err(mismatch(value, "variant", "[\"type\", value]"));
                };
                let variant = &self.abi.variants[index as usize];
                let Some(tag) = variant.find(name) else {
                    return Err(Error::invalid("variant", format!("\"{}\" is none of its types", shorten(name))));
                };
                self.writer.count(tag);
                self.value(variant.alternatives[tag].node, value, depth + 1, at_end)
            }
            Node::Fault(index) => Err(self.abi.fault(index)),
        }
    }

    fn items(&mut self, item: NodeId, items: &[Value], depth: usize) -> Result<()> {
        for (index, value) in items.iter().enumerate() {
            self.value(item, value, depth + 1, false).map_err(|error| error.within(&format!("[{index}]")))?;
        }
        Ok(())
    }

    fn object(&mut self, definition: &Struct, object: &Map<String, Value>, depth: usize, at_end: bool) -> Result<()> {
        check_depth(depth)?;
        if let Some(base) = definition.base {
            self.object(self.abi.base(base)?, object, depth + 1, false)?;
        }
        let mut left_out = false;
        for (index, field) in definition.fields.iter().enumerate() {
            self.check_limit()?;
            let value = object.get(&*field.name);
            let optional = !field.extension && matches!(self.abi.node(field.node), Node::Optional(_));
            match value {
                None if field.extension && at_end => left_out = true,
                _ if left_out && !field.extension => return Err(after_extension(&field.name)),
                Some(_) if left_out => {
                    let why = "an extension before it is absent";
                    return Err(Error::invalid("field", why).within_field(&field.name));
                }
                None if !optional => return Err(Error::invalid("field", "missing").within_field(&field.name)),
                _ => {
                    let last = index + 1 == definition.fields.len();
                    self.value(field.node, value.unwrap_or(&Value::Null), depth + 1, at_end && last)
                        .map_err(|error| error.within_field(&field.name))?;
                }
            }
        }
        Ok(())
    }

    fn fields_in_order(&mut self, definition: &Struct, values: &[Value], depth: usize, at_end: bool) -> Result<()> {
        if definition.base.is_some() {
            return Err(Error::invalid("struct", "an array cannot stand for a struct with a base"));
        }
        for (index, field) in definition.fields.iter().enumerate() {
            match values.get(index) {
                Some(value) => {
                    let last = index + 1 == definition.fields.len();
                    self.value(field.node, value, depth + 1, at_end && last)
                        .map_err(|error| error.within_field(&field.name))?;
                }
                None if field.extension && at_end => break,
                None => return Err(Error::invalid("field", "missing").within_field(&field.name)),
            }
        }
        Ok(())
    }

    fn check_limit(&self) -> Result<()> {
        if self.writer.bytes.len() > self.limit {
            return Err(Error::Limit { what: "ABI value", limit: self.limit });
        }
        Ok(())
    }
}

fn array(value: &Value) -> Result<&[Value]> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| mismatch(value, "array", "an array"))
}
