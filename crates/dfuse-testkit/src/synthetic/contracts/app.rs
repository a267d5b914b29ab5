//! An application: rows under names, numbers and symbols, inline actions, deferred transactions.

use dfuse_antelope::{Checksum256, Name, raw::Writer};

use super::{ACTIVE, APP, Call, Failure, TOKEN, unpack};
use crate::synthetic::{
    RowKey, Software, TableKey, abi,
    log::DeferredStep,
    state::{Deferred, State},
    wire::{Action, Transaction},
};

/// How deep inline actions may nest.
pub(crate) const INLINE_LIMIT: u8 = 3;

/// What becomes of a deferred transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Later {
    Executed = 0,
    /// Fails, and the error handler runs.
    SoftFail = 1,
    /// Fails, and so does the error handler.
    HardFail = 2,
    /// Nobody executes it in time.
    Expired = 3,
}

fn table(scope: Name, name: &'static str) -> TableKey {
    TableKey { code: APP, scope, table: Name::parse(name.as_bytes()).expect("a name") }
}

/// Which layout rows of `items` have: that of the ABI in force.
fn items_version(state: &State) -> u32 {
    match state.abis().get(&APP) {
        Some(abi) if **abi == *abi::app(2) => 2,
        _ => 1,
    }
}

pub(super) fn apply(call: &mut Call<'_, '_>, action: &Action) -> Result<(), Failure> {
    let data = &action.data;
    match action.name.to_string().as_str() {
        "put" => {
            let (scope, id, payer) = unpack(data, |r| Ok((r.name()?, r.u64()?, r.name()?)))?;
            let (value, note) = unpack(&data[24..], |r| Ok((r.u64()?, r.blob("note")?)))?;
            call.require_authority(payer)?;
            let mut w = Writer::new();
            w.u64(id);
            w.name(payer);
            w.u64(value);
            w.blob(note);
            if items_version(call.context.state) == 2 {
                w.u32(call.context.environment.number);
            }
            let key = RowKey { table: table(scope, "items"), primary_key: id };
            match call.row(&key) {
                Some(row) => call.update(key, row, payer, &w.bytes, true),
                None => call.store(key, payer, &w.bytes, true),
            }
            Ok(())
        }
        "give" => {
            let (scope, id, payer) = unpack(data, |r| Ok((r.name()?, r.u64()?, r.name()?)))?;
            call.require_authority(payer)?;
            let key = RowKey { table: table(scope, "items"), primary_key: id };
            let row = call.row(&key).ok_or_else(|| Failure::message("no such item"))?;
            let data = row.data.clone();
            call.update(key, row, payer, &data, true);
            Ok(())
        }
        "del" => {
            let (scope, id) = unpack(data, |r| Ok((r.name()?, r.u64()?)))?;
            let key = RowKey { table: table(scope, "items"), primary_key: id };
            let row = call.row(&key).ok_or_else(|| Failure::message("no such item"))?;
            call.remove(key, row, true);
            Ok(())
        }
        "count" => {
            let (scope, id) = unpack(data, |r| Ok((r.name()?, r.u64()?)))?;
            count(call, scope, id);
            Ok(())
        }
        "blob" => {
            let (scope, id) = unpack(data, |r| Ok((r.name()?, r.u64()?)))?;
            let content = unpack(&data[16..], |r| r.blob("data").map(<[u8]>::to_vec))?;
            let key = RowKey { table: table(scope, "blobs"), primary_key: id };
            match call.row(&key) {
                Some(row) if content.is_empty() && row.data.is_empty() => call.remove(key, row, false),
                Some(row) => {
                    let payer = row.payer;
                    call.update(key, row, payer, &content, false);
                }
                None => call.store(key, APP, &content, false),
            }
            Ok(())
        }
        "ping" | "pong" => {
            let (from, depth, width) = unpack(data, |r| Ok((r.name()?, r.u8()?, r.u8()?)))?;
            if action.name == Name::literal("ping") {
                call.require_authority(from)?;
            }
            inline_tree(call, from, depth, width);
            Ok(())
        }
        "event" => call.check(call.context_free, || "only as a context-free action".into()),
        "later" => {
            let (payer, id, delay, mode) = unpack(data, |r| Ok((r.name()?, r.u64()?, r.u32()?, r.u8()?)))?;
            call.require_authority(payer)?;
            later(call, payer, id.into(), delay, mode);
            Ok(())
        }
        "drop" => {
            let sender_id = u128::from(unpack(data, |r| r.u64())?);
            let id = find(call, sender_id).ok_or_else(|| Failure::message("no such deferred transaction"))?;
            call.cancel(id, DeferredStep::Cancel);
            Ok(())
        }
        "boom" => {
            count(call, Name(1), 1);
            call.console.extend_from_slice(b"about to fail");
            match unpack(data, |r| r.u8())? {
                mode if mode % 2 == 1 => Err(Failure::message("boom, as asked")),
                mode => Err(Failure::code(1000 + u64::from(mode))),
            }
        }
        "value" => {
            let from = unpack(data, |r| r.name())?;
            call.output = call.context.state.counters(from).recv_sequence.to_le_bytes().to_vec();
            Ok(())
        }
        "log" => {
            let text = unpack(data, |r| r.blob("text").map(<[u8]>::to_vec))?;
            call.console.extend_from_slice(&text);
            Ok(())
        }
        "kvset" => {
            let (payer, key) = unpack(data, |r| Ok((r.name()?, r.blob("key")?.to_vec())))?;
            let value = unpack(&data[8..], |r| r.blob("key").and_then(|_| r.blob("value").map(<[u8]>::to_vec)))?;
            set_key_value(call, key, Some((payer, value)));
            Ok(())
        }
        "kvdel" => {
            let key = unpack(data, |r| r.blob("key").map(<[u8]>::to_vec))?;
            set_key_value(call, key, None);
            Ok(())
        }
        other => Err(Failure::message(format!("no action {other}"))),
    }
}

fn count(call: &mut Call<'_, '_>, scope: Name, id: u64) {
    let key = RowKey { table: table(scope, "counters"), primary_key: id };
    let row = call.row(&key);
    let count = row.as_ref().map_or(0, |row| u64::from_le_bytes(row.data[8..].try_into().expect("two numbers"))) + 1;
    let mut w = Writer::new();
    w.u64(id);
    w.u64(count);
    match row {
        Some(row) => {
            let payer = row.payer;
            call.update(key, row, payer, &w.bytes, false);
        }
        None => call.store(key, APP, &w.bytes, false),
    }
}

/// Notifies `from`, then sends `width` inline actions, each with a tree less deep, and a context-free one.
fn inline_tree(call: &mut Call<'_, '_>, from: Name, depth: u8, width: u8) {
    count(call, Name(u64::from(depth)), u64::from(width));
    if depth == 0 || depth > INLINE_LIMIT {
        return;
    }
    for number in 0..width {
        let mut w = Writer::new();
        w.name(from);
        w.u8(depth - 1);
        w.u8(number);
        call.inline(APP, Name::literal("pong"), vec![(APP, ACTIVE)], w.bytes);
    }
    call.notify(from);
    call.context_free_inline(APP, Name::literal("event"), vec![depth, width, 0, 0]);
    call.notify(TOKEN);
}

fn find(call: &Call<'_, '_>, sender_id: u128) -> Option<u64> {
    let mut queue = call.context.state.deferred().iter();
    queue.find(|(_, it)| it.sender == APP && it.sender_id == sender_id).map(|(id, _)| *id)
}

fn later(call: &mut Call<'_, '_>, payer: Name, sender_id: u128, delay: u32, mode: u8) {
    let environment = call.context.environment;
    let now = environment.milliseconds();
    let mut actions = vec![Action {
        account: APP,
        name: Name::literal("count"),
        authorization: vec![(APP, ACTIVE)],
        data: [7u64.to_le_bytes(), (sender_id as u64 % 9).to_le_bytes()].concat(),
    }];
    if mode == Later::SoftFail as u8 || mode == Later::HardFail as u8 {
        let data = vec![mode];
        actions.push(Action { name: Name::literal("boom"), data, ..actions[0].clone() });
    }
    let mut transaction = Transaction { delay_seconds: delay, actions, ..Transaction::default() };
    if environment.software == Software::Eosio20 {
        transaction.expiration = (now / 1000) as u32 + delay + 1;
        transaction.ref_block_num = (environment.number - 1) as u16;
        transaction.ref_block_prefix = call.context.random.u64() as u32;
    } else {
        // Since the feature NO_DUPLICATE_DEFERRED_ID the header is empty and an extension says where it comes from.
        let mut w = Writer::new();
        w.checksum256(&call.context.id);
        w.take(&sender_id.to_le_bytes());
        w.name(APP);
        transaction.extensions.push((0, w.bytes));
    }
    let packed = transaction.packed();
    let delay_until = now + 1000 * i64::from(delay);
    let it = Deferred {
        transaction_id: Checksum256::sha256(&packed),
        sender: APP,
        sender_id,
        payer,
        published: now,
        delay_until,
        expiration: delay_until + environment.deferred_window,
        transaction,
        ram: 272 + packed.len() as i64,
        neglected: mode == Later::Expired as u8,
    };
    let (step, event) = match find(call, sender_id) {
        Some(id) => {
            call.cancel(id, DeferredStep::ModifyCancel);
            (DeferredStep::ModifyCreate, "deferred_trx update deferred_trx_add")
        }
        None => (DeferredStep::Create, "deferred_trx add deferred_trx_add"),
    };
    let (payer, ram) = (it.payer, it.ram);
    let id = call.context.enqueue(call.index, step, it, &packed);
    call.ram(&id.to_string(), event, payer, ram);
}

/// The app's error handler: notes the failure, or fails too if the transaction was made for that.
pub(super) fn on_error(call: &mut Call<'_, '_>, action: &Action) -> Result<(), Failure> {
    count(call, Name::literal("errors"), 0);
    call.console.extend_from_slice(b"onerror called on app\n");
    let sent = unpack(&action.data[16..], |r| r.blob("sent_trx"))?;
    // The last action's data is the mode; the extension, if there is one, follows.
    let boom =
        [&Name::literal("boom").0.to_le_bytes()[..], &[1], &APP.0.to_le_bytes(), &ACTIVE.0.to_le_bytes()].concat();
    let hard =
        sent.windows(boom.len() + 2).any(|it| it.starts_with(&boom) && it.ends_with(&[1, Later::HardFail as u8]));
    call.check(!hard, || "the error handler fails too".into())
}

/// EOSIO 2.1 only.
fn set_key_value(call: &mut Call<'_, '_>, key: Vec<u8>, new: Option<(Name, Vec<u8>)>) {
    let old = call.context.state.key_values().get(&(APP, key.clone())).cloned();
    let text = format!("{APP}:{}", const_hex::encode(&key));
    let size = |it: &(Name, Vec<u8>)| (112 + key.len() + it.1.len()) as i64;
    let index = call.index;
    match (&old, &new) {
        (None, Some(new)) => {
            call.ram(&text, "kv create .", new.0, size(new));
            call.disk_deltas.push((new.0, size(new)));
            call.context.log.key_value("INS", index, APP, &[new.0], &key, &[&new.1]);
        }
        (Some(old), Some(new)) => {
            call.ram(&text, "kv update .", new.0, size(new) - if old.0 == new.0 { size(old) } else { 0 });
            if old.0 != new.0 {
                call.ram(&text, "kv update .", old.0, -size(old));
            }
            call.context.log.key_value("UPD", index, APP, &[old.0, new.0], &key, &[&old.1, &new.1]);
        }
        (Some(old), None) => {
            call.ram(&text, "kv erase .", old.0, -size(old));
            call.context.log.key_value("REM", index, APP, &[old.0], &key, &[&old.1]);
        }
        (None, None) => return,
    }
    call.context.state.set_key_value((APP, key), new);
}
