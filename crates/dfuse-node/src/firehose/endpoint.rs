use std::{fmt, net::IpAddr, str::FromStr};

use tonic::transport::Uri;

/// Where a Firehose server is: `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    authority: String,
    /// Whether the connection is encrypted.
    tls: bool,
}

impl Endpoint {
    /// A place written as `HOST:PORT`, IPv6 addresses in brackets.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn new(text: &str, tls: bool) -> Result<Self, String> {
        let wrong = |why: &str| {
            let shown: String = text.chars().take(80).collect();
            format!("\"{shown}\" is not a Firehose endpoint: {why}; write HOST:PORT, such as blocks.example.com:443")
        };
        if text.contains('@') {
            return Err(wrong("tokens and keys are settings (firehose.token, firehose.api_key), not part of it"));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(wrong("its port must be a number from 1 to 65535"));
        }
        if host.is_empty() {
            return Err(wrong("the host is missing"));
        }
        let authority = format!("http://{text}").parse().ok().and_then(|uri: Uri| uri.into_parts().authority);
        if authority.is_none_or(|authority| authority.as_str() != text) {
            return Err(wrong("that is no host"));
        }
        Ok(Self { authority: text.to_owned(), tls })
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether it is this machine.
    pub(super) fn is_local(&self) -> bool {
        let host = self.authority.rsplit_once(':').map_or("", |(host, _)| host);
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// Where it is as a URL.
    pub(super) fn url(&self) -> String {
        format!("http{}://{}", if self.tls { "s" } else { "" }, self.authority)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

/// Endpoints that serve the same chain, the one to prefer first: `firehose:HOST:PORT,HOST:PORT` or, with TLS, `firehoses:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints(Vec<Endpoint>);

impl Endpoints {
    /// Them, at least one.
    pub fn all(&self) -> &[Endpoint] {
        &self.0
    }
}

impl FromStr for Endpoints {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tls, list) = match text.split_once(':') {
            Some(("firehose", list)) => (false, list),
            Some(("firehoses", list)) => (true, list),
            _ => return Err("endpoints begin with firehose: or firehoses:".to_owned()),
        };
        let endpoints: Vec<_> =
            list.split(',').map(|text| Endpoint::new(text.trim(), tls)).collect::<Result<_, _>>()?;
        match endpoints.iter().enumerate().find(|(at, endpoint)| endpoints[..*at].contains(endpoint)) {
            Some((_, twice)) => Err(format!("the Firehose endpoint {twice} is there twice")),
            None => Ok(Self(endpoints)),
        }
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.0.first().is_some_and(Endpoint::is_tls);
        f.write_str(if tls { "firehoses:" } else { "firehose:" })?;
        for (at, endpoint) in self.0.iter().enumerate() {
            write!(f, "{}{endpoint}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_round_trip() {
        for text in
            ["firehose:a:1", "firehoses:eos.example.com:443,[::1]:9000", "firehose:127.0.0.1:65535,localhost:9000"]
        {
            assert_eq!(text.parse::<Endpoints>().unwrap().to_string(), text);
        }
        for (wrong, why) in [
            ("firehose:", "\"\" is not"),
            ("firehose:host", "the port is missing"),
            ("firehose:host:0", "its port must be"),
            ("firehose:host:70000", "its port must be"),
            ("firehose::9000", "the host is missing"),
            ("firehose:a:1,", "\"\" is not"),
            ("firehose:a:1,b", "\"b\" is not"),
            ("firehose:a:1/x", "its port must be"),
            ("firehose:a/x:1", "that is no host"),
            ("firehose:a b:1", "that is no host"),
            ("firehose:key@host:1", "firehose.api_key"),
            ("firehose:a:1,b:1,a:1", "a:1 is there twice"),
            ("grpc:a:1", "begin with"),
        ] {
            let error = wrong.parse::<Endpoints>().unwrap_err();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }

    #[test]
    fn this_machine_is_known() {
        for (text, local) in [
            ("127.0.0.1:1", true),
            ("127.8.0.1:1", true),
            ("[::1]:1", true),
            ("localhost:1", true),
            ("10.0.0.1:1", false),
        ] {
            assert_eq!(Endpoint::new(text, false).unwrap().is_local(), local, "{text}");
        }
    }
}
