//! Runs the actions of one transaction in the order of nodeos, with receipts, ordinals and the lines that go with them.

use std::sync::Arc;

use dfuse_antelope::{BlockTimestamp, Checksum256, Name, raw::Writer};

use super::{
    AbiChange, Changes, LinkChange, PermissionChange, Random, Row, RowChange, RowKey, Software, TableKey, contracts,
    log::{DeferredStep, Log},
    state::{Deferred, Permission, State, Table},
    trace::{ActionReceipt, ActionTrace, Failure},
    wire::{Action, Level, Transaction},
};

/// RAM of a table, and of a row beside its data, in bytes.
const OVERHEAD: i64 = 112;
const SECONDARY_INDEX: i64 = 128;

/// The block that a transaction runs in.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) software: Software,
    pub(crate) number: u32,
    pub(crate) slot: u32,
    /// How long a deferred transaction may be executed after its delay, in milliseconds.
    pub(crate) deferred_window: i64,
    pub(crate) onblock_fails: bool,
}

impl Environment {
    pub(crate) fn milliseconds(&self) -> i64 {
        BlockTimestamp(self.slot).to_unix_ms()
    }
}

/// One transaction while it runs.
pub(crate) struct Context<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) log: &'a mut Log,
    pub(crate) random: &'a mut Random,
    pub(crate) environment: &'a Environment,
    pub(crate) id: Checksum256,
    pub(crate) traces: Vec<ActionTrace>,
    pub(crate) changes: Changes,
    /// Digests of action receipts.
    pub(crate) digests: Vec<Checksum256>,
    /// Actions completed: the index that operations carry.
    pub(crate) completed: u32,
    scratch: Writer,
}

/// Actions that a running one has scheduled, by ordinal.
#[derive(Default)]
struct Queue {
    notified: Vec<(Name, u32)>,
    context_free: Vec<u32>,
    inline: Vec<u32>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        state: &'a mut State,
        log: &'a mut Log,
        random: &'a mut Random,
        environment: &'a Environment,
        id: Checksum256,
    ) -> Self {
        Self {
            state,
            log,
            random,
            environment,
            id,
            traces: Vec::new(),
            changes: Changes::default(),
            digests: Vec::new(),
            completed: 0,
            scratch: Writer::new(),
        }
    }

    /// Runs all actions, each for its account or, of an error handler, for `receiver`.
    pub(crate) fn run(&mut self, transaction: &Transaction, receiver: Option<Name>) -> Result<(), Failure> {
        for action in &transaction.context_free_actions {
            self.schedule(Arc::new(action.clone()), action.account, true, 0, 0);
        }
        for action in &transaction.actions {
            self.schedule(Arc::new(action.clone()), receiver.unwrap_or(action.account), false, 0, 0);
        }
        for ordinal in 1..=self.traces.len() as u32 {
            self.log.creation("ROOT", self.completed);
            self.execute(ordinal)?;
        }
        Ok(())
    }

    fn schedule(
        &mut self,
        action: Arc<Action>,
        receiver: Name,
        context_free: bool,
        creator: u32,
        ancestor: u32,
    ) -> u32 {
        self.traces.push(ActionTrace {
            creator,
            unnotified_ancestor: ancestor,
            receipt: None,
            receiver,
            action,
            context_free,
            elapsed: 0,
            console: Vec::new(),
            ram_deltas: Vec::new(),
            disk_deltas: Vec::new(),
            failure: None,
            return_value: Vec::new(),
        });
        self.traces.len() as u32
    }

    fn execute(&mut self, ordinal: u32) -> Result<(), Failure> {
        let mut queue = Queue { notified: vec![(self.trace(ordinal).receiver, ordinal)], ..Queue::default() };
        let mut next = 0;
        while let Some((receiver, at)) = queue.notified.get(next).copied() {
            self.execute_one(receiver, at, ordinal, &mut queue)?;
            next += 1;
        }
        for inline in queue.context_free.into_iter().chain(queue.inline) {
            self.execute(inline)?;
        }
        Ok(())
    }

    fn trace(&mut self, ordinal: u32) -> &mut ActionTrace {
        &mut self.traces[ordinal as usize - 1]
    }

    fn execute_one(&mut self, receiver: Name, ordinal: u32, first: u32, queue: &mut Queue) -> Result<(), Failure> {
        let action = self.trace(ordinal).action.clone();
        let context_free = self.trace(ordinal).context_free;
        let (index, elapsed) = (self.completed, self.random.within(&(4..=180)));
        let mut call = Call {
            context: self,
            receiver,
            action: action.clone(),
            index,
            context_free,
            ordinal,
            first,
            queue,
            console: Vec::new(),
            output: Vec::new(),
            ram_deltas: Vec::new(),
            disk_deltas: Vec::new(),
        };
        let result = contracts::apply(&mut call);
        let Call { console, output, ram_deltas, disk_deltas, .. } = call;
        let returns = self.environment.software != Software::Eosio20;
        let trace = self.trace(ordinal);
        trace.elapsed = elapsed.into();
        trace.console = console;
        if let Err(failure) = &result {
            trace.failure = Some(failure.clone());
            return result;
        }
        trace.ram_deltas = ram_deltas;
        trace.disk_deltas = disk_deltas;
        if returns {
            trace.return_value = output;
        }
        let receipt = self.receipt(receiver, &action, ordinal);
        self.scratch.bytes.clear();
        receipt.pack(&mut self.scratch, receiver);
        self.digests.push(Checksum256::sha256(&self.scratch.bytes));
        self.trace(ordinal).receipt = Some(receipt);
        self.completed += 1;
        result
    }

    fn receipt(&mut self, receiver: Name, action: &Action, ordinal: u32) -> ActionReceipt {
        let returns = self.environment.software != Software::Eosio20;
        let output = &self.traces[ordinal as usize - 1].return_value;
        let act_digest = action.digest(returns.then_some(output), &mut self.scratch);
        self.state.count(|counts| counts.global_sequence += 1);
        let mut actors: Vec<_> = action.authorization.iter().map(|(actor, _)| *actor).collect();
        actors.sort_unstable();
        actors.dedup();
        let recv_sequence = self.state.change(receiver, |it| it.recv_sequence += 1).recv_sequence;
        let auth_sequence = actors.into_iter().map(|actor| {
            let counters = self.state.change(actor, |it| it.auth_sequence += 1);
            (actor, counters.auth_sequence)
        });
        let auth_sequence = auth_sequence.collect();
        let contract = self.state.counters(action.account);
        ActionReceipt {
            act_digest,
            global_sequence: self.state.counts().global_sequence,
            recv_sequence,
            auth_sequence,
            code_sequence: contract.code_sequence,
            abi_sequence: contract.abi_sequence,
        }
    }

    /// Changes an account's RAM usage and prints it, unless nothing changes.
    pub(crate) fn ram(&mut self, index: u32, unique_key: &str, event: &str, payer: Name, delta: i64) {
        if delta != 0 {
            let usage = self.state.change(payer, |it| it.ram += delta).ram;
            self.log.ram(index, unique_key, event, payer, usage, delta);
        }
    }

    /// Writes a permission and says so.
    pub(crate) fn write_permission(&mut self, index: u32, id: u64, new: Option<Permission>) {
        let old = self.state.permissions().get(&id).cloned();
        let kind = match (&old, &new) {
            (None, _) => "INS",
            (_, Some(_)) => "UPD",
            (_, None) => "REM",
        };
        self.log.permission(kind, index, id, old.as_ref(), new.as_ref());
        let keys = |it: &Option<Permission>| {
            Some(it.as_ref()?.authority.keys.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>())
        };
        let Some(Permission { owner, name, .. }) = new.as_ref().or(old.as_ref()) else { return };
        self.changes.permissions.push(PermissionChange {
            owner: *owner,
            name: *name,
            old: keys(&old),
            new: keys(&new),
        });
        self.state.set_permission(id, new);
    }

    /// Puts a transaction into the queue and returns its place. Its RAM is still to be charged.
    pub(crate) fn enqueue(&mut self, index: u32, step: DeferredStep, it: Deferred, packed: &[u8]) -> u64 {
        self.log.deferred(step, index, &it, packed);
        self.changes.deferred.push(it.transaction_id);
        let id = self.state.counts().next_deferred;
        self.state.count(|counts| counts.next_deferred += 1);
        self.state.set_deferred(id, Some(Arc::new(it)));
        id
    }
}

/// An action while a contract runs it: what contracts may ask the chain for.
pub(crate) struct Call<'c, 'a> {
    pub(crate) context: &'c mut Context<'a>,
    pub(crate) receiver: Name,
    pub(crate) action: Arc<Action>,
    /// The index that operations carry.
    pub(crate) index: u32,
    pub(crate) context_free: bool,
    ordinal: u32,
    first: u32,
    queue: &'c mut Queue,
    pub(crate) console: Vec<u8>,
    pub(crate) output: Vec<u8>,
    ram_deltas: Vec<(Name, i64)>,
    pub(crate) disk_deltas: Vec<(Name, i64)>,
}

impl Call<'_, '_> {
    pub(crate) fn has_authority(&self, actor: Name) -> bool {
        self.action.authorization.iter().any(|level| level.0 == actor)
    }

    pub(crate) fn require_authority(&self, actor: Name) -> Result<(), Failure> {
        self.check(self.has_authority(actor), || format!("missing authority of {actor}"))
    }

    pub(crate) fn check(&self, holds: bool, message: impl FnOnce() -> String) -> Result<(), Failure> {
        if holds { Ok(()) } else { Err(Failure::message(message())) }
    }

    /// Schedules the same action for another account, once.
    pub(crate) fn notify(&mut self, account: Name) {
        if self.queue.notified.iter().all(|(name, _)| *name != account) {
            self.context.log.creation("NOTIFY", self.index);
            let context_free = self.context_free;
            let ordinal = self.context.schedule(self.action.clone(), account, context_free, self.ordinal, self.first);
            self.queue.notified.push((account, ordinal));
        }
    }

    pub(crate) fn inline(&mut self, account: Name, name: Name, authorization: Vec<Level>, data: Vec<u8>) {
        self.context.log.creation("INLINE", self.index);
        let action = Arc::new(Action { account, name, authorization, data });
        let ordinal = self.context.schedule(action, account, false, self.ordinal, self.first);
        self.queue.inline.push(ordinal);
    }

    pub(crate) fn context_free_inline(&mut self, account: Name, name: Name, data: Vec<u8>) {
        self.context.log.creation("CFA_INLINE", self.index);
        let action = Arc::new(Action { account, name, authorization: vec![], data });
        let ordinal = self.context.schedule(action, account, true, self.ordinal, self.first);
        self.queue.context_free.push(ordinal);
    }

    pub(crate) fn ram(&mut self, unique_key: &str, event: &str, payer: Name, delta: i64) {
        self.context.ram(self.index, unique_key, event, payer, delta);
        match self.ram_deltas.binary_search_by_key(&payer, |(account, _)| *account) {
            Ok(at) => self.ram_deltas[at].1 += delta,
            Err(at) => self.ram_deltas.insert(at, (payer, delta)),
        }
    }

    pub(crate) fn row(&self, key: &RowKey) -> Option<Row> {
        self.context.state.rows().get(key).cloned()
    }

    /// Inserts a row; `indexed` if it has an entry in a secondary index.
    pub(crate) fn store(&mut self, key: RowKey, payer: Name, data: &[u8], indexed: bool) {
        let table = self.context.state.tables().get(&key.table).copied();
        let entries = 1 + u32::from(indexed);
        let table = match table {
            Some(table) => Table { rows: table.rows + entries, ..table },
            None => {
                self.ram(&table_text(&key.table), "table add create_table", payer, OVERHEAD);
                self.context.log.table("INS", self.index, &key.table, payer);
                Table { payer, rows: entries }
            }
        };
        self.context.state.set_table(key.table, Some(table));
        let text = row_text(&key);
        self.ram(&text, "table_row add primary_index_add", payer, OVERHEAD + data.len() as i64);
        self.context.log.row_inserted(self.index, &key, payer, data);
        if indexed {
            self.ram(&text, "secondary_index add secondary_index_add", payer, SECONDARY_INDEX);
        }
        self.write(key, None, Some(Row { payer, data: data.into() }));
    }

    /// Replaces a row's data and, with another `payer`, who pays.
    pub(crate) fn update(&mut self, key: RowKey, old: Row, payer: Name, data: &[u8], indexed: bool) {
        let (before, after) = (OVERHEAD + old.data.len() as i64, OVERHEAD + data.len() as i64);
        if payer != old.payer {
            let text = row_text(&key);
            self.ram(&text, "table_row remove primary_index_update_remove_old_payer", old.payer, -before);
            self.ram(&text, "table_row add primary_index_update_add_new_payer", payer, after);
        } else if before != after {
            self.ram(&row_text(&key), "table_row update primary_index_update", payer, after - before);
        }
        self.context.log.row_updated(self.index, &key, [old.payer, payer], &old.data, data);
        if indexed && payer != old.payer {
            let text = row_text(&key);
            self.ram(&text, "secondary_index remove secondary_index_remove", old.payer, -SECONDARY_INDEX);
            self.ram(&text, "secondary_index add secondary_index_update_add_new_payer", payer, SECONDARY_INDEX);
        }
        self.write(key, Some(old), Some(Row { payer, data: data.into() }));
    }

    /// Removes a row, and its table when it was the last.
    pub(crate) fn remove(&mut self, key: RowKey, old: Row, indexed: bool) {
        let text = row_text(&key);
        self.ram(&text, "table_row remove primary_index_remove", old.payer, -OVERHEAD - old.data.len() as i64);
        self.context.log.row_removed(self.index, &key, old.payer, &old.data);
        if indexed {
            self.ram(&text, "secondary_index remove secondary_index_remove", old.payer, -SECONDARY_INDEX);
        }
        let table = self.context.state.tables()[&key.table];
        let rows = table.rows - 1 - u32::from(indexed);
        if rows == 0 {
            self.ram(&table_text(&key.table), "table remove remove_table", table.payer, -OVERHEAD);
            self.context.log.table("REM", self.index, &key.table, table.payer);
        }
        self.context.state.set_table(key.table, (rows > 0).then_some(Table { rows, ..table }));
        self.write(key, Some(old), None);
    }

    fn write(&mut self, key: RowKey, old: Option<Row>, new: Option<Row>) {
        self.context.changes.rows.push(RowChange { key, old, new: new.clone() });
        self.context.state.set_row(key, new);
    }

    /// Sets an ABI; it counts from this very action on.
    pub(crate) fn set_abi(&mut self, account: Name, abi: Arc<[u8]>) {
        let global_sequence = self.context.state.counts().global_sequence + 1;
        self.context.state.set_abi(account, (!abi.is_empty()).then(|| abi.clone()));
        self.context.state.change(account, |it| it.abi_sequence += 1);
        self.context.changes.abis.push(AbiChange { account, global_sequence, abi });
    }

    pub(crate) fn set_link(&mut self, account: Name, code: Name, action: Name, link: Option<(u64, Name)>) {
        let permission = link.map(|(_, permission)| permission);
        self.context.changes.links.push(LinkChange { account, code, action, permission });
        self.context.state.set_link((account, code, action), link);
    }

    /// Takes a transaction out of the queue before its time.
    pub(crate) fn cancel(&mut self, id: u64, step: DeferredStep) {
        let it = self.context.state.deferred()[&id].clone();
        let remove_first = matches!(step, DeferredStep::ModifyCancel);
        if remove_first {
            self.ram(&id.to_string(), "deferred_trx cancel deferred_trx_cancel", it.payer, -it.ram);
        }
        self.context.log.deferred(step, self.index, &it, &it.transaction.packed());
        if !remove_first {
            self.ram(&id.to_string(), "deferred_trx cancel deferred_trx_cancel", it.payer, -it.ram);
        }
        self.context.changes.cancelled.push(it.transaction_id);
        self.context.state.set_deferred(id, None);
    }
}

pub(crate) fn table_text(it: &TableKey) -> String {
    format!("{}:{}:{}", it.code, it.scope, it.table)
}

fn row_text(it: &RowKey) -> String {
    format!("{}:{}", table_text(&it.table), Name(it.primary_key))
}
