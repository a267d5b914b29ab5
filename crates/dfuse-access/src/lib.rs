//! Who may ask what, and how much: API keys, tokens, tiers, limits and metering.
//!
//! [`Gate`] is the door. Before a request is answered, [`Gate::admit`] takes what the caller presents (token, address, `Origin`)
//! and returns a [`Grant`], or the [`Refusal`] that a surface renders as an error. The grant knows what the caller may do, charges
//! them for work as it is done, and tells a running stream when it has to end.
//!
//! ```text
//! token, address, origin -> Gate::admit -> Grant: tier, history, charges, usage, end
//!                             |  Keyring    keys and their tokens (signed here), of which only hashes are kept
//!                             |  Issuers    tokens that others sign
//!                             |  Limits     rates and numbers, by key and by address
//!                             '- Meter      requests, documents and bytes of each key and day
//! ```
//!
//! | module | what |
//! |---|---|
//! | `options`, `gate`, `grant`, `refusal` | who is let in, the decision, what it gives, and why it was no; `shared` is what gate and grants have in common |
//! | `key`, `keyring` | API keys and who may have a token for one |
//! | `token`, `signing`, `crypto`, `issuers` | JSON Web Tokens: claims, our signing keys, the cryptography, other issuers |
//! | `tier`, `rate`, `limits`, `places` | tiers as they are configured, rates, buckets, numbers of connections and streams |
//! | `address`, `origin` | the client's address behind proxies, origins of web pages |
//! | `usage`, `meter`, `store`, `machines` | usage, how it is counted, what is kept on disk, and what several machines share |
//!
//! Nothing here knows HTTP. Time comes from a [`Clock`](dfuse_blocks::Clock), randomness from an [`Entropy`](dfuse_blocks::Entropy).
//! Reading and writing keys may block on a disk; [`Gate::admit`] never does.

mod address;
mod crypto;
mod error;
mod gate;
mod grant;
mod issuers;
mod key;
mod keyring;
mod limits;
mod machines;
mod meter;
mod options;
mod origin;
mod places;
mod rate;
mod refusal;
mod shared;
mod signing;
mod store;
#[cfg(test)]
mod testing;
mod tier;
mod token;
mod usage;

pub use address::{ClientAddress, Proxies, network};
pub use error::{Error, Result};
pub use gate::Gate;
pub use grant::{Grant, Subject};
pub use ipnet::IpNet;
pub use issuers::{Issuer, IssuerKeys};
pub use key::{ApiKey, KeyId, KeyKind, KeyText, NewKey};
pub use keyring::Keyring;
pub use limits::Standing;
pub use machines::MachinesAccessStore;
pub use meter::{Meter, UsedSinceStart};
pub use options::{Asking, Mode, Options, Secret};
pub use origin::OriginPattern;
pub use places::Place;
pub use rate::Rate;
pub use refusal::{Counted, Refusal};
pub use signing::configured_signing_keys;
pub use store::{AccessStore, KvAccessStore, SigningRecord};
pub use tier::{RouteClass, Tier, TierOptions, Tiers};
pub use token::{IssuedToken, TOKEN_SECONDS};
pub use usage::{Usage, UsageRow};
