use dfuse_antelope::Checksum256;
use dfuse_kv::Durability;

use crate::ScratchSpace;

/// How a pipeline or a follower works.
#[derive(Debug, Clone)]
pub struct Options {
    /// The chain's id, if it is known.
    pub chain_id: Option<Checksum256>,
    /// Memory of final blocks that are gathered for one commit when catching up, about.
    pub batch_bytes: usize,
    /// Memory for the writes of reversible blocks, about; what goes beyond is put into the scratch space.
    pub overlay_bytes: usize,
    /// Where that is.
    pub scratch: ScratchSpace,
    /// What a commit has survived when it returns.
    pub durability: Durability,
    /// Indexes that are to be built again, whatever the store has of them. `*` for all that must be.
    pub rebuild: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chain_id: None,
            batch_bytes: 32 << 20,
            overlay_bytes: 512 << 20,
            scratch: ScratchSpace::in_memory(),
            durability: Durability::Buffer,
            rebuild: Vec::new(),
        }
    }
}
