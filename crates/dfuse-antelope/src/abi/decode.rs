//! Bytes to JSON text, in one pass and without a tree between.

use super::{
    builtin::Builtin,
    rendering::Rendering,
    resolve::{AbiSerializer, AbiType, MAX_DEPTH, Node, NodeId, Struct},
};
use crate::{
    Error, Result,
    error::shorten,
    json,
    raw::{MAX_ITEMS, Reader},
};

/// Depth of the outermost value as nodeos counts it.
pub(super) const ROOT_DEPTH: usize = 3;

impl AbiType<'_> {
    /// Reads one value from the front of `data` and appends its JSON text to `out`. Gives the number of bytes read; what
    /// follows them is left alone, as nodeos does.
    ///
    /// `limit` is the most bytes of JSON to write: a few bytes can stand for a great many (arrays of empty structs, long
    /// field names). A single value at the end may pass it by at most six bytes for each byte of `data` before it is refused.
    ///
    /// On error `out` is as it was, and the error says where in the value it is, such as `transfer.quantity`.
    pub fn decode(&self, data: &[u8], rendering: Rendering, limit: usize, out: &mut Vec<u8>) -> Result<usize> {
        let start = out.len();
        let end = start.saturating_add(limit);
        let mut decoder = Decoder { abi: self.abi, reader: Reader::new(data), rendering, limit, end, out };
        match decoder.value(self.node, ROOT_DEPTH).and_then(|()| decoder.check_limit()) {
            Ok(()) => Ok(decoder.reader.position()),
            Err(error) => {
                out.truncate(start);
                Err(error.within(&shorten(&self.name())))
            }
        }
    }
}

struct Decoder<'a, 'o> {
    abi: &'a AbiSerializer,
    reader: Reader<'a>,
    rendering: Rendering,
    limit: usize,
    /// The length that `out` must not pass.
    end: usize,
    out: &'o mut Vec<u8>,
}

impl Decoder<'_, '_> {
    fn value(&mut self, id: NodeId, depth: usize) -> Result<()> {
        check_depth(depth)?;
        match self.abi.node(id) {
            Node::Builtin(builtin) => self.builtin(builtin),
            Node::Struct(index) => {
                let start = self.out.len();
                self.out.push(b'{');
                self.fields(&self.abi.structs[index as usize], start, depth + 1)?;
                if self.out.len() == start + 1 && self.rendering == Rendering::Nodeos {
                    return Err(Error::invalid("struct", "no field of it has a value, which nodeos refuses"));
                }
                self.out.push(b'}');
                Ok(())
            }
            Node::Array(item) => {
                let count = self.reader.count(0, "array")?;
                self.items(item, count, depth)
            }
            Node::FixedArray(item, count) => match count as usize {
                count if count > MAX_ITEMS => Err(Error::Limit { what: "array", limit: MAX_ITEMS }),
                count => self.items(item, count, depth),
            },
            Node::Optional(item) => match self.reader.u8()? {
                0 => {
                    self.out.extend_from_slice(b"null");
                    Ok(())
                }
                _ => self.item(item, depth),
            },
            Node::Variant(index) => self.variant(index, depth),
            Node::Fault(index) => Err(self.abi.fault(index)),
        }
    }

    #[inline]
    fn builtin(&mut self, builtin: Builtin) -> Result<()> {
        builtin.decode(&mut self.reader, self.rendering, self.out)
    }

    /// A value one level down; built-in ones do not count as a level, as in nodeos.
    #[inline]
    fn item(&mut self, id: NodeId, depth: usize) -> Result<()> {
        match self.abi.node(id) {
            Node::Builtin(builtin) => self.builtin(builtin),
            _ => self.value(id, depth + 1),
        }
    }

    /// The fields of `definition` and of its bases, into the object that begins at `start`.
    fn fields(&mut self, definition: &Struct, start: usize, depth: usize) -> Result<()> {
        check_depth(depth)?;
        if let Some(base) = definition.base {
            self.fields(self.abi.base(base)?, start, depth + 1)?;
        }
        for (index, field) in definition.fields.iter().enumerate() {
            if field.extension && self.reader.is_empty() {
                // Nothing is left for the others either: looking at each of them would let an array of such structs
                // take time out of proportion.
                return match definition.last_required {
                    Some(required) if required > index => Err(after_extension(&definition.fields[required].name)),
                    _ => Ok(()),
                };
            }
            self.check_limit()?;
            if self.is_key_left_out(field.node) {
                continue;
            }
            let key = if self.out.len() == start + 1 { &field.key[1..] } else { &field.key };
            self.out.extend_from_slice(key);
            self.value(field.node, depth + 1).map_err(|error| error.within_field(&field.name))?;
        }
        Ok(())
    }

    fn items(&mut self, item: NodeId, count: usize, depth: usize) -> Result<()> {
        self.out.push(b'[');
        for index in 0..count {
            self.check_limit()?;
            if index > 0 {
                self.out.push(b',');
            }
            self.item(item, depth).map_err(|error| error.within(&format!("[{index}]")))?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// Reads the optional value of a field if it is absent and the rendering leaves its key out.
    #[inline]
    fn is_key_left_out(&mut self, id: NodeId) -> bool {
        self.rendering == Rendering::Plain
            && matches!(self.abi.node(id), Node::Optional(_))
            && self.reader.remaining().first() == Some(&0)
            && self.reader.u8().is_ok()
    }

    fn variant(&mut self, index: u32, depth: usize) -> Result<()> {
        let alternatives = &self.abi.variants[index as usize].alternatives;
        let tag = self.reader.varuint32()? as usize;
        let Some(alternative) = alternatives.get(tag) else {
            return Err(Error::invalid("variant", format!("alternative {tag} of {}", alternatives.len())));
        };
        self.out.push(b'[');
        json::write_string(self.out, alternative.name.as_bytes(), "");
        self.out.push(b',');
        // The name is the ABI's and can be of any length.
        self.check_limit()?;
        self.value(alternative.node, depth + 1)?;
        self.out.push(b']');
        Ok(())
    }

    #[inline]
    fn check_limit(&self) -> Result<()> {
        if self.out.len() > self.end {
            return Err(Error::Limit { what: "JSON text", limit: self.limit });
        }
        Ok(())
    }
}

#[inline]
pub(super) fn check_depth(depth: usize) -> Result<()> {
    if depth >= MAX_DEPTH {
        return Err(Error::Limit { what: "ABI nesting", limit: MAX_DEPTH });
    }
    Ok(())
}

/// The error for a field that must have a value where one before it had none.
pub(super) fn after_extension(name: &str) -> Error {
    Error::invalid("ABI", format!("field \"{}\" follows an absent binary extension but is not one", shorten(name)))
}
