use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// Bits of an IPv6 address that one client has for itself, and may vary: the smallest network that providers give.
const OWN_BITS: u32 = 64;

/// Elements of `X-Forwarded-For` that are looked at, from the last.
const MAX_ELEMENTS: usize = 32;

/// The proxies before the server, whose word about the client's address counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Number of proxies that every request goes through. Each adds the address of who asks it at the end of `X-Forwarded-For`,
    /// so that the client is so many elements from the end.
    pub hops: usize,
    /// Networks of proxies: the client is the last address that is in none of them.
    pub networks: Vec<IpNet>,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress {
    /// The client's address, or that of the proxy which says nothing that can be read of its client.
    pub address: IpAddr,
    /// Whether it is such a proxy's. Then it proves nothing of the client.
    pub is_proxy: bool,
}

impl Proxies {
    /// The client's address: the peer of the connection, unless that is a proxy that says otherwise. `forwarded` are the values of
    /// `X-Forwarded-For` in their order. What a client writes into that header itself is never believed.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl Iterator<Item = &'a str>) -> ClientAddress {
        let peer = peer.to_canonical();
        if self.hops == 0 && self.networks.is_empty() {
            return ClientAddress { address: peer, is_proxy: false };
        }
        let forwarded: Vec<&str> = forwarded.collect();
        let mut from_last =
            forwarded.iter().rev().flat_map(|header| header.rsplit(',')).take(MAX_ELEMENTS).map(address);
        if self.hops > 0 {
            let client = from_last.nth(self.hops - 1).flatten();
            return ClientAddress { address: client.unwrap_or(peer), is_proxy: client.is_none() };
        }
        let mut client = peer;
        while self.is_proxy(client) {
            match from_last.next() {
                Some(Some(before)) => client = before,
                Some(None) | None => break,
            }
        }
        ClientAddress { address: client, is_proxy: self.is_proxy(client) }
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        contains(&self.networks, address)
    }
}

/// Whether the address is in one of the networks.
pub(crate) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Reads an element, which may have a port.
fn address(element: &str) -> Option<IpAddr> {
    let element = element.trim().trim_matches('"');
    let bare = element.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(element);
    let address = bare.parse::<IpAddr>().or_else(|_| element.parse::<SocketAddr>().map(|it| it.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// The address that one client has for itself: of IPv6, its /64 network.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> OWN_BITS << OWN_BITS).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &Proxies, peer: &str, forwarded: &[&str]) -> String {
        proxies.client(peer.parse().unwrap(), forwarded.iter().copied()).address.to_string()
    }

    #[test]
    fn a_proxy_that_says_nothing_is_told_apart() {
        let by_network = Proxies { hops: 0, networks: vec!["10.0.0.0/8".parse().unwrap()] };
        let by_number = Proxies { hops: 1, networks: Vec::new() };
        let is_proxy = |proxies: &Proxies, forwarded: &[&str]| {
            proxies.client("10.0.0.1".parse().unwrap(), forwarded.iter().copied()).is_proxy
        };
        for forwarded in [&[][..], &[""], &["garbage"], &["1.2.3.4, garbage"]] {
            assert!(is_proxy(&by_network, forwarded) && is_proxy(&by_number, forwarded), "{forwarded:?}");
            assert!(!is_proxy(&Proxies::default(), forwarded));
        }
        assert!(!is_proxy(&by_network, &["1.2.3.4"]) && !is_proxy(&by_number, &["1.2.3.4"]));
    }

    #[test]
    fn without_proxies_nobody_is_believed() {
        assert_eq!(client(&Proxies::default(), "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client(&Proxies::default(), "::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn so_many_from_the_end() {
        let proxies = |hops| Proxies { hops, networks: Vec::new() };
        // What the client wrote itself is to the left.
        assert_eq!(client(&proxies(1), "10.0.0.1", &["1.1.1.1, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(&proxies(2), "10.0.0.1", &["1.1.1.1", "203.0.113.9,10.0.0.2"]), "203.0.113.9");
        // As many headers as elements.
        assert_eq!(client(&proxies(2), "10.0.0.1", &["203.0.113.9", "10.0.0.2"]), "203.0.113.9");
        // Who comes past the proxies is the peer.
        assert_eq!(client(&proxies(2), "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client(&proxies(1), "192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(client(&proxies(1), "192.0.2.1", &["unknown"]), "192.0.2.1");
    }

    #[test]
    fn the_last_that_is_no_proxy() {
        let proxies =
            Proxies { hops: 0, networks: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()] };
        assert_eq!(client(&proxies, "10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(client(&proxies, "203.0.113.9", &["1.1.1.1"]), "203.0.113.9");
        assert_eq!(client(&proxies, "2001:db8::1", &["[2001:db9::7]:4711"]), "2001:db9::7");
        assert_eq!(client(&proxies, "10.0.0.1", &["203.0.113.9:80"]), "203.0.113.9");
        assert_eq!(client(&proxies, "10.0.0.1", &["1.1.1.1, garbage"]), "10.0.0.1");
        assert_eq!(client(&proxies, "10.0.0.1", &["10.0.0.3"]), "10.0.0.3");
    }

    #[test]
    fn a_client_has_a_network() {
        assert_eq!(network("2001:db8:1:2:3::4".parse().unwrap()), "2001:db8:1:2::".parse::<IpAddr>().unwrap());
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), "10.0.0.1".parse::<IpAddr>().unwrap());
    }
}
