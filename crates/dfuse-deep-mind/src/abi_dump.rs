//! `ABIDUMP` lines: the ABIs that a node knows when it starts.

use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use dfuse_antelope::AbiDump;

use crate::{
    error::{Parse, Shown, Why},
    fields::Fields,
};

/// Reads a line of a dump into `dump`, and takes it with its last one.
pub(crate) fn read(fields: &mut Fields<'_>, at_work: &mut Option<AbiDump>) -> Parse<Option<AbiDump>> {
    match fields.next("operation")? {
        b"START" => {
            let mut dump = AbiDump::default();
            match fields.count() {
                0 => {}
                2 => {
                    dump.block_num = fields.u32("block number")?;
                    dump.global_sequence = fields.u64("global sequence")?;
                }
                other => return Err(Why::new(format!("{other} fields after START, where 0 or 2 are due"))),
            }
            *at_work = Some(dump);
            Ok(None)
        }
        b"ABI" => {
            let dump = at_work.as_mut().ok_or_else(|| Why::new("ABI outside of ABIDUMP START and END"))?;
            if fields.count() == 3 {
                // EOSIO 1.8 and 2.0 give the block number here instead of at the start.
                dump.block_num = fields.u32("block number")?;
            }
            let contract = fields.name("contract")?;
            let abi = fields.next("ABI")?;
            fields.end()?;
            let abi = BASE64.decode(abi).map_err(|_| Why::new(format!("ABI {} is not base64", Shown(abi))))?;
            dump.abis.push((contract, abi.into()));
            Ok(None)
        }
        b"END" => Ok(at_work.take()),
        other => Err(Why::new(format!("unknown operation {}", Shown(other)))),
    }
}

/// Nodes pad base64; a log that went through other hands may not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
