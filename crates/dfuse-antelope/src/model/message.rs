//! What a message and a field can do, and the macros that declare them.

use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::wire::{Reader, ReverseWriter, WireType};
use crate::{BlockTimestamp, Checksum256, Error, Name, Result, TimePoint, TimePointSec};

/// A protobuf message. Its [`Serialize`] is the canonical JSON form of protobuf: lower camel case, defaults left out,
/// 64-bit numbers as strings, bytes as base64, times as RFC 3339.
pub trait Message: Default + Serialize {
    /// Puts the fields in front of what was written.
    fn encode(&self, writer: &mut ReverseWriter);

    /// Reads one field; one that the schema does not know is passed over.
    fn merge_field(&mut self, tag: u32, wire_type: WireType, reader: &mut Reader<'_>) -> Result<()>;

    /// Reads fields until the end of the message.
    fn merge(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        while !reader.is_empty() {
            let (tag, wire_type) = reader.key()?;
            self.merge_field(tag, wire_type, reader)?;
        }
        Ok(())
    }

    /// Reads a whole message; its byte fields share the memory of `data`.
    fn decode(data: &Bytes) -> Result<Self> {
        let mut message = Self::default();
        message.merge(&mut Reader::new(data))?;
        Ok(message)
    }

    /// The message as bytes of its own. Where many are encoded, reuse a writer with [`Message::encode`].
    fn to_bytes(&self) -> Bytes {
        let mut writer = ReverseWriter::new();
        self.encode(&mut writer);
        Bytes::copy_from_slice(writer.as_slice())
    }
}

/// A field of a message, by its Rust type. A value equal to the default is left out where protobuf can tell no
/// difference; embedded messages and ids are always written.
pub trait Field {
    /// Puts the field, key included, in front of what was written.
    fn encode(&self, tag: u32, writer: &mut ReverseWriter);
    /// Reads the value after its key: replaces a single one, appends to a list.
    fn merge(&mut self, tag: u32, wire_type: WireType, reader: &mut Reader<'_>) -> Result<()>;
    /// Writes the field's entry in canonical JSON.
    fn to_json<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error>;
}

/// Declares messages: `number name: Type;` for each field, in ascending order of numbers.
macro_rules! messages {
    ($( $(#[$meta:meta])* $message:ident { $( $(#[$field_meta:meta])* $tag:literal $(..= $last:literal)? $field:ident: $type:ty; )* } )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $message {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl $crate::model::Message for $message {
            #[inline]
            fn encode(&self, writer: &mut $crate::model::wire::ReverseWriter) {
                messages!(@encode self writer $( $tag $field )*);
            }

            #[inline]
            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: $crate::model::wire::WireType,
                reader: &mut $crate::model::wire::Reader<'_>,
            ) -> $crate::Result<()> {
                match tag {
                    $( $tag $(..= $last)? => $crate::model::Field::merge(&mut self.$field, tag, wire_type, reader), )*
                    _ => reader.skip(wire_type),
                }
            }
        }

        impl $crate::model::Field for $message {
            #[inline]
            fn encode(&self, tag: u32, writer: &mut $crate::model::wire::ReverseWriter) {
                writer.delimited(tag, |writer| $crate::model::Message::encode(self, writer));
            }

            #[inline]
            fn merge(
                &mut self,
                _tag: u32,
                wire_type: $crate::model::wire::WireType,
                reader: &mut $crate::model::wire::Reader<'_>,
            ) -> $crate::Result<()> {
                reader.expect(wire_type, $crate::model::wire::WireType::Delimited)?;
                $crate::model::Message::merge(self, &mut reader.nested()?)
            }

            fn to_json<M: serde::ser::SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
                map.serialize_entry(name, self)
            }
        }

        impl serde::Serialize for $message {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                let mut map = serializer.serialize_map(None)?;
                $(
                    const { assert!($tag > 0) };
                    $crate::model::Field::to_json(&self.$field, messages!(@camel $field), &mut map)?;
                )*
                map.end()
            }
        }
    )*};
    // The fields from the last to the first.
    (@encode $self:ident $writer:ident) => {};
    (@encode $self:ident $writer:ident $tag:literal $field:ident $($rest:tt)*) => {
        messages!(@encode $self $writer $($rest)*);
        $crate::model::Field::encode(&$self.$field, $tag, $writer);
    };
    (@camel $field:ident) => {{
        const SNAKE: &str = stringify!($field);
        const CAMEL: [u8; $crate::model::message::camel_case_length(SNAKE)] =
            $crate::model::message::camel_case(SNAKE);
        const NAME: &str = match std::str::from_utf8(&CAMEL) {
            Ok(name) => name,
            Err(_) => panic!("field names are ASCII"),
        };
        NAME
    }};
}
pub(crate) use messages;

/// Declares enums: `Variant = number "NAME_IN_PROTOBUF"`; the first one is number 0.
macro_rules! enums {
    ($( $(#[$meta:meta])* $name:ident { $first:ident = 0 $first_text:literal $(, $variant:ident = $number:literal $text:literal )* $(,)? } )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            #[default]
            #[doc = $first_text]
            $first = 0,
            $( #[doc = $text] $variant = $number, )*
        }

        impl $name {
            /// The name in protobuf's JSON form.
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_text,
                    $( Self::$variant => $text, )*
                }
            }

            /// The value by its name in protobuf's JSON form.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $first_text => Some(Self::$first),
                    $( $text => Some(Self::$variant), )*
                    _ => None,
                }
            }
        }

        impl $crate::model::Field for $name {
            #[inline]
            fn encode(&self, tag: u32, writer: &mut $crate::model::wire::ReverseWriter) {
                $crate::model::Field::encode(&(*self as u32), tag, writer);
            }

            /// A number outside the schema becomes the first variant, which every enum here has for "unknown".
            fn merge(
                &mut self,
                tag: u32,
                wire_type: $crate::model::wire::WireType,
                reader: &mut $crate::model::wire::Reader<'_>,
            ) -> $crate::Result<()> {
                let mut number = 0i32;
                $crate::model::Field::merge(&mut number, tag, wire_type, reader)?;
                *self = match number {
                    $( $number => Self::$variant, )*
                    _ => Self::$first,
                };
                Ok(())
            }

            fn to_json<M: serde::ser::SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
                if *self == Self::default() {
                    return Ok(());
                }
                map.serialize_entry(name, self.as_str())
            }
        }
    )*};
}
pub(crate) use enums;

/// Declares a `oneof`: `number json_name Variant(Message);` A field of type `Option<Name>` holds it.
macro_rules! oneofs {
    ($( $(#[$meta:meta])* $name:ident { $( $tag:literal $field:ident $variant:ident($message:ty); )* } )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $( #[doc = stringify!($field)] $variant($message), )*
        }

        impl $crate::model::Field for Option<$name> {
            fn encode(&self, _tag: u32, writer: &mut $crate::model::wire::ReverseWriter) {
                match self {
                    None => {}
                    $( Some($name::$variant(message)) => $crate::model::Field::encode(message, $tag, writer), )*
                }
            }

            fn merge(
                &mut self,
                tag: u32,
                wire_type: $crate::model::wire::WireType,
                reader: &mut $crate::model::wire::Reader<'_>,
            ) -> $crate::Result<()> {
                match tag {
                    $( $tag => {
                        let mut message = match self.take() {
                            Some($name::$variant(message)) => message,
                            _ => Default::default(),
                        };
                        $crate::model::Field::merge(&mut message, tag, wire_type, reader)?;
                        *self = Some($name::$variant(message));
                        Ok(())
                    } )*
                    _ => reader.skip(wire_type),
                }
            }

            fn to_json<M: serde::ser::SerializeMap>(&self, _name: &'static str, map: &mut M) -> Result<(), M::Error> {
                match self {
                    None => Ok(()),
                    $( Some($name::$variant(message)) => map.serialize_entry(messages!(@camel $field), message), )*
                }
            }
        }
    )*};
}
pub(crate) use oneofs;

/// Length of [`camel_case`].
pub(crate) const fn camel_case_length(snake: &str) -> usize {
    let snake = snake.as_bytes();
    let mut at = if snake.len() > 2 && snake[1] == b'#' { 2 } else { 0 };
    let mut length = 0;
    while at < snake.len() {
        if snake[at] != b'_' {
            length += 1;
        }
        at += 1;
    }
    length
}

/// `block_num` as `blockNum`, as protobuf's JSON form names fields; the `r#` of a raw identifier is left out.
pub(crate) const fn camel_case<const N: usize>(snake: &str) -> [u8; N] {
    let snake = snake.as_bytes();
    let mut at = if snake.len() > 2 && snake[1] == b'#' { 2 } else { 0 };
    let mut camel = [0; N];
    let mut length = 0;
    let mut upper = false;
    while at < snake.len() {
        if snake[at] == b'_' {
            upper = true;
        } else {
            camel[length] = if upper { snake[at].to_ascii_uppercase() } else { snake[at] };
            length += 1;
            upper = false;
        }
        at += 1;
    }
    camel
}

/// A single value of a type that is also used in lists: how its content is written, read and shown.
trait Value: Default + PartialEq {
    const WIRE_TYPE: WireType;
    /// Puts the content, with its length if it has one, in front of what was written.
    fn write(&self, writer: &mut ReverseWriter);
    fn read(reader: &mut Reader<'_>) -> Result<Self>;
    fn json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
}

/// Shows a [`Value`] in canonical JSON.
struct Json<'a, V>(&'a V);

impl<V: Value> Serialize for Json<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.json(serializer)
    }
}

/// Makes fields of [`Value`]s. `$omit` tells whether a single value is left out.
macro_rules! value_fields {
    ($($type:ty, $omit:expr;)*) => {$(
        impl Field for $type {
            #[inline]
            fn encode(&self, tag: u32, writer: &mut ReverseWriter) {
                if !($omit)(self) {
                    self.write(writer);
                    writer.key(tag, <$type>::WIRE_TYPE);
                }
            }

            #[inline]
            fn merge(&mut self, _tag: u32, wire_type: WireType, reader: &mut Reader<'_>) -> Result<()> {
                reader.expect(wire_type, <$type>::WIRE_TYPE)?;
                *self = <$type>::read(reader)?;
                Ok(())
            }

            fn to_json<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
                if ($omit)(self) { Ok(()) } else { map.serialize_entry(name, &Json(self)) }
            }
        }
    )*};
}

/// Makes repeated fields of length-delimited [`Value`]s.
macro_rules! repeated_fields {
    ($($type:ty)*) => {$(
        impl Field for Vec<$type> {
            fn encode(&self, tag: u32, writer: &mut ReverseWriter) {
                for value in self.iter().rev() {
                    value.write(writer);
                    writer.key(tag, <$type>::WIRE_TYPE);
                }
            }

            fn merge(&mut self, _tag: u32, wire_type: WireType, reader: &mut Reader<'_>) -> Result<()> {
                reader.expect(wire_type, <$type>::WIRE_TYPE)?;
                self.push(<$type>::read(reader)?);
                Ok(())
            }

            fn to_json<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
                if self.is_empty() { Ok(()) } else { map.serialize_entry(name, &JsonList(self)) }
            }
        }
    )*};
}

struct JsonList<'a, V>(&'a [V]);

impl<V: Value> Serialize for JsonList<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for value in self.0 {
            list.serialize_element(&Json(value))?;
        }
        list.end()
    }
}

fn is_default<V: Value>(value: &V) -> bool {
    *value == V::default()
}

value_fields! {
    bool, is_default;
    u32, is_default;
    u64, is_default;
    i32, is_default;
    i64, is_default;
    Name, is_default;
    String, String::is_empty;
    Bytes, Bytes::is_empty;
    Checksum256, |_: &Checksum256| false;
    Option<Checksum256>, Option::is_none;
    [u8; 32], |_: &[u8; 32]| false;
    BlockTimestamp, |_: &BlockTimestamp| false;
    TimePoint, |_: &TimePoint| false;
    TimePointSec, |_: &TimePointSec| false;
}

repeated_fields!(String Bytes Name Checksum256 [u8; 32]);

/// Makes [`Value`]s of the number types: `$json` shows one.
macro_rules! numbers {
    ($($type:ty, $write:expr, $read:expr, $json:expr;)*) => {$(
        impl Value for $type {
            const WIRE_TYPE: WireType = WireType::Varint;

            #[inline]
            fn write(&self, writer: &mut ReverseWriter) {
                writer.varint(($write)(*self));
            }

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Result<Self> {
                Ok(($read)(reader.varint()?))
            }

            fn json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                ($json)(self, serializer)
            }
        }
    )*};
}

// Protobuf takes the low bits of a number that is wider than its field, and sign-extends negative ones to 64 bits.
numbers! {
    bool, u64::from, |v: u64| v != 0, bool::serialize;
    u32, u64::from, |v: u64| v as u32, u32::serialize;
    u64, |v: u64| v, |v: u64| v, |v: &u64, s: S| s.collect_str(v);
    i32, |v: i32| i64::from(v) as u64, |v: u64| v as i32, i32::serialize;
    i64, |v: i64| v as u64, |v: u64| v as i64, |v: &i64, s: S| s.collect_str(v);
}

/// Numbers in one packed field; the unpacked form is read as well.
impl Field for Vec<u32> {
    fn encode(&self, tag: u32, writer: &mut ReverseWriter) {
        if !self.is_empty() {
            writer.delimited(tag, |writer| self.iter().rev().for_each(|value| value.write(writer)));
        }
    }

    fn merge(&mut self, _tag: u32, wire_type: WireType, reader: &mut Reader<'_>) -> Result<()> {
        if wire_type == WireType::Varint {
            self.push(u32::read(reader)?);
            return Ok(());
        }
        reader.expect(wire_type, WireType::Delimited)?;
        let mut packed = reader.nested()?;
        while !packed.is_empty() {
            self.push(u32::read(&mut packed)?);
        }
        Ok(())
    }

    fn to_json<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
        if self.is_empty() { Ok(()) } else { map.serialize_entry(name, self) }
    }
}

fn write_delimited(writer: &mut ReverseWriter, content: &[u8]) {
    writer.bytes(content);
    writer.varint(content.len() as u64);
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str> {
    std::str::from_utf8(reader.delimited()?).map_err(|e| Error::invalid("protobuf string", e.to_string()))
}

impl Value for String {
    const WIRE_TYPE: WireType = WireType::Delimited;

    #[inline]
    fn write(&self, writer: &mut ReverseWriter) {
        write_delimited(writer, self.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        text(reader).map(str::to_owned)
    }

    fn json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl Value for Bytes {
    const WIRE_TYPE: WireType = WireType::Delimited;

    #[inline]
    fn write(&self, writer: &mut ReverseWriter) {
        write_delimited(writer, self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        reader.shared()
    }

    fn json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self, &STANDARD))
    }
}

/// A digest in a field of type `bytes`; an empty one reads as zeros.
impl Value for [u8; 32] {
    const WIRE_TYPE: WireType = WireType::Delimited;

    fn write(&self, writer: &mut ReverseWriter) {
        write_delimited(writer, self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let content = reader.delimited()?;
        if content.is_empty() {
            return Ok(Self::default());
        }
        content.try_into().map_err(|_| Error::invalid("digest", format!("{} bytes, 32 wanted", content.len())))
    }

    fn json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self, &STANDARD))
    }
}

/// A name is a string on the wire.
impl Value for Name {
    const WIRE_TYPE: WireType = WireType::Delimited;

    #[inline]
    fn write(&self, writer: &mut ReverseWriter) {
        write_delimited(writer, self.as_ascii(&mut [0; 13]));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let content = reader.delimited()?;
        Self::parse(content).or_else(|_| String::from_utf8_lossy(content).parse())
    }

    fn json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

/// An id is a string of hex digits on the wire; an empty one reads as zeros.
impl Value for Checksum256 {
    const WIRE_TYPE: WireType = WireType::Delimited;

    #[inline]
    fn write(&self, writer: &mut ReverseWriter) {
        const_hex::encode_to_slice(self.0, writer.slot(64)).expect("64 digits for 32 bytes");
        writer.varint(64);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Option::<Self>::read(reader).map(Option::unwrap_or_default)
    }

    fn json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }
}

/// An id that may be absent: an empty string on the wire.
impl Value for Option<Checksum256> {
    const WIRE_TYPE: WireType = WireType::Delimited;

    #[inline]
    fn write(&self, writer: &mut ReverseWriter) {
        match self {
            Some(checksum) => checksum.write(writer),
            None => writer.varint(0),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let content = reader.delimited()?;
        if content.is_empty() { Ok(None) } else { Checksum256::from_hex(content).map(Some) }
    }

    fn json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.unwrap_or_default())
    }
}

/// Makes [`Value`]s of the time types: messages of type `google.protobuf.Timestamp`, `{1: seconds, 2: nanoseconds}`.
macro_rules! timestamps {
    ($($type:ty, $to_micros:expr, $from_micros:expr;)*) => {$(
        impl Value for $type {
            const WIRE_TYPE: WireType = WireType::Delimited;

            #[inline]
            fn write(&self, writer: &mut ReverseWriter) {
                let micros: i64 = ($to_micros)(self);
                let before = writer.len();
                Field::encode(&((micros.rem_euclid(1_000_000) * 1000) as i32), 2, writer);
                Field::encode(&micros.div_euclid(1_000_000), 1, writer);
                writer.varint((writer.len() - before) as u64);
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self> {
                let mut fields = reader.nested()?;
                let (mut seconds, mut nanos) = (0i64, 0i32);
                while !fields.is_empty() {
                    match fields.key()? {
                        (1, wire_type) => seconds.merge(1, wire_type, &mut fields)?,
                        (2, wire_type) => nanos.merge(2, wire_type, &mut fields)?,
                        (_, wire_type) => fields.skip(wire_type)?,
                    }
                }
                let micros = seconds.checked_mul(1_000_000).and_then(|m| m.checked_add(i64::from(nanos) / 1000));
                micros.ok_or(()).and_then($from_micros).map_err(|()| {
                    Error::invalid("timestamp", format!("{seconds} s {nanos} ns is not a {}", stringify!($type)))
                })
            }

            fn json<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let micros: i64 = ($to_micros)(self);
                let seconds = TimePoint(micros - micros.rem_euclid(1_000_000)).to_string();
                let seconds = &seconds[..seconds.len().min(19)];
                // Zero, three or six digits, as the canonical form wants.
                match micros.rem_euclid(1_000_000) {
                    0 => serializer.collect_str(&format_args!("{seconds}Z")),
                    part if part % 1000 == 0 => serializer.collect_str(&format_args!("{seconds}.{:03}Z", part / 1000)),
                    part => serializer.collect_str(&format_args!("{seconds}.{part:06}Z")),
                }
            }
        }
    )*};
}

timestamps! {
    BlockTimestamp,
        |t: &BlockTimestamp| t.to_unix_ms() * 1000,
        |micros: i64| if micros % 1000 == 0 { BlockTimestamp::from_unix_ms(micros / 1000).map_err(drop) } else { Err(()) };
    TimePoint, |t: &TimePoint| t.0, |micros| Ok(TimePoint(micros));
    TimePointSec,
        |t: &TimePointSec| i64::from(t.0) * 1_000_000,
        |micros: i64| u32::try_from(micros.div_euclid(1_000_000)).map(TimePointSec).map_err(drop);
}

impl<M: Message + Field> Field for Option<M> {
    #[inline]
    fn encode(&self, tag: u32, writer: &mut ReverseWriter) {
        if let Some(message) = self {
            Field::encode(message, tag, writer);
        }
    }

    fn merge(&mut self, tag: u32, wire_type: WireType, reader: &mut Reader<'_>) -> Result<()> {
        Field::merge(self.get_or_insert_default(), tag, wire_type, reader)
    }

    fn to_json<S: SerializeMap>(&self, name: &'static str, map: &mut S) -> Result<(), S::Error> {
        self.as_ref().map_or(Ok(()), |message| map.serialize_entry(name, message))
    }
}

impl<M: Message + Field> Field for Vec<M> {
    #[inline]
    fn encode(&self, tag: u32, writer: &mut ReverseWriter) {
        for message in self.iter().rev() {
            Field::encode(message, tag, writer);
        }
    }

    fn merge(&mut self, tag: u32, wire_type: WireType, reader: &mut Reader<'_>) -> Result<()> {
        let mut message = M::default();
        Field::merge(&mut message, tag, wire_type, reader)?;
        self.push(message);
        Ok(())
    }

    fn to_json<S: SerializeMap>(&self, name: &'static str, map: &mut S) -> Result<(), S::Error> {
        if self.is_empty() { Ok(()) } else { map.serialize_entry(name, self) }
    }
}

/// A message in a box, where it holds itself or is large and rare.
macro_rules! boxed_fields {
    ($($message:ty)*) => {$(
        impl $crate::model::Field for Option<Box<$message>> {
            fn encode(&self, tag: u32, writer: &mut $crate::model::wire::ReverseWriter) {
                if let Some(message) = self {
                    $crate::model::Field::encode(&**message, tag, writer);
                }
            }

            fn merge(
                &mut self,
                tag: u32,
                wire_type: $crate::model::wire::WireType,
                reader: &mut $crate::model::wire::Reader<'_>,
            ) -> $crate::Result<()> {
                $crate::model::Field::merge(&mut **self.get_or_insert_default(), tag, wire_type, reader)
            }

            fn to_json<M: serde::ser::SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
                self.as_ref().map_or(Ok(()), |message| map.serialize_entry(name, message))
            }
        }
    )*};
}
pub(crate) use boxed_fields;
