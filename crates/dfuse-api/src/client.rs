use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::{extract::ConnectInfo, http::Extensions};

/// Bits of an IPv6 address that one client has for itself, and may vary: the smallest network that providers give.
const OWN_BITS: u32 = 64;

/// Who is charged for a request: whoever is at its address. Requests without an address, such as those of tests, are all of one
/// client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Client {
    network: Option<IpAddr>,
    /// Its streams take turns with its requests, so that neither holds the other up.
    is_stream: bool,
}

impl Client {
    /// The sender of a request with these extensions.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        Self { network: peer.map(|ConnectInfo(peer)| network(peer.ip())), is_stream: false }
    }

    /// The same, for what it is sent by streams.
    pub(crate) fn stream(self) -> Self {
        Self { is_stream: true, ..self }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> OWN_BITS << OWN_BITS).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Client {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(address.parse::<SocketAddr>().unwrap()));
        Client::of(&extensions)
    }

    #[test]
    fn a_client_is_its_address_or_network() {
        assert_eq!(client("10.0.0.1:1"), client("10.0.0.1:2"));
        assert_ne!(client("10.0.0.1:1"), client("10.0.0.2:1"));
        assert_eq!(client("[::ffff:10.0.0.1]:1"), client("10.0.0.1:2"));
        assert_eq!(client("[2001:db8:1:2:3::4]:1"), client("[2001:db8:1:2:ffff::]:2"));
        assert_ne!(client("[2001:db8:1:2::]:1"), client("[2001:db8:1:3::]:1"));
        assert_ne!(client("10.0.0.1:1").stream(), client("10.0.0.1:1"));
        assert_eq!(Client::of(&Extensions::new()), Client::default());
    }
}
