//! The gate of keys and tokens, as surfaces ask it.

use std::sync::Arc;

use async_trait::async_trait;
use dfuse_access::{Gate, Grant, IssuedToken, KeyKind, Mode, Refusal, Standing, UsedSinceStart};
use serde_json::Value;

use crate::{Access, ApiError, ApiResult, Asking, Caller, Client, ErrorCode};

/// Lets in whom a gate lets in.
#[derive(Debug, Clone)]
pub struct GateAccess(pub Arc<Gate>);

impl GateAccess {
    /// What the gate is to know, with the client's address behind proxies.
    fn asking<'a>(&self, asking: &Asking<'a>) -> dfuse_access::Asking<'a> {
        let Asking { token, peer, forwarded_for, origin, .. } = *asking;
        let client = peer.map(|peer| self.0.client(peer, forwarded_for.into_iter()));
        let is_proxy = client.is_some_and(|client| client.is_proxy);
        dfuse_access::Asking { token, address: client.map(|client| client.address), is_proxy, origin }
    }
}

#[async_trait]
impl Access for GateAccess {
    async fn admit(&self, asking: &Asking<'_>) -> ApiResult<Caller> {
        let asking = self.asking(asking);
        Ok(caller(self.0.admit(&asking)?, &asking))
    }

    async fn admit_key(&self, api_key: &str, asking: &Asking<'_>) -> ApiResult<Caller> {
        let asking = self.asking(asking);
        Ok(caller(self.0.admit_key(api_key, &asking)?, &asking))
    }

    async fn admit_operator(&self, asking: &Asking<'_>) -> ApiResult<Caller> {
        let asking = self.asking(asking);
        Ok(caller(self.0.admit_operator(&asking)?, &asking))
    }

    async fn issue(&self, api_key: &str, asking: &Asking<'_>) -> ApiResult<IssuedToken> {
        let dfuse_access::Asking { address, origin, .. } = self.asking(asking);
        let issued = self.0.issue(api_key, address, origin).map_err(ApiError::unexpected)?;
        Ok(issued?)
    }

    fn public_keys(&self) -> Value {
        self.0.public_keys()
    }

    fn used_since_start(&self) -> UsedSinceStart {
        self.0.used_since_start()
    }

    fn is_open(&self) -> bool {
        self.0.mode() == Mode::Open
    }

    fn closed(&self) -> Option<ApiError> {
        self.0.closed().map(ApiError::from)
    }
}

/// Whoever has the grant, and who is charged.
fn caller(grant: Grant, asking: &dfuse_access::Asking<'_>) -> Caller {
    let client = match grant.key() {
        // Those of others are used by many.
        Some((id, KeyKind::Server)) => Client::with_key(id.to_bytes()),
        _ => Client::at(asking.address),
    };
    Caller { client, start_block: grant.start_block(), grant: Some(grant) }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::TokenMissing => Self::new(ErrorCode::TokenMissing, message),
            Refusal::TokenInvalid { reason } => {
                Self::new(ErrorCode::TokenInvalid, message).detail("token", "").detail("reason", reason)
            }
            Refusal::KeyInvalid => Self::new(ErrorCode::ApiKeyInvalid, message),
            Refusal::KeyRevoked => Self::new(ErrorCode::ApiKeyRevoked, message),
            Refusal::Origin { origin } => Self::new(ErrorCode::OriginNotAllowed, message).detail("origin", origin),
            Refusal::Tier { tier, required } => {
                Self::new(ErrorCode::TierNotAllowed, message).detail("tier", tier).detail("required_tier", required)
            }
            Refusal::TierUnknown { tier } => Self::new(ErrorCode::TierNotAllowed, message).detail("tier", tier),
            Refusal::Rate(standing) | Refusal::Guesses(standing) => rate_limited(standing, message),
            Refusal::Number { counted, limit } => {
                Self::new(ErrorCode::TooManyOpen, message).detail("kind", counted.to_string()).detail("limit", limit)
            }
            Refusal::Maintenance { retry_seconds } => {
                Self::new(ErrorCode::Maintenance, message).retry_after(u32::try_from(retry_seconds).unwrap_or(u32::MAX))
            }
        }
    }
}

fn rate_limited(standing: Standing, message: String) -> ApiError {
    let Standing { limit, remaining, reset_seconds } = standing;
    ApiError::new(ErrorCode::RateLimited, message)
        .detail("limit", limit)
        .detail("remaining", remaining)
        .detail("reset", reset_seconds)
        .retry_after(u32::try_from(reset_seconds).unwrap_or(u32::MAX))
}
