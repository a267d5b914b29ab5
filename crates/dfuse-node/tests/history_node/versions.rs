//! The history of a block in the form that nodes of different software give it.

use bytes::Bytes;
use dfuse_antelope::{
    PublicKey, Result, chain,
    model::{Action, ActionReceipt, TransactionHeader},
    raw::{Reader, Writer},
};
use dfuse_testkit::ship::Version;

use super::Sent;

/// A block whose history was recorded from Leap, as this software has it.
pub(crate) fn block(version: Version, recorded: &Sent) -> Sent {
    let mut sent = recorded.clone();
    if version.is_eosio() {
        sent.traces = sent.traces.as_ref().map(traces);
        sent.deltas = sent.deltas.as_ref().map(|recorded| deltas(version, recorded));
    }
    sent
}

/// Only the configuration of the chain differs.
fn deltas(version: Version, recorded: &Bytes) -> Bytes {
    let (mut reader, mut writer) = (Reader::new(recorded), Writer::new());
    let (r, w) = (&mut reader, &mut writer);
    let tables = r.varuint32().unwrap();
    w.varuint32(tables);
    for _ in 0..tables {
        w.varuint32(r.varuint32().unwrap());
        let table = r.string("table").unwrap();
        w.blob(table.as_bytes());
        let rows = r.varuint32().unwrap();
        w.varuint32(rows);
        for _ in 0..rows {
            w.bool(r.bool().unwrap());
            let row = r.blob("row").unwrap();
            if table == "global_property" { w.blob(&global_property(version, row)) } else { w.blob(row) }
        }
    }
    writer.bytes.into()
}

fn global_property(version: Version, row: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = (Reader::new(row), Writer::new());
    let (r, w) = (&mut reader, &mut writer);
    assert_eq!(r.varuint32().unwrap(), 1);
    w.varuint32(u32::from(version == Version::Eosio20));
    copy(r, w, |r| r.option(|r| r.u32()));
    copy(r, w, |r| r.u32());
    let producers = r.varuint32().unwrap();
    w.varuint32(producers);
    for _ in 0..producers {
        copy(r, w, |r| r.name());
        if version == Version::Eosio20 {
            copy(r, w, |r| r.varuint32());
            copy(r, w, |r| r.u32());
            copy(r, w, |r| r.list(2, "keys", |r| Ok((PublicKey::read(r)?, r.u16()?))));
        } else {
            // It knows one key for each.
            assert_eq!((r.varuint32().unwrap(), r.u32().unwrap(), r.varuint32().unwrap()), (0, 1, 1));
            copy(r, w, PublicKey::read);
            r.u16().unwrap();
        }
    }
    let form = r.varuint32().unwrap();
    w.varuint32(0);
    copy(r, w, |r| r.take(8 + 14 * 4 + 2 * 2, "configuration"));
    if form == 1 {
        r.u32().unwrap();
    }
    if version == Version::Eosio20 {
        copy(r, w, |r| r.checksum256());
    }
    writer.bytes
}

/// Traces whose actions return nothing.
fn traces(recorded: &Bytes) -> Bytes {
    let (mut reader, mut writer) = (Reader::new(recorded), Writer::new());
    let count = reader.varuint32().unwrap();
    writer.varuint32(count);
    (0..count).for_each(|_| trace(&mut reader, &mut writer));
    assert!(reader.is_empty());
    writer.bytes.into()
}

fn trace(r: &mut Reader<'_>, w: &mut Writer) {
    let exception = |r: &mut Reader<'_>| Ok((r.option(|r| r.string("exception"))?, r.option(|r| r.u64())?));
    copy(r, w, |r| {
        r.varuint32()?;
        r.take(32 + 1 + 4, "receipt")?;
        r.varuint32()?;
        r.take(8 + 8 + 1, "usage")?;
        Ok(())
    });
    let actions = r.varuint32().unwrap();
    w.varuint32(actions);
    for _ in 0..actions {
        assert_eq!(r.varuint32().unwrap(), 1);
        w.varuint32(0);
        copy(r, w, |r| {
            r.varuint32()?;
            r.varuint32()?;
            r.option(|r| r.varuint32().and_then(|_| ActionReceipt::unpack(r)))?;
            r.name()?;
            Action::unpack(r)?;
            r.bool()?;
            r.i64()?;
            r.string("console")?;
            r.list(16, "deltas", |r| r.take(16, "delta").map(|_| ()))?;
            exception(r)
        });
        r.bytes("return value").unwrap();
    }
    copy(r, w, |r| r.option(|r| r.take(16, "delta").map(|_| ())));
    copy(r, w, exception);
    let has_failed = r.bool().unwrap();
    w.bool(has_failed);
    if has_failed {
        trace(r, w);
    }
    copy(r, w, |r| {
        r.option(|r| {
            r.varuint32()?;
            TransactionHeader::unpack(r)?;
            chain::unpack_extensions(r)?;
            chain::unpack_signatures(r)?;
            r.list(1, "context-free data", |r| r.bytes("data"))
        })
    });
}

/// Writes what is read as it is.
fn copy<'a, T>(reader: &mut Reader<'a>, writer: &mut Writer, read: impl FnOnce(&mut Reader<'a>) -> Result<T>) {
    let (rest, from) = (reader.remaining(), reader.position());
    read(reader).unwrap();
    writer.take(&rest[..reader.position() - from]);
}
