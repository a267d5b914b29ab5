use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::{Error, Issuer, Proxies, Rate, Result, TierOptions};

/// Whether callers need a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nobody needs one, and what is sent as one never makes a request fail.
    #[default]
    Open,
    /// Who sends none has the tier of anonymous callers; a wrong one is refused.
    Optional,
    /// Everybody needs one.
    Required,
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "open" => Ok(Self::Open),
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err(Error::Invalid(format!("\"{text}\" is not a mode of access; write open, optional or required"))),
        }
    }
}

/// A token that its owner made up. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }

    /// Whether it is this, in a time that does not depend on where they differ.
    pub(crate) fn is(&self, token: &str) -> bool {
        self.0.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

/// Who is let in, and within which limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether callers need a token.
    pub mode: Mode,
    /// A token that lets everybody in who knows it, without limits.
    pub secret: Option<Secret>,
    /// Networks whose callers need no token and have no limits.
    pub networks: Vec<IpNet>,
    /// Networks whose callers may see what is for operators, without a token.
    pub operator_networks: Vec<IpNet>,
    /// The proxies before the server.
    pub proxies: Proxies,
    /// The tiers.
    pub tiers: Vec<TierOptions>,
    /// The tier of callers without a token: by default that of [`Tiers::ANONYMOUS`](crate::Tiers::ANONYMOUS), and in open mode none.
    pub anonymous_tier: Option<String>,
    /// A key's tier may be one that is not among them: for who makes keys without knowing the server's settings.
    pub any_tier: bool,
    /// What tokens of this server have in `iss`.
    pub issuer: String,
    /// Other issuers whose tokens count.
    pub issuers: Vec<Issuer>,
    /// Tokens that may be asked for at one address.
    pub issue_rate: Rate,
    /// Wrong tokens and keys of one address, before no more of them are looked at.
    pub guess_rate: Rate,
    /// How much work of a search is worth one request.
    pub work_per_request: u64,
    /// After how long under maintenance callers are told to try again, in seconds.
    pub maintenance_retry_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        let per_minute = |requests: u32| Rate::per_minute(std::num::NonZeroU32::MIN.saturating_add(requests - 1));
        Self {
            mode: Mode::Open,
            secret: None,
            networks: Vec::new(),
            operator_networks: Vec::new(),
            proxies: Proxies::default(),
            tiers: Vec::new(),
            anonymous_tier: None,
            any_tier: false,
            issuer: "dfuse".to_owned(),
            issuers: Vec::new(),
            issue_rate: per_minute(60),
            guess_rate: per_minute(20),
            work_per_request: 50_000,
            maintenance_retry_seconds: 60,
        }
    }
}

/// What a caller presents.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asking<'a> {
    /// The token, however it came. An empty one counts as none.
    pub token: Option<&'a str>,
    /// The client's address: see [`Proxies::client`].
    pub address: Option<IpAddr>,
    /// Whether that is the address of a proxy which does not say whom it asks for: see [`ClientAddress`](crate::ClientAddress).
    pub is_proxy: bool,
    /// The `Origin` of a web page.
    pub origin: Option<&'a str>,
}
