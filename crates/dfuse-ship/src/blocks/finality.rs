//! What a node of the Spring family says of the finality of a block. The blocks' schema has no place for it: it serves proofs to other
//! chains. It is compared with the header, as another part of the same answer.

use dfuse_antelope::{Result as Decoded, raw::Reader};

use super::{HistoryBlock, consensus::claim};
use crate::{Error, Result};

/// Bytes before the claim: versions of the form and the generation of finalizers (three u32), and two roots.
const BEFORE_CLAIM: usize = 3 * 4 + 2 * 32;

impl HistoryBlock {
    /// Compares the block with the `finality_data` of its message.
    ///
    /// # Errors
    /// The bytes are wrong, or claim something else to be final than the block's header.
    pub fn must_agree_with(&self, finality_data: &[u8]) -> Result<()> {
        let wrong = |why: String| Error::Block { number: self.id.block_num(), why };
        let claimed = claimed(finality_data).map_err(|error| wrong(format!("its finality data: {error}")))?;
        let of_header = claim(&self.signed.header).map_err(|error| wrong(error.to_string()))?;
        match of_header {
            Some((number, _)) if number == claimed => Ok(()),
            of_header => Err(wrong(format!(
                "its finality data claims block {claimed} to be certified, and its header {}",
                of_header.map_or("none".to_owned(), |(number, _)| format!("block {number}"))
            ))),
        }
    }
}

/// `latest_qc_claim_block_num` of packed finality data.
fn claimed(finality_data: &[u8]) -> Decoded<u32> {
    let mut reader = Reader::new(finality_data);
    reader.take(BEFORE_CLAIM, "finality data")?;
    reader.u32()
}
