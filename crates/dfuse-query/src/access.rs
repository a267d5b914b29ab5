//! Who asks, what they may, and whom it is charged to.

use std::{fmt, net::IpAddr, sync::Arc};

use async_trait::async_trait;

use crate::{ApiError, ApiResult, Client};

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
}

/// Who asks. What they may do is decided once, when they are admitted; streams learn with [`Caller::lost`] when that is over.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Who is charged for the work.
    pub client: Client,
    /// How far back streams may begin: at this block if above 0, otherwise as many blocks below the head. Without
    /// it, anywhere.
    pub start_block: Option<i64>,
    /// What tells that they may no longer ask. Without it they may for as long as they stay.
    pub standing: Option<Arc<dyn Standing>>,
}

/// Watches over someone who was admitted, such as over the key that their token was issued for.
#[async_trait]
pub trait Standing: fmt::Debug + Send + Sync {
    /// Returns when they may not ask any more, with the error that tells why; at once if that is so already. It may be given up
    /// and called again.
    async fn lost(&self) -> ApiError;
}

impl Caller {
    /// Someone who may ask everything.
    pub fn unrestricted(client: Client) -> Self {
        Self { client, start_block: None, standing: None }
    }

    /// The first block that a stream may begin at.
    pub fn first_block(&self, head: u32) -> u32 {
        let first = match self.start_block {
            None => 0,
            Some(block) if block > 0 => block,
            Some(below) => i64::from(head).saturating_add(below),
        };
        u32::try_from(first.max(0)).unwrap_or(u32::MAX)
    }

    /// Returns when they may not ask any more, with the error that ends their streams. Never, if nothing can happen to them.
    pub async fn lost(&self) -> ApiError {
        match &self.standing {
            Some(standing) => standing.lost().await,
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
    }
}
