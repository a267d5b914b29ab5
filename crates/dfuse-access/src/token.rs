use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, KeyId, KeyKind, Refusal, Result};

/// How long a token lives, in seconds.
pub const TOKEN_SECONDS: u64 = 86_400;

/// How far clocks may differ, in seconds.
pub(crate) const LEEWAY_SECONDS: u64 = 60;

/// Longest token that is looked at.
pub(crate) const MAX_TOKEN_BYTES: usize = 8 << 10;

const LACKS_CLAIM: &str = "it lacks a claim: exp and iss are needed, and aud where an audience is set";
const NO_TOKEN_OF_OURS: &str = "it is not a JSON Web Token as this server issues them";

/// A token and when it ends.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct IssuedToken {
    /// The token: a JSON Web Token.
    pub token: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// When it ends and when it was issued, in seconds since 1970.
    pub(crate) exp: u64,
    #[serde(default)]
    pub(crate) iat: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<u64>,
    #[serde(default)]
    pub(crate) iss: String,
    /// Names the token.
    #[serde(default)]
    pub(crate) jti: String,
    /// The user, after `uid:`.
    #[serde(default)]
    pub(crate) sub: String,
    /// The id of the key.
    #[serde(default)]
    pub(crate) aki: String,
    #[serde(default)]
    pub(crate) tier: String,
    /// The first block that may be read: if 0 or below, so many below the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stblk: Option<i64>,
    /// Version of the claims.
    #[serde(default)]
    pub(crate) v: u32,
    /// The kind of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) usg: Option<String>,
    /// The origin of pages that may use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
}

impl Claims {
    /// The key that the token is of, if it was issued here.
    pub(crate) fn key(&self) -> Option<KeyId> {
        self.aki.parse().ok()
    }

    /// Whether it has not ended by this time. That is all that counts of the times in a token of ours: it counts from its beginning, but
    /// another machine may have issued it, whose clock is ahead.
    pub(crate) fn must_last(&self, now: u64) -> Result<(), Refusal> {
        if now > self.exp.saturating_add(LEEWAY_SECONDS) {
            let reason = "it has expired; get another one with POST /v1/auth/issue";
            return Err(Refusal::TokenInvalid { reason });
        }
        Ok(())
    }

    /// Whether it counts at this time. Other issuers may give tokens that begin later.
    pub(crate) fn check_time(&self, now: u64) -> Result<(), Refusal> {
        self.must_last(now)?;
        let begins = self.nbf.unwrap_or_default().max(self.iat);
        if begins > now.saturating_add(LEEWAY_SECONDS) {
            let reason = "it is of the future: compare the clocks of the server and of who issued it";
            return Err(Refusal::TokenInvalid { reason });
        }
        Ok(())
    }
}

/// What goes into a token beside times and names.
#[derive(Debug)]
pub(crate) struct Rights<'a> {
    pub(crate) key: KeyId,
    pub(crate) kind: KeyKind,
    pub(crate) user: String,
    pub(crate) tier: &'a str,
    pub(crate) history: Option<u32>,
    pub(crate) origin: Option<String>,
}

impl Rights<'_> {
    pub(crate) fn claims(self, issuer: &str, jti: String, now: u64) -> Claims {
        Claims {
            exp: now + TOKEN_SECONDS,
            iat: now,
            nbf: None,
            iss: issuer.to_owned(),
            jti,
            sub: self.user,
            aki: self.key.to_string(),
            tier: self.tier.to_owned(),
            // Without a limit: from the first block on.
            stblk: Some(self.history.map_or(1, |blocks| -i64::from(blocks))),
            v: 1,
            usg: Some(self.kind.name().to_owned()),
            origin: self.origin,
        }
    }
}

/// A token's id: a random UUID, from these bytes.
pub(crate) fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = const_hex::encode(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The header of a token before anything is believed of it.
pub(crate) fn header(token: &str) -> Result<Header, Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::TokenInvalid { reason: "it is too long" });
    }
    jsonwebtoken::decode_header(token).map_err(|error| refusal(&error))
}

/// What a token says, once its signature, algorithm and issuer are right.
pub(crate) fn verify(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
    issuer: &str,
    audience: Option<&str>,
) -> Result<Claims, Refusal> {
    let mut validation = Validation::new(algorithm);
    // By our clock, below.
    validation.validate_exp = false;
    // What has no number in exp is told apart below from what has none.
    validation.set_required_spec_claims(if audience.is_some() { &["iss", "aud"][..] } else { &["iss"] });
    validation.set_issuer(&[issuer]);
    match audience {
        Some(audience) => validation.set_audience(&[audience]),
        None => validation.validate_aud = false,
    }
    jsonwebtoken::decode::<Value>(token, key, &validation)
        .map_err(|error| refusal(&error))
        .and_then(|token| claims(token.claims))
}

/// What a token says, with its times in whole seconds: other issuers write fractions of them, too.
fn claims(mut said: Value) -> Result<Claims, Refusal> {
    let invalid = |reason| Refusal::TokenInvalid { reason };
    if said.get("exp").is_none() {
        return Err(invalid(LACKS_CLAIM));
    }
    let times = [
        ("exp", "its exp must be a number of seconds since 1970, such as 1800000000, and not a text"),
        ("iat", "its iat must be a number of seconds since 1970, such as 1800000000, and not a text"),
        ("nbf", "its nbf must be a number of seconds since 1970, such as 1800000000, and not a text"),
    ];
    for (name, wrong) in times {
        if let Some(time) = said.get_mut(name) {
            let seconds = time.as_f64().ok_or_else(|| invalid(wrong))?;
            // What is before 1970 or beyond all times is cut to the nearest.
            *time = time.as_u64().unwrap_or(seconds as u64).into();
        }
    }
    serde_json::from_value(said).map_err(|_| invalid(NO_TOKEN_OF_OURS))
}

/// Our own words: those of the library may repeat what came.
fn refusal(error: &jsonwebtoken::errors::Error) -> Refusal {
    use jsonwebtoken::errors::ErrorKind;
    let reason = match error.kind() {
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidIssuer => "another issuer signed it",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "its algorithm is not that of its key"
        }
        ErrorKind::MissingRequiredClaim(_) => LACKS_CLAIM,
        _ => NO_TOKEN_OF_OURS,
    };
    Refusal::TokenInvalid { reason }
}

/// Writes a token.
pub(crate) fn sign(claims: &Claims, kid: &str, key: &jsonwebtoken::EncodingKey) -> Result<String> {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, claims, key).map_err(|error| Error::Crypto(error.to_string()))
}
