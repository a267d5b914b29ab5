use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::Error;

/// Most bytes of an `Origin` that is looked at.
const MAX_BYTES: usize = 512;

/// Web pages from which a key may be used: `https://app.example.com`, `https://*.example.com` for every host below it, or `*` for
/// all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginPattern(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    /// The origin as browsers write it.
    Exact(String),
    /// What is before the star, and what is after it with its dot.
    Below {
        scheme: String,
        host: String,
    },
}

impl OriginPattern {
    /// Whether the `Origin` of a request is one of these. What is not an origin matches `*` only.
    pub fn matches(&self, origin: &str) -> bool {
        match &self.0 {
            Pattern::Any => true,
            Pattern::Exact(exact) => normal(origin).is_some_and(|origin| origin == *exact),
            Pattern::Below { scheme, host } => normal(origin).is_some_and(|origin| {
                let name = origin.strip_prefix(scheme.as_str()).and_then(|rest| rest.strip_suffix(host.as_str()));
                name.is_some_and(|name| !name.is_empty())
            }),
        }
    }

    /// The origin if it is only one.
    pub fn exact(&self) -> Option<&str> {
        match &self.0 {
            Pattern::Exact(origin) => Some(origin),
            Pattern::Any | Pattern::Below { .. } => None,
        }
    }
}

/// An origin as browsers write it: scheme and host in small letters, without the usual port.
fn normal(origin: &str) -> Option<String> {
    if origin.len() > MAX_BYTES {
        return None;
    }
    let url = Url::parse(origin).ok()?;
    let is_bare = url.path() == "/" || url.path().is_empty();
    let is_bare = is_bare && url.query().is_none() && url.fragment().is_none() && !origin.ends_with('/');
    (is_bare && url.has_host() && url.username().is_empty() && url.password().is_none()).then(|| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default().to_ascii_lowercase())
    })
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Any => f.write_str("*"),
            Pattern::Exact(origin) => f.write_str(origin),
            Pattern::Below { scheme, host } => write!(f, "{scheme}*{host}"),
        }
    }
}

impl FromStr for OriginPattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::Invalid(format!(
                "\"{text}\" is not an origin; write it as a browser sends it, as https://app.example.com, or \
                 https://*.example.com for every host below it, or * for all"
            ))
        };
        if text == "*" {
            return Ok(Self(Pattern::Any));
        }
        match text.split_once("*.") {
            None => Ok(Self(Pattern::Exact(normal(text).ok_or_else(wrong)?))),
            Some((scheme, host)) if scheme.ends_with("://") => {
                let origin = normal(&format!("{scheme}{host}")).ok_or_else(wrong)?;
                let (scheme, host) = origin.split_once("://").ok_or_else(wrong)?;
                if !host.contains('.') {
                    return Err(wrong());
                }
                Ok(Self(Pattern::Below { scheme: format!("{scheme}://"), host: format!(".{host}") }))
            }
            Some(_) => Err(wrong()),
        }
    }
}

impl TryFrom<String> for OriginPattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<OriginPattern> for String {
    fn from(origin: OriginPattern) -> Self {
        origin.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_pages_match() {
        for (pattern, origins) in [
            ("*", &["https://any.where", "null", ""][..]),
            (
                "https://app.example.com",
                &["https://app.example.com", "HTTPS://App.Example.com", "https://app.example.com:443"],
            ),
            ("http://localhost:8080", &["http://localhost:8080"]),
            ("https://*.example.com", &["https://a.example.com", "https://b.a.example.com"]),
            ("https://*.example.com:8443", &["https://a.example.com:8443"]),
        ] {
            let pattern: OriginPattern = pattern.parse().unwrap();
            for origin in origins {
                assert!(pattern.matches(origin), "{pattern} {origin}");
            }
            assert_eq!(pattern.to_string().parse::<OriginPattern>().unwrap(), pattern);
        }
    }

    #[test]
    fn which_do_not() {
        for (pattern, origins) in [
            (
                "https://app.example.com",
                &[
                    "http://app.example.com",
                    "https://app.example.com:8443",
                    "https://app.example.com.evil.org",
                    "https://evilapp.example.com",
                    "https://app.example.com@evil.org",
                    "https://user@app.example.com",
                    "https://app.example.com/",
                    "https://app.example.com/path",
                    "null",
                    "",
                ][..],
            ),
            (
                "https://*.example.com",
                &[
                    "https://example.com",
                    "https://evilexample.com",
                    "https://a.example.com.evil.org",
                    "http://a.example.com",
                ],
            ),
        ] {
            let pattern: OriginPattern = pattern.parse().unwrap();
            for origin in origins {
                assert!(!pattern.matches(origin), "{pattern} {origin}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for wrong in [
            "",
            "example.com",
            "https://",
            "https://a.com/path",
            "https://a.*.com",
            "*.example.com",
            "https://*.com",
            "null",
        ] {
            assert!(wrong.parse::<OriginPattern>().is_err(), "{wrong}");
        }
    }
}
