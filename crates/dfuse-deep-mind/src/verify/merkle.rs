use dfuse_antelope::Checksum256;

/// SHA-256 of two digests.
pub(super) fn pair(left: &Checksum256, right: &Checksum256) -> Checksum256 {
    Checksum256::sha256([left.0, right.0].as_flattened())
}

/// The root of nodeos' legacy merkle tree; zero without leaves. In each pair the first bit tells left (0) from right (1), and
/// the last leaf of an odd number is its own neighbour. The leaves are used up.
pub(super) fn root(leaves: &mut [Checksum256]) -> Checksum256 {
    let mut count = leaves.len();
    while count > 1 {
        for at in 0..count.div_ceil(2) {
            let mut left = leaves[2 * at];
            let mut right = if 2 * at + 1 < count { leaves[2 * at + 1] } else { left };
            left.0[0] &= 0x7f;
            right.0[0] |= 0x80;
            leaves[at] = pair(&left, &right);
        }
        count = count.div_ceil(2);
    }
    leaves.first().copied().unwrap_or_default()
}
