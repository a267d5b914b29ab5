//! Whether an endpoint serves the chain that is wanted.

use dfuse_antelope::Checksum256;
use dfuse_proto::sf::firehose::v2::{InfoResponse, info_response::BlockIdEncoding};

/// Names of networks that endpoints call themselves by, and the ids of their chains.
const NETWORKS: [(&str, &str); 5] = [
    ("eos", "aca376f206b8fc25a6ed44dbdc66547c36c6c33e3a119ffbeaef943642f0e906"),
    ("wax", "1064487b3cd1a897ce03ae5b6a865651747e2e152090f99c1d19d44e01aae5a4"),
    ("telos", "4667b205c6838ef70ff7988f6e8257e8be0e1284a2f59699054a018f743b1d11"),
    ("jungle4", "73e4385a2708e6d7048834fbc1079f2fabb17b3c125b146af438971e90716c4d"),
    ("kylin", "5fff1dae8dc8e2fc4d5b23b2c7665c97f9e9d8edf2b6485a86ba311c25639191"),
];

/// Compares what an endpoint says of itself with what is known of the chain.
///
/// # Errors
/// Why it cannot be followed.
pub(crate) fn check(info: &InfoResponse, chain_id: Option<Checksum256>) -> Result<(), String> {
    let encoding = info.block_id_encoding();
    if ![BlockIdEncoding::Unset, BlockIdEncoding::Hex].contains(&encoding) {
        return Err(format!("it serves another kind of chain: its block ids are {}", encoding.as_str_name()));
    }
    let (Some(wanted), Some(found)) = (chain_id, chain_of(info)) else { return Ok(()) };
    if wanted == found {
        return Ok(());
    }
    Err(format!("it serves the chain {found} (\"{}\"), not {wanted}", info.chain_name))
}

/// The id of the chain, where the endpoint's name of it says which one it is.
fn chain_of(info: &InfoResponse) -> Option<Checksum256> {
    if let Ok(id) = info.chain_name.parse() {
        return Some(id);
    }
    let mut names = std::iter::once(&info.chain_name).chain(&info.chain_name_aliases);
    let known = names.find_map(|name| NETWORKS.iter().find(|(network, _)| network == name));
    known.and_then(|(_, id)| id.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(chain_name: &str) -> InfoResponse {
        InfoResponse { chain_name: chain_name.to_owned(), ..InfoResponse::default() }
    }

    #[test]
    fn other_chains_are_told() {
        let [eos, wax] = [0, 1].map(|at: usize| NETWORKS[at].1.parse::<Checksum256>().unwrap());
        for (_, id) in NETWORKS {
            id.parse::<Checksum256>().unwrap();
        }
        for fits in [info("eos"), info(&eos.to_string()), info("private"), info("")] {
            check(&fits, Some(eos)).unwrap();
            check(&fits, None).unwrap();
        }
        for other in [info("wax"), info(&wax.to_string())] {
            let error = check(&other, Some(eos)).unwrap_err();
            assert!(error.contains(&wax.to_string()) && error.contains(&eos.to_string()), "{error}");
        }
        let other = InfoResponse { block_id_encoding: BlockIdEncoding::Base58.into(), ..info("near") };
        assert!(check(&other, None).unwrap_err().contains("BASE58"));
    }
}
