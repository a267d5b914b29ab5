//! ABI dumps, put together of the parts that a server of ours sends.

use dfuse_antelope::{AbiDump, Name};
use dfuse_proto::dfuse::blocks::v1::{
    AbiDumpPart,
    abi_dump_part::{Beginning, ContractAbi, Part},
};

use super::Failure;

/// Most bytes of all ABIs: many times what the largest chain has.
const MAX_BYTES: usize = 1 << 30;
/// What a part counts for beside the bytes of its ABI: parts without any take room, too.
const PART_BYTES: usize = 1 << 10;

/// What has come so far.
#[derive(Debug, Default)]
pub(super) struct Dumps {
    dumps: Vec<AbiDump>,
    /// ABIs of the last dump that have not come.
    missing: u64,
    bytes: usize,
}

impl Dumps {
    /// Takes the next part.
    ///
    /// # Errors
    /// [`Failure::Lasting`] where it does not belong there, or all of them are more than any chain has.
    pub(super) fn add(&mut self, part: AbiDumpPart) -> Result<(), Failure> {
        self.bytes += PART_BYTES;
        match (part.part, self.dumps.last_mut()) {
            (Some(Part::Beginning(beginning)), _) if self.missing == 0 => {
                let Beginning { block_num, global_sequence, abi_count } = beginning;
                self.missing = abi_count;
                self.dumps.push(AbiDump { block_num, global_sequence, abis: Vec::new() });
            }
            (Some(Part::Abi(ContractAbi { contract, abi })), Some(dump)) if self.missing > 0 => {
                let contract: Name = contract.parse().map_err(|_| not_dumps())?;
                self.bytes += abi.len();
                self.missing -= 1;
                dump.abis.push((contract, abi.into()));
            }
            _ => return Err(not_dumps()),
        }
        if self.bytes > MAX_BYTES {
            return Err(Failure::Lasting("its ABI dumps are too large".to_owned()));
        }
        Ok(())
    }

    /// All dumps, once no part is left.
    ///
    /// # Errors
    /// [`Failure::Passing`] where some are missing.
    pub(super) fn finish(self) -> Result<Vec<AbiDump>, Failure> {
        if self.missing == 0 { Ok(self.dumps) } else { Err(Failure::Passing("its ABI dumps end too early".to_owned())) }
    }
}

fn not_dumps() -> Failure {
    Failure::Lasting("what it sends is not an ABI dump".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(abi_count: u64) -> AbiDumpPart {
        AbiDumpPart { part: Some(Part::Beginning(Beginning { block_num: 7, global_sequence: 0, abi_count })) }
    }

    fn abi(contract: &str) -> AbiDumpPart {
        AbiDumpPart { part: Some(Part::Abi(ContractAbi { contract: contract.to_owned(), abi: vec![1] })) }
    }

    fn added(parts: impl IntoIterator<Item = AbiDumpPart>) -> Result<Vec<AbiDump>, Failure> {
        let mut dumps = Dumps::default();
        parts.into_iter().try_for_each(|part| dumps.add(part))?;
        dumps.finish()
    }

    #[test]
    fn parts_become_dumps() {
        let dumps = added([beginning(2), abi("eosio"), abi("eosio.token"), beginning(0)]).unwrap();
        assert_eq!(dumps.iter().map(|dump| dump.abis.len()).collect::<Vec<_>>(), [2, 0]);
        assert_eq!(dumps[0].abis[1], ("eosio.token".parse().unwrap(), vec![1].into()));
        for wrong in [
            vec![abi("eosio")],
            vec![beginning(1), beginning(1)],
            vec![beginning(1), abi("eosio"), abi("eosio")],
            vec![beginning(1), abi("Not A Name")],
            vec![AbiDumpPart { part: None }],
        ] {
            assert_eq!(added(wrong), Err(not_dumps()));
        }
        assert!(matches!(added([beginning(1)]), Err(Failure::Passing(_))));
    }

    /// Whoever sends parts without end takes a bounded amount of memory.
    #[test]
    fn parts_without_end_are_refused() {
        for endless in [beginning(0), AbiDumpPart { part: abi("eosio").part }] {
            let first = std::iter::once(beginning(u64::MAX)).filter(|_| endless.part != beginning(0).part);
            let failure = added(first.chain(std::iter::repeat(endless.clone()))).unwrap_err();
            assert!(failure.to_string().contains("too large"), "{failure}");
        }
    }
}
