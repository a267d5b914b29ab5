//! The built-in types: their bytes, their JSON in each rendering, and back.

use std::str::FromStr;

use serde_json::Value;

use super::rendering::Rendering;
use crate::{
    Asset, BlockTimestamp, Checksum, Error, ExtendedAsset, PublicKey, Result, Signature, Symbol, SymbolCode, TimePoint,
    TimePointSec,
    error::shorten,
    json,
    raw::{Reader, Writer},
};

macro_rules! builtins {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// A built-in type.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Builtin {
            $($variant),+
        }

        impl Builtin {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$variant),+];

            pub(super) fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }

            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

builtins! {
    Bool = "bool",
    Int8 = "int8",
    Uint8 = "uint8",
    Int16 = "int16",
    Uint16 = "uint16",
    Int32 = "int32",
    Uint32 = "uint32",
    Int64 = "int64",
    Uint64 = "uint64",
    Int128 = "int128",
    Uint128 = "uint128",
    Varint32 = "varint32",
    Varuint32 = "varuint32",
    Float32 = "float32",
    Float64 = "float64",
    Float128 = "float128",
    TimePoint = "time_point",
    TimePointSec = "time_point_sec",
    BlockTimestamp = "block_timestamp_type",
    Name = "name",
    Bytes = "bytes",
    String = "string",
    Checksum160 = "checksum160",
    Checksum256 = "checksum256",
    Checksum512 = "checksum512",
    PublicKey = "public_key",
    Signature = "signature",
    Symbol = "symbol",
    SymbolCode = "symbol_code",
    Asset = "asset",
    ExtendedAsset = "extended_asset",
}

impl Builtin {
    /// Reads a value and appends its JSON text.
    #[inline]
    pub(super) fn decode(self, reader: &mut Reader<'_>, rendering: Rendering, out: &mut Vec<u8>) -> Result<()> {
        let plain = rendering == Rendering::Plain;
        match self {
            Self::Bool => match reader.u8()? {
                value if !plain => json::write_unsigned(out, value.into()),
                0 => out.extend_from_slice(b"false"),
                _ => out.extend_from_slice(b"true"),
            },
            Self::Int8 => json::write_signed(out, (reader.u8()? as i8).into()),
            Self::Uint8 => json::write_unsigned(out, reader.u8()?.into()),
            Self::Int16 => json::write_signed(out, (reader.u16()? as i16).into()),
            Self::Uint16 => json::write_unsigned(out, reader.u16()?.into()),
            Self::Int32 => json::write_signed(out, (reader.u32()? as i32).into()),
            Self::Uint32 => json::write_unsigned(out, reader.u32()?.into()),
            Self::Int64 => json::write_i64(out, reader.i64()?),
            Self::Uint64 => json::write_u64(out, reader.u64()?),
            Self::Int128 | Self::Uint128 | Self::Float128 => {
                self.write_wide(reader.array(self.name())?, plain, out);
            }
            Self::Varint32 => {
                let zigzag = reader.varuint32()?;
                json::write_signed(out, i64::from((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32)));
            }
            Self::Varuint32 => json::write_unsigned(out, reader.varuint32()?.into()),
            Self::Float32 => write_float32(out, f32::from_le_bytes(reader.array(self.name())?), rendering),
            Self::Float64 => write_float(out, f64::from_le_bytes(reader.array(self.name())?), rendering),
            Self::TimePoint => write_time_point(out, TimePoint(reader.i64()?), plain),
            Self::TimePointSec => {
                let time = TimePointSec(reader.u32()?);
                json::write_quoted(out, |out| time.write_to(out));
            }
            Self::BlockTimestamp => write_block_timestamp(out, BlockTimestamp(reader.u32()?), rendering),
            Self::Name => {
                let name = reader.name()?;
                json::write_quoted(out, |out| out.extend_from_slice(name.as_ascii(&mut [0; 13])));
            }
            Self::Bytes => {
                let bytes = reader.blob(self.name())?;
                json::write_quoted(out, |out| json::write_hex(out, bytes));
            }
            Self::String => {
                let replacement = if rendering == Rendering::Nodeos { "" } else { "\u{fffd}" };
                json::write_string(out, reader.blob(self.name())?, replacement);
            }
            Self::Checksum160 | Self::Checksum256 | Self::Checksum512 => {
                let size = if self == Self::Checksum160 { 20 } else { 32 << usize::from(self == Self::Checksum512) };
                let digest = reader.take(size, self.name())?;
                json::write_quoted(out, |out| json::write_hex(out, digest));
            }
            Self::PublicKey => {
                let key = PublicKey::read(reader)?;
                json::write_quoted(out, |out| key.write_to(out));
            }
            Self::Signature => {
                let signature = Signature::read(reader)?;
                json::write_quoted(out, |out| signature.write_to(out));
            }
            Self::Symbol => {
                let symbol = checked_symbol(Symbol::read(reader)?)?;
                json::write_quoted(out, |out| symbol.write_to(out));
            }
            Self::SymbolCode => {
                let mut code = SymbolCode::read(reader)?;
                if rendering == Rendering::Nodeos {
                    // A symbol has room for seven of the eight bytes, and nodeos makes one of the code.
                    code.0 &= u64::MAX >> 8;
                }
                let code = checked_code(code)?;
                json::write_quoted(out, |out| code.write_to(out));
            }
            Self::Asset => {
                let asset = checked_asset(Asset::read(reader)?)?;
                json::write_quoted(out, |out| asset.write_to(out));
            }
            Self::ExtendedAsset => {
                let ExtendedAsset { quantity, contract } = ExtendedAsset::read(reader)?;
                let quantity = checked_asset(quantity)?;
                out.extend_from_slice(b"{\"quantity\":");
                json::write_quoted(out, |out| quantity.write_to(out));
                out.extend_from_slice(b",\"contract\":\"");
                out.extend_from_slice(contract.as_ascii(&mut [0; 13]));
                out.extend_from_slice(b"\"}");
            }
        }
        Ok(())
    }

    /// Appends a number of 16 bytes: the integers as decimals unless `plain`.
    fn write_wide(self, bytes: [u8; 16], plain: bool, out: &mut Vec<u8>) {
        json::write_quoted(out, |out| match self {
            Self::Int128 if !plain => out.extend_from_slice(i128::from_le_bytes(bytes).to_string().as_bytes()),
            Self::Uint128 if !plain => out.extend_from_slice(u128::from_le_bytes(bytes).to_string().as_bytes()),
            _ => {
                out.extend_from_slice(b"0x");
                json::write_hex(out, &bytes);
            }
        });
    }

    /// Appends the bytes of a JSON value.
    pub(super) fn encode(self, value: &Value, writer: &mut Writer) -> Result<()> {
        let what = self.name();
        match self {
            Self::Bool => writer.u8(match value {
                Value::Bool(value) => (*value).into(),
                _ => integer(value, what)?,
            }),
            Self::Int8 => writer.take(&integer::<i8>(value, what)?.to_le_bytes()),
            Self::Uint8 => writer.u8(integer(value, what)?),
            Self::Int16 => writer.take(&integer::<i16>(value, what)?.to_le_bytes()),
            Self::Uint16 => writer.u16(integer(value, what)?),
            Self::Int32 => writer.take(&integer::<i32>(value, what)?.to_le_bytes()),
            Self::Uint32 => writer.u32(integer(value, what)?),
            Self::Int64 => writer.i64(integer(value, what)?),
            Self::Uint64 => writer.u64(integer(value, what)?),
            Self::Int128 => writer.take(&integer::<i128>(value, what)?.to_le_bytes()),
            Self::Uint128 => writer.take(&integer::<u128>(value, what)?.to_le_bytes()),
            Self::Varint32 => {
                let number: i32 = integer(value, what)?;
                writer.varuint32(((number << 1) ^ (number >> 31)) as u32);
            }
            Self::Varuint32 => writer.varuint32(integer(value, what)?),
            Self::Float32 => writer.take(&number::<f32>(value, what, "a number")?.to_le_bytes()),
            Self::Float64 => writer.take(&number::<f64>(value, what, "a number")?.to_le_bytes()),
            Self::Float128 => {
                let digits = string(value, what)?.strip_prefix("0x");
                let bytes = digits.and_then(|digits| Checksum::<16>::from_hex(digits.as_bytes()).ok());
                writer.take(&bytes.ok_or_else(|| mismatch(value, what, "0x and 32 hex digits"))?.0);
            }
            Self::TimePoint => writer.i64(parse::<TimePoint>(value, what)?.0),
            Self::TimePointSec => writer.u32(parse::<TimePointSec>(value, what)?.0),
            Self::BlockTimestamp => writer.u32(parse::<BlockTimestamp>(value, what)?.0),
            Self::Name => writer.name(parse(value, what)?),
            Self::Bytes => {
                let bytes = const_hex::decode(string(value, what)?);
                writer.blob(&bytes.map_err(|_| mismatch(value, what, "an even number of hex digits"))?);
            }
            Self::String => writer.blob(string(value, what)?.as_bytes()),
            Self::Checksum160 => writer.take(&parse::<Checksum<20>>(value, what)?.0),
            Self::Checksum256 => writer.take(&parse::<Checksum<32>>(value, what)?.0),
            Self::Checksum512 => writer.take(&parse::<Checksum<64>>(value, what)?.0),
            Self::PublicKey => parse::<PublicKey>(value, what)?.write(writer),
            Self::Signature => parse::<Signature>(value, what)?.write(writer),
            Self::Symbol => parse::<Symbol>(value, what)?.write(writer),
            Self::SymbolCode => parse::<SymbolCode>(value, what)?.write(writer),
            Self::Asset => parse::<Asset>(value, what)?.write(writer),
            Self::ExtendedAsset => {
                let (Some(quantity), Some(contract)) = (value.get("quantity"), value.get("contract")) else {
                    return Err(mismatch(value, what, "an object with quantity and contract"));
                };
                parse::<Asset>(quantity, "asset")?.write(writer);
                writer.name(parse(contract, "name")?);
            }
        }
        Ok(())
    }
}

/// The code, if nodeos reads it: it takes no letters for a code, too.
fn checked_code(code: SymbolCode) -> Result<SymbolCode> {
    if code.0 == 0 || code.is_valid() {
        return Ok(code);
    }
    let bytes = const_hex::encode(code.0.to_le_bytes());
    Err(Error::invalid("symbol code", format!("the bytes {bytes} are not up to seven letters A-Z")))
}

fn checked_symbol(symbol: Symbol) -> Result<Symbol> {
    checked_code(symbol.code())?;
    if symbol.precision() > Symbol::MAX_PRECISION {
        let why = format!("{} decimals are more than {}", symbol.precision(), Symbol::MAX_PRECISION);
        return Err(Error::invalid("symbol", why));
    }
    Ok(symbol)
}

fn checked_asset(asset: Asset) -> Result<Asset> {
    checked_symbol(asset.symbol)?;
    if asset.amount.unsigned_abs() > Asset::MAX_AMOUNT as u64 {
        let why = format!("the amount {} of the smallest unit is over 2^62 - 1 either way", asset.amount);
        return Err(Error::invalid("asset", why));
    }
    Ok(asset)
}

/// Finite values have 17 decimals, or in the plain rendering as few as tell them apart and no quotes.
fn write_float(out: &mut Vec<u8>, value: f64, rendering: Rendering) {
    let text = match value {
        _ if value.is_finite() && rendering == Rendering::Plain => {
            return out.extend_from_slice(value.to_string().as_bytes());
        }
        _ if value.is_finite() => format!("{value:.17}"),
        f64::INFINITY => "inf".to_owned(),
        f64::NEG_INFINITY => "-inf".to_owned(),
        // The C library shows the sign of what is not a number.
        _ if rendering == Rendering::Nodeos && value.is_sign_negative() => "-nan".to_owned(),
        _ => "nan".to_owned(),
    };
    json::write_quoted(out, |out| out.extend_from_slice(text.as_bytes()));
}

fn write_float32(out: &mut Vec<u8>, value: f32, rendering: Rendering) {
    if rendering == Rendering::Fit && !value.is_finite() {
        // The one place where Go's own text of infinities shows.
        let text = if value.is_nan() { "NaN" } else { ["-Inf", "+Inf"][usize::from(value > 0.0)] };
        json::write_quoted(out, |out| out.extend_from_slice(text.as_bytes()));
    } else {
        write_float(out, value.into(), rendering);
    }
}

fn write_time_point(out: &mut Vec<u8>, time: TimePoint, plain: bool) {
    json::write_quoted(out, |out| {
        time.write_to(out);
        if plain {
            while out.pop_if(|last| *last == b'0').is_some() {}
            out.pop_if(|last| *last == b'.');
        }
    });
}

fn write_block_timestamp(out: &mut Vec<u8>, time: BlockTimestamp, rendering: Rendering) {
    json::write_quoted(out, |out| {
        time.write_to(out);
        if rendering != Rendering::Nodeos && out.ends_with(b".000") {
            out.truncate(out.len() - 4);
        }
    });
}

/// The error for a JSON value of the wrong kind.
pub(super) fn mismatch(value: &Value, what: &'static str, wanted: &str) -> Error {
    let shown = match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("\"{}\"", shorten(text)),
        scalar => scalar.to_string(),
    };
    Error::invalid(what, format!("{wanted} wanted, not {shown}"))
}

fn string<'a>(value: &'a Value, what: &'static str) -> Result<&'a str> {
    value.as_str().ok_or_else(|| mismatch(value, what, "a string"))
}

fn parse<T: FromStr<Err = Error>>(value: &Value, what: &'static str) -> Result<T> {
    string(value, what)?.parse()
}

fn integer<T: FromStr>(value: &Value, what: &'static str) -> Result<T> {
    number(value, what, "an integer in its range")
}

/// A number from a JSON number or from text; `inf` and `nan` are text.
fn number<T: FromStr>(value: &Value, what: &'static str, wanted: &str) -> Result<T> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| mismatch(value, what, wanted))
}
