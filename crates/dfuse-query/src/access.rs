//! Who asks, what they may, and whom it is charged to.

use std::{fmt, net::IpAddr};

use async_trait::async_trait;
use dfuse_access::{Grant, IssuedToken, KeyId, KeyKind, Place, RouteClass, Standing, Subject, Usage, UsedSinceStart};
use serde_json::{Value, json};

use crate::{ApiError, ApiResult, Client, ErrorCode};

/// Decides who may ask.
#[async_trait]
pub trait Access: fmt::Debug + Send + Sync {
    /// Says who asks and what they may do, or why they may not. Asked once for each request and each connection, but not for
    /// what is open to all, such as `/healthz`.
    ///
    /// # Errors
    /// The error that the client gets: that of a token which is missing or not valid, of an origin that is not allowed, or of a
    /// limit.
    async fn admit(&self, asking: &Asking<'_>) -> ApiResult<Caller>;

    /// The same for somebody who presents an API key itself, where a surface takes one. Without keys it counts for nothing.
    ///
    /// # Errors
    /// Those of [`Access::admit`], and that of a key which is not valid.
    async fn admit_key(&self, _api_key: &str, asking: &Asking<'_>) -> ApiResult<Caller> {
        self.admit(asking).await
    }

    /// The same for what is for operators: what each key has used, and what others have asked. Under maintenance, too.
    ///
    /// # Errors
    /// Those of [`Access::admit`], `auth_token_missing_error` and `auth_invalid_tier_error`.
    async fn admit_operator(&self, asking: &Asking<'_>) -> ApiResult<Caller> {
        let caller = self.admit(asking).await?;
        if !self.is_open() && caller.is_anonymous() {
            return Err(ApiError::new(ErrorCode::TokenMissing, "This is for operators, who have a token."));
        }
        Ok(caller)
    }

    /// Issues a token for an API key.
    ///
    /// # Errors
    /// `auth_invalid_api_key_error` where there are no keys; otherwise those of keys, origins and rates.
    async fn issue(&self, _api_key: &str, _asking: &Asking<'_>) -> ApiResult<IssuedToken> {
        Err(ApiError::new(ErrorCode::ApiKeyInvalid, "This server has no API keys."))
    }

    /// The public keys that tokens are verified with, as a JSON Web Key Set.
    fn public_keys(&self) -> Value {
        json!({"keys": []})
    }

    /// What callers used since the start.
    fn used_since_start(&self) -> UsedSinceStart {
        UsedSinceStart::default()
    }

    /// Whether nobody needs a token, not even for what is for operators.
    fn is_open(&self) -> bool {
        true
    }

    /// Why nobody is answered at the moment, if that is so.
    fn closed(&self) -> Option<ApiError> {
        None
    }
}

/// What a surface knows of someone before it answers them.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The token, in whichever way the surface takes one; absent if it is empty.
    pub token: Option<&'a str>,
    /// The address at the other end of the connection: a client's or a proxy's. Absent where there is no connection, as in tests.
    pub peer: Option<IpAddr>,
    /// Which addresses a request came from on its way, as the header `X-Forwarded-For` has it. Anybody can say so.
    pub forwarded_for: Option<&'a str>,
    /// The header `Origin`: the web page that asks.
    pub origin: Option<&'a str>,
    /// Where they ask.
    pub surface: Surface,
}

/// Where a question comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// `/v0/*` and the like.
    Rest,
    /// `/v1/stream`.
    WebSocket,
    /// `/v1/chain/*`.
    Node,
    /// `/graphql`, over HTTP and WebSocket.
    Graphql,
    /// gRPC.
    Grpc,
}

/// Who asks. What they may do is decided once, when they are admitted; streams learn with [`Caller::lost`] when that is over.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Who is charged for the work.
    pub client: Client,
    /// How far back they may go: to this block if above 0, otherwise as many blocks below the head. Without it, anywhere.
    pub start_block: Option<i64>,
    /// What limits them and counts what they use. Without it nothing does.
    pub grant: Option<Grant>,
}

impl Caller {
    /// Someone who may ask everything.
    pub fn unrestricted(client: Client) -> Self {
        Self { client, start_block: None, grant: None }
    }

    /// Whether nothing says who they are.
    pub fn is_anonymous(&self) -> bool {
        self.grant.as_ref().is_none_or(|grant| *grant.subject() == Subject::Anonymous)
    }

    /// The first block that they may read.
    pub fn first_block(&self, head: u32) -> u32 {
        let first = match self.start_block {
            None => 0,
            Some(block) if block > 0 => block,
            Some(below) => i64::from(head).saturating_add(below),
        };
        u32::try_from(first.max(0)).unwrap_or(u32::MAX)
    }

    /// Whether they may read what was at this block.
    ///
    /// # Errors
    /// `auth_invalid_history_error`.
    pub fn may_read(&self, block: u32, head: u32) -> ApiResult<()> {
        let first = self.first_block(head);
        if block >= first {
            return Ok(());
        }
        let message = format!("This access reaches back to block {first}; block {block} is before it.");
        Err(ApiError::new(ErrorCode::HistoryNotAllowed, message)
            .detail("request_block_num", block)
            .detail("first_block_num", first))
    }

    /// Takes one request of the class, and says where they stand if there is a limit.
    ///
    /// # Errors
    /// `auth_invalid_tier_error` and `rate_limit_exceeded_error`.
    pub fn take(&self, class: RouteClass) -> ApiResult<Option<Standing>> {
        let Some(grant) = &self.grant else { return Ok(None) };
        grant.require(class)?;
        Ok(grant.take(class)?)
    }

    /// Where they stood when a request was last taken, if there was a limit.
    pub fn standing(&self) -> Option<Standing> {
        self.grant.as_ref()?.standing()
    }

    /// The id of their API key, if they have one that was made here. It is no secret.
    pub fn key_id(&self) -> Option<KeyId> {
        self.grant.as_ref()?.key().map(|(id, _)| id)
    }

    /// Of which kind it is. A key in web pages or in programs of many people is everybody's.
    pub fn key_kind(&self) -> Option<KeyKind> {
        self.grant.as_ref()?.key().map(|(_, kind)| kind)
    }

    /// Charges work that was done beyond what a request is worth.
    pub fn charge_work(&self, class: RouteClass, work: u64) {
        if let Some(grant) = &self.grant {
            grant.charge_work(class, work);
        }
    }

    /// A place for a connection that streams go over, until it is dropped.
    ///
    /// # Errors
    /// `auth_too_many_open_error`.
    pub fn connection(&self) -> ApiResult<Place> {
        Ok(self.grant.as_ref().map(Grant::connection).transpose()?.unwrap_or_default())
    }

    /// A place for a stream, until it is dropped.
    ///
    /// # Errors
    /// `auth_too_many_open_error`.
    pub fn stream(&self) -> ApiResult<Place> {
        Ok(self.grant.as_ref().map(Grant::stream).transpose()?.unwrap_or_default())
    }

    /// Counts what they used.
    pub fn record(&self, usage: Usage) {
        if let Some(grant) = &self.grant {
            grant.record(usage);
        }
    }

    /// Returns when they may not ask any more, with the error that ends their streams. Never, if nothing can happen to them.
    pub async fn lost(&self) -> ApiError {
        match &self.grant {
            Some(grant) => grant.ended().await.into(),
            None => std::future::pending().await,
        }
    }
}

/// Everybody may ask everything; whatever token they send is not looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenAccess;

#[async_trait]
impl Access for OpenAccess {
    async fn admit(&self, asking: &Asking<'_>) -> ApiResult<Caller> {
        Ok(Caller::unrestricted(Client::at(asking.peer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(start_block: Option<i64>) -> Caller {
        Caller { start_block, ..Caller::default() }
    }

    #[test]
    fn where_streams_may_begin() {
        for (start_block, head, first) in
            [(None, 10_000, 0), (Some(-1000), 10_000, 9000), (Some(9000), 10_000, 9000), (Some(-1000), 10, 0)]
        {
            assert_eq!(caller(start_block).first_block(head), first);
        }
        assert_eq!(caller(Some(i64::MAX)).first_block(1), u32::MAX);
        assert_eq!(caller(Some(i64::MIN)).first_block(1), 0);
        caller(Some(-1000)).may_read(9000, 10_000).unwrap();
        let refused = caller(Some(-1000)).may_read(8999, 10_000).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::HistoryNotAllowed);
        assert_eq!(refused.details()["first_block_num"], 9000);
    }
}
