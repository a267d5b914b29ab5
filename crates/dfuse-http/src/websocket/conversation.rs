use std::{borrow::Cow, future::Future};

use axum::extract::ws::Utf8Bytes;
use dfuse_query::ApiError;

/// Codes of RFC 6455.
pub mod close_code {
    /// All was said.
    pub const NORMAL: u16 = 1000;
    /// The server stops.
    pub const GOING_AWAY: u16 = 1001;
    /// What came is not WebSocket.
    pub const PROTOCOL: u16 = 1002;
    /// A text is not UTF-8.
    pub const NOT_UTF8: u16 = 1007;
    /// The client does what it may not do.
    pub const POLICY: u16 = 1008;
    /// A message is too long.
    pub const TOO_BIG: u16 = 1009;
    /// The client may come back.
    pub const TRY_AGAIN_LATER: u16 = 1013;
}

/// Why a connection ends.
#[derive(Debug)]
pub enum End {
    /// The client said so, or is gone.
    Left,
    /// The server ends it, with this code and reason.
    Close(u16, Cow<'static, str>),
    /// The client may not ask any more.
    Lost(ApiError),
}

/// What is said on a connection. All its work ends when it is dropped.
pub trait Conversation: Send {
    /// Takes a text of the client. Nothing more is read before it returns. It returns why the connection ends, if it does.
    fn take(&mut self, text: &str) -> impl Future<Output = Option<End>> + Send;

    /// Does the same with a message that is not text.
    fn take_binary(&mut self, bytes: &[u8]) -> impl Future<Output = Option<End>> + Send;

    /// What is said last when the client may not ask any more.
    fn last_words(&self, error: &ApiError) -> Vec<Utf8Bytes>;

    /// Ends all work.
    fn end(self) -> impl Future<Output = ()> + Send;
}
