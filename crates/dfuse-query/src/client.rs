use std::net::{IpAddr, Ipv6Addr};

/// Bits of an IPv6 address that one client has for itself, and may vary: the smallest network that providers give.
const OWN_BITS: u32 = 64;

/// Who is charged for a request: whoever has its key, or else whoever is at its address. Requests without an address, such as those of tests, are all of one
/// client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client {
    network: Option<IpAddr>,
    /// Whoever has this key, wherever they are.
    key: Option<[u8; 32]>,
    /// Its streams take turns with its requests, so that neither holds the other up.
    is_stream: bool,
}

impl Client {
    /// Whoever is at that address, or at none.
    pub fn at(address: Option<IpAddr>) -> Self {
        Self { network: address.map(network), key: None, is_stream: false }
    }

    /// Whoever has that key.
    pub fn with_key(key: [u8; 32]) -> Self {
        Self { network: None, key: Some(key), is_stream: false }
    }

    /// The same, for what it is sent by streams.
    #[must_use]
    pub fn stream(self) -> Self {
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
        Client::at(Some(address.parse().unwrap()))
    }

    #[test]
    fn a_client_is_its_address_or_network() {
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
        assert_eq!(client("2001:db8:1:2:3::4"), client("2001:db8:1:2:ffff::"));
        assert_ne!(client("2001:db8:1:2::"), client("2001:db8:1:3::"));
        assert_ne!(client("10.0.0.1").stream(), client("10.0.0.1"));
        assert_eq!(Client::at(None), Client::default());
        assert_ne!(Client::with_key([1; 32]), Client::with_key([2; 32]));
    }
}
