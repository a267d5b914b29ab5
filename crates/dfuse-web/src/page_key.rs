//! The API key that pages act with for whoever gives none of their own.

use std::{fmt, sync::Arc};

use axum::http::{HeaderValue, request::Parts};
use dfuse_http::{Api, sender};
use dfuse_query::{ApiResult, Asking, ErrorCode, KeyKind, Surface};

use crate::cookies::cookie;

/// The cookie with a token for the key, for what the script asks the API: completions and streams.
const COOKIE: &str = "dfuse_page_token";

/// An API key. Browsers get tokens for it, so it must be of the kind for web pages. Never shown.
#[derive(Clone)]
pub struct PageKey(Arc<str>);

impl fmt::Debug for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageKey(***)")
    }
}

impl PageKey {
    /// The text of the key.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Why pages cannot act with it, if they cannot.
    pub async fn problem(&self, api: &Api) -> Option<String> {
        let asking = Asking { token: None, peer: None, forwarded_for: None, origin: None, surface: Surface::Rest };
        match api.access().admit_key(&self.0, &asking).await {
            Ok(caller) if caller.key_kind() == Some(KeyKind::Web) => None,
            Ok(caller) => Some(match caller.key_kind() {
                Some(kind) => format!("it is a {kind} key, and browsers get tokens for it: name a web key"),
                None => "this server has no keys".to_owned(),
            }),
            Err(error) if error.code() == ErrorCode::Maintenance => None,
            Err(error) => Some(error.message().to_owned()),
        }
    }

    /// Admits whoever sent a request with the key, if nothing else says who they are; then gives a cookie for their browser,
    /// unless it has one. A key that is not valid counts for nothing: they are anonymous then.
    ///
    /// # Errors
    /// What keeps them out with the key: a limit, or an origin.
    pub(crate) async fn admit(&self, api: &Api, parts: &mut Parts) -> ApiResult<Option<HeaderValue>> {
        const USELESS: [ErrorCode; 3] = [ErrorCode::ApiKeyInvalid, ErrorCode::ApiKeyRevoked, ErrorCode::Maintenance];
        let is_known = async |parts: &Parts| {
            let own = sender::admit(api, parts, Surface::Rest).await;
            own.is_ok_and(|caller| !caller.is_anonymous())
        };
        if sender::has_token(parts) || is_known(parts).await {
            return Ok(None);
        }
        let caller = match sender::admit_key(api, parts, &self.0, Surface::Rest).await {
            Ok(caller) if caller.key_kind() == Some(KeyKind::Web) => caller,
            Ok(_) => return Ok(None),
            Err(error) if USELESS.contains(&error.code()) => return Ok(None),
            Err(error) => return Err(error),
        };
        parts.extensions.insert(caller);
        if cookie(&parts.headers, COOKIE).is_some() {
            return Ok(None);
        }
        // Without it the page is not live.
        let Ok(issued) = sender::issue(api, parts, &self.0).await else { return Ok(None) };
        let seconds = issued.expires_at.saturating_sub(api.chain().clock.now().as_secs());
        let secure = if api.http_options().tls.is_some() { "; Secure" } else { "" };
        let cookie = format!("{COOKIE}={}; Path=/; SameSite=Strict; Max-Age={seconds}{secure}", issued.token);
        Ok(HeaderValue::from_str(&cookie).ok())
    }
}
