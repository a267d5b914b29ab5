//! Rows of chain state, as snapshots have them; some are the same in deltas.

use dfuse_antelope::{BlockTimestamp, Checksum256, PublicKey, Result, TimePoint, model::PermissionLevel, raw::Reader};

use crate::state::{
    Account, AccountMetadata, AccountSequences, Authority, Code, CodeReference, ContractRow, DeferredTimes,
    GeneratedTransaction, KeyValue, Permission, PermissionLink, ResourceLimits, ResourceUsage, SecondaryKey,
    SecondaryRow, Table, UsageAccumulator,
};

pub(crate) fn account(reader: &mut Reader<'_>) -> Result<Account> {
    Ok(Account { name: reader.name()?, created: BlockTimestamp(reader.u32()?), abi: reader.bytes("ABI")? })
}

pub(crate) fn account_metadata(reader: &mut Reader<'_>) -> Result<AccountMetadata> {
    let name = reader.name()?;
    let sequences =
        AccountSequences { recv: reader.u64()?, auth: reader.u64()?, code: reader.u64()?, abi: reader.u64()? };
    let hash = reader.checksum256()?;
    let last_code_update = TimePoint(reader.i64()?);
    let privileged = reader.u32()? & 1 != 0;
    let reference = CodeReference { hash, vm_type: reader.u8()?, vm_version: reader.u8()? };
    let code = (hash != Checksum256::default()).then_some(reference);
    Ok(AccountMetadata { name, privileged, last_code_update, code, sequences: Some(sequences) })
}

pub(crate) fn code(reader: &mut Reader<'_>) -> Result<Code> {
    let hash = reader.checksum256()?;
    let code = reader.bytes("code")?;
    reader.u64()?; // accounts that have it
    reader.u32()?; // the block that had it first
    Ok(Code { reference: CodeReference { hash, vm_type: reader.u8()?, vm_version: reader.u8()? }, code })
}

pub(crate) fn generated_transaction(reader: &mut Reader<'_>) -> Result<GeneratedTransaction> {
    Ok(GeneratedTransaction {
        id: reader.checksum256()?,
        sender: reader.name()?,
        sender_id: u128_of(reader)?,
        payer: reader.name()?,
        times: Some(DeferredTimes {
            delay_until: TimePoint(reader.i64()?),
            expiration: TimePoint(reader.i64()?),
            published: TimePoint(reader.i64()?),
        }),
        transaction: reader.bytes("packed_trx")?,
    })
}

pub(crate) fn key_value(reader: &mut Reader<'_>) -> Result<KeyValue> {
    Ok(KeyValue {
        contract: reader.name()?,
        key: reader.bytes("key")?,
        value: reader.bytes("value")?,
        payer: reader.name()?,
    })
}

pub(crate) fn table(reader: &mut Reader<'_>) -> Result<Table> {
    Ok(Table {
        code: reader.name()?,
        scope: reader.name()?,
        table: reader.name()?,
        payer: reader.name()?,
        rows: Some(reader.u32()?),
    })
}

pub(crate) fn contract_row(reader: &mut Reader<'_>, table: &Table) -> Result<ContractRow> {
    let Table { code, scope, table, .. } = *table;
    let (primary_key, payer) = (reader.u64()?, reader.name()?);
    Ok(ContractRow { code, scope, table, primary_key, payer, value: reader.bytes("row")? })
}

/// An entry of a secondary index; `kind` counts kinds of indexes from 1, in the order of the file.
pub(crate) fn secondary_row(reader: &mut Reader<'_>, table: &Table, kind: u8) -> Result<SecondaryRow> {
    let Table { code, scope, table, .. } = *table;
    let (primary_key, payer) = (reader.u64()?, reader.name()?);
    let key = match kind {
        1 => SecondaryKey::U64(reader.u64()?),
        2 => SecondaryKey::U128(u128_of(reader)?),
        3 => SecondaryKey::U256([u128_of(reader)?, u128_of(reader)?]),
        4 => SecondaryKey::Double(reader.u64()?),
        _ => SecondaryKey::LongDouble(u128_of(reader)?),
    };
    Ok(SecondaryRow { code, scope, table, primary_key, payer, key })
}

pub(crate) fn permission(reader: &mut Reader<'_>) -> Result<Permission> {
    let (parent, owner, name) = (reader.name()?, reader.name()?, reader.name()?);
    let (last_updated, last_used) = (TimePoint(reader.i64()?), TimePoint(reader.i64()?));
    Ok(Permission { owner, name, parent, last_updated, last_used: Some(last_used), authority: authority(reader)? })
}

pub(crate) fn authority(reader: &mut Reader<'_>) -> Result<Authority> {
    Ok(Authority {
        threshold: reader.u32()?,
        keys: reader.list(36, "keys", |r| Ok((PublicKey::read(r)?, r.u16()?)))?,
        accounts: reader
            .list(18, "accounts", |r| Ok((PermissionLevel { actor: r.name()?, permission: r.name()? }, r.u16()?)))?,
        waits: reader.list(6, "waits", |r| Ok((r.u32()?, r.u16()?)))?,
    })
}

pub(crate) fn permission_link(reader: &mut Reader<'_>) -> Result<PermissionLink> {
    Ok(PermissionLink {
        account: reader.name()?,
        code: reader.name()?,
        action: reader.name()?,
        required_permission: reader.name()?,
    })
}

pub(crate) fn resource_limits(reader: &mut Reader<'_>) -> Result<ResourceLimits> {
    Ok(ResourceLimits {
        owner: reader.name()?,
        net_weight: reader.i64()?,
        cpu_weight: reader.i64()?,
        ram_bytes: reader.i64()?,
    })
}

pub(crate) fn resource_usage(reader: &mut Reader<'_>) -> Result<ResourceUsage> {
    Ok(ResourceUsage { owner: reader.name()?, net: usage(reader)?, cpu: usage(reader)?, ram_bytes: reader.u64()? })
}

pub(crate) fn usage(reader: &mut Reader<'_>) -> Result<UsageAccumulator> {
    Ok(UsageAccumulator { last_ordinal: reader.u32()?, value_ex: reader.u64()?, consumed: reader.u64()? })
}

pub(crate) fn u128_of(reader: &mut Reader<'_>) -> Result<u128> {
    Ok(u128::from_le_bytes(reader.array("uint128")?))
}
