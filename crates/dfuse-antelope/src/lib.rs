//! Chain types and codecs of Antelope chains (EOSIO, Leap, Spring): names, assets, keys, times, ABI, block model.
//!
//! No I/O and no async: bytes and text in, values out, every size bounded.
//!
//! | module | what |
//! |---|---|
//! | `name`, `checksum`, `time`, `symbol`, `asset`, `key` | the chain's values: binary, text and JSON forms |
//! | [`raw`] | the chain's binary encoding (`fc::raw`): `Reader` and `Writer` |
//! | [`model`] | blocks as protobuf `sf.antelope.type.v1`; [`model::wire`] is the wire format, `message` the macros that declare messages |
//! | [`chain`] | the chain's own binary form of headers, blocks and transactions, and their ids |
//! | [`abi`] | ABIs: binary and JSON form, decoding to JSON, encoding from JSON |

pub mod abi;
mod abi_dump;
mod asset;
pub mod base58;
pub mod chain;
mod checksum;
mod error;
mod genesis;
pub mod json;
mod key;
pub mod model;
mod name;
pub mod raw;
mod symbol;
mod text;
mod time;

pub use abi_dump::AbiDump;
pub use asset::{Asset, ExtendedAsset};
pub use checksum::{Checksum, Checksum160, Checksum256, Checksum512};
pub use error::{Error, Result};
pub use genesis::{ChainConfig, Genesis};
pub use key::{MAX_WEBAUTHN_BYTES, PrivateKey, PublicKey, Signature, WebAuthnKey, WebAuthnSignature};
pub use name::Name;
pub use symbol::{Symbol, SymbolCode};
pub use time::{BlockTimestamp, TimePoint, TimePointSec};
