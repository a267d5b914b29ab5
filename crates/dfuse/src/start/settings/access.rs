//! The section `access`, and what follows from it.

use std::net::SocketAddr;

use dfuse_access::{IpNet, Issuer, Mode, Options, Proxies, Rate, TierOptions};
use serde::{Deserialize, Serialize};

use super::section::section;
use crate::failure::usage;

section! {
    /// Who may ask, and how much.
    pub(crate) struct Access in "access."
    with options = Options::default();
    {
        /// Who needs a token: "open", nobody; "optional", whoever wants more than anonymous callers may; "required",
        /// everybody. Not set: open, but then the server must listen on a loopback address. See docs/access.md
        mode: Option<Mode> = None,
        /// A token that grants unlimited access to everybody who knows it. Not set: none
        secret: Option<String> = None,
        /// Networks whose callers need no token and have no limits, such as ["10.0.0.0/8"]
        networks: Vec<String> = Vec::new(),
        /// Networks whose callers see /metrics and /dashboard without a token, such as ["127.0.0.1"]. The rest of the API still
        /// asks them for a token. In open mode everybody sees both
        operator_networks: Vec<String> = Vec::new(),
        /// How many proxies every request passes through: the client's address is that many elements from the end of
        /// X-Forwarded-For. 0: there is no proxy, and the header is ignored
        proxy_hops: usize = 0,
        /// The networks of the proxies, as an alternative: the client's address is the last one in X-Forwarded-For that is
        /// in none of them
        proxy_networks: Vec<String> = Vec::new(),
        /// The tiers, each a table [[access.tiers]]: name; and optionally routes (of look_up, list, search, stream, chain,
        /// push, explorer; all without it), history (blocks below the head), rate and rates = { search = "2/s" } of a key,
        /// address_rate and address_rates of one address, max_connections, max_streams
        tiers: Vec<TierOptions> = Vec::new(),
        /// The tier of callers without a token. Not set: in optional mode "anonymous", which has 10 requests a second and 2
        /// searches unless access.tiers defines a tier with this name; in open mode no limits
        anonymous_tier: Option<String> = None,
        /// The iss claim of tokens that this server issues
        issuer: String = options.issuer,
        /// Other issuers whose tokens are accepted, each a table [[access.issuers]]: name (their iss); keys (their JSON Web Key
        /// Set, a file or a URL); and optionally audience (their aud) and tier (for tokens that name none; by default
        /// "anonymous")
        issuers: Vec<IssuerSettings> = Vec::new(),
        /// Maximum rate at which one address may request tokens
        issue_rate: Rate = options.issue_rate,
        /// Maximum rate of wrong tokens and keys from one address before further ones are refused
        guess_rate: Rate = options.guess_rate,
        /// How much search work counts as one request, in the units of "work" that explain=true shows
        work_per_request: u64 = options.work_per_request,
        /// Start in maintenance mode: everything but health and metrics is answered with 503
        maintenance: bool = false,
        /// Value of Retry-After during maintenance, in seconds
        maintenance_retry_seconds: u64 = options.maintenance_retry_seconds,
        /// Number of days after which a new signing key replaces the current one
        rotate_days: u64 = 30,
        /// Private keys to sign tokens with, for machines that share them: P-256 in PKCS #8, as PEM or its base64
        /// (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 prints one). The first key signs, and all of
        /// them verify: to replace a key, put the new one first, and remove the old one a day later. Empty: the data
        /// directory has keys of its own, which rotate
        signing_keys: Vec<String> = Vec::new(),
    }
}

/// Another issuer whose tokens count.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IssuerSettings {
    pub(crate) name: String,
    /// A file, or an address.
    pub(crate) keys: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<String>,
    /// The tier of tokens that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tier: Option<String>,
}

impl Access {
    /// Who is let in at this address.
    ///
    /// # Errors
    /// A setting that cannot be, or an address that everybody can reach without anybody having said that they may.
    pub(crate) fn options(&self, listen: SocketAddr) -> anyhow::Result<Options> {
        if self.mode.is_none() && !listen.ip().is_loopback() {
            return Err(usage(format!(
                "{listen} can be reached from elsewhere, and nobody would need a token; set access.mode to \"open\" if that is \
                 wanted, or to \"optional\" or \"required\" (variable DFUSE_ACCESS__MODE)"
            )));
        }
        let mode = self.mode.unwrap_or_default();
        if mode == Mode::Open && self.secret.is_some() {
            return Err(usage(
                "access.secret has no effect where nobody needs a token; set access.mode to \"required\" or \"optional\", or leave \
                 the secret out",
            ));
        }
        if self.proxy_hops > 0 && !self.proxy_networks.is_empty() {
            return Err(usage("access.proxy_hops and access.proxy_networks say the same in two ways; set one of them"));
        }
        if self.rotate_days == 0 {
            return Err(usage("access.rotate_days must be 1 or more"));
        }
        for issuer in &self.issuers {
            if issuer.name == self.issuer {
                return Err(usage(format!(
                    "access.issuers: \"{}\" is the name of this server's own tokens (access.issuer); give one of both another name",
                    issuer.name
                )));
            }
            if issuer.name.is_empty() || issuer.keys.is_empty() {
                return Err(usage("each of access.issuers needs a name and its keys, a file or an address"));
            }
        }
        let issuers = self.issuers.iter().map(|it| Issuer {
            name: it.name.clone(),
            audience: it.audience.clone(),
            tier: it.tier.clone(),
        });
        Ok(Options {
            mode,
            secret: self.secret.clone().map(Into::into),
            networks: networks("networks", &self.networks)?,
            operator_networks: networks("operator_networks", &self.operator_networks)?,
            proxies: Proxies { hops: self.proxy_hops, networks: networks("proxy_networks", &self.proxy_networks)? },
            tiers: self.tiers.clone(),
            anonymous_tier: self.anonymous_tier.clone(),
            issuer: self.issuer.clone(),
            issuers: issuers.collect(),
            issue_rate: self.issue_rate,
            guess_rate: self.guess_rate,
            work_per_request: self.work_per_request,
            maintenance_retry_seconds: self.maintenance_retry_seconds,
            ..Options::default()
        })
    }
}

/// Networks, or single addresses.
fn networks(setting: &str, texts: &[String]) -> anyhow::Result<Vec<IpNet>> {
    let network = |text: &String| {
        let whole = || text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address));
        text.parse().ok().or_else(whole).ok_or_else(|| {
            usage(format!("setting \"access.{setting}\": \"{text}\" is not a network; write 10.0.0.0/8, 2001:db8::/32 or an address"))
        })
    };
    texts.iter().map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(change: impl FnOnce(&mut Access), listen: &str) -> Result<Options, String> {
        let mut access = Access::default();
        change(&mut access);
        access.options(listen.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_public_address_wants_a_mode() {
        for local in ["127.0.0.1:80", "127.1.2.3:80", "[::1]:80"] {
            assert_eq!(options(|_| (), local).unwrap().mode, Mode::Open);
        }
        for public in ["0.0.0.0:80", "192.0.2.1:80", "[::]:80", "10.0.0.1:80"] {
            assert!(options(|_| (), public).unwrap_err().contains("DFUSE_ACCESS__MODE"));
            for mode in [Mode::Open, Mode::Optional, Mode::Required] {
                assert_eq!(options(|access| access.mode = Some(mode), public).unwrap().mode, mode);
            }
        }
    }

    #[test]
    fn what_cannot_be() {
        for (change, message) in [
            ((|access| access.secret = Some("a".into())) as fn(&mut Access), "no effect"),
            (|access| access.networks = vec!["10.0.0.0/33".into()], "setting \"access.networks\""),
            (|access| access.operator_networks = vec!["here".into()], "setting \"access.operator_networks\""),
            (|access| (access.proxy_hops, access.proxy_networks) = (1, vec!["10.0.0.0/8".into()]), "set one of them"),
            (|access| access.issuers = vec![IssuerSettings::default()], "needs a name"),
            (|access| access.rotate_days = 0, "1 or more"),
        ] {
            let error = options(change, "127.0.0.1:80").unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        let one = options(|access| access.networks = vec!["10.0.0.1".into()], "127.0.0.1:80").unwrap();
        assert_eq!(one.networks, ["10.0.0.1/32".parse::<IpNet>().unwrap()]);
    }
}
