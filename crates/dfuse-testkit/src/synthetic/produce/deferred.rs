//! Transactions that wait: pushed with a delay or made by contracts, executed, expired or failed.

use dfuse_antelope::{Checksum256, Name, raw::Writer};

use super::{Producer, Ran, Work, expected_actions, unsigned};
use crate::synthetic::{
    Changes, ExpectedTransaction, Status,
    contracts::ACTIVE,
    execute::Context,
    log::DeferredStep,
    state::Deferred,
    trace::Trace,
    wire::{Action, Executed, SignedTransaction},
};

const DEFERRED_PER_BLOCK: usize = 20;

impl Producer {
    /// Executes what waits in the queue for its time, or lets it expire.
    pub(super) fn due(&mut self, work: &mut Work) {
        let now = work.environment.milliseconds();
        let due = |it: &Deferred| it.expiration < now || it.delay_until <= now && !it.neglected;
        let queue = self.state.deferred().iter().filter(|(_, it)| due(it)).take(DEFERRED_PER_BLOCK);
        let queue: Vec<_> = queue.map(|(id, it)| (*id, it.clone())).collect();
        for (place, it) in queue {
            self.state.set_deferred(place, None);
            let usage = self.state.change(it.payer, |counters| counters.ram -= it.ram).ram;
            let event = "deferred_trx remove deferred_trx_removed";
            self.log.ram(0, &place.to_string(), event, it.payer, usage, -it.ram);
            self.log.pending.deferred_removed += 1;
            if it.expiration < now {
                let id = it.transaction_id;
                let ran = Ran::nothing();
                let receipt = Some((Status::Expired as u8, 0, 0));
                let trace = Trace { receipt, ..self.scheduled_trace(&it) };
                self.receipt(work, Status::Expired, 0, 0, Executed::Deferred(id));
                self.applied(work, &trace, ran, true);
            } else {
                self.deferred(work, &it);
            }
        }
    }

    fn scheduled_trace(&mut self, it: &Deferred) -> Trace {
        Trace { scheduled: true, account_ram_delta: Some((it.payer, -it.ram)), ..self.trace(it.transaction_id) }
    }

    fn deferred(&mut self, work: &mut Work, it: &Deferred) {
        let id = it.transaction_id;
        let cpu = self.random.within(&(100..=600));
        let mark = self.state.mark();
        let ran = self.run(work, id, &it.transaction, None);
        let payer = it.transaction.actions[0].authorization[0].0;
        let Err(failure) = ran.result.clone() else {
            self.bill(work, payer, cpu, 0);
            let receipt = Some((Status::Executed as u8, cpu, 0));
            let trace = Trace { receipt, actions: ran.actions.clone(), ..self.scheduled_trace(it) };
            self.receipt(work, Status::Executed, cpu, 0, Executed::Deferred(id));
            self.applied(work, &trace, ran, false);
            return;
        };
        self.state.roll_back(mark);
        self.log.deferred_failed(ran.completed);
        let failed = Trace { actions: ran.actions.clone(), failure: Some(failure), ..self.scheduled_trace(it) };
        if it.sender == Name(0) {
            self.bill(work, payer, cpu, 0);
            let trace = Trace { receipt: Some((Status::HardFail as u8, cpu, 0)), ..failed };
            self.receipt(work, Status::HardFail, cpu, 0, Executed::Deferred(id));
            self.applied(work, &trace, ran, true);
            return;
        }
        let operations = self.log.pending.take_removal();
        let failed = Trace { account_ram_delta: None, ..failed };
        work.facts.transactions.push(ExpectedTransaction {
            id,
            status: Some(Status::SoftFail),
            reverted: true,
            scheduled: true,
            actions: expected_actions(&failed),
            operations,
            changes: Changes::default(),
        });
        self.on_error(work, it, failed, cpu);
    }

    fn on_error(&mut self, work: &mut Work, it: &Deferred, failed: Trace, cpu: u32) {
        let mut data = Writer::new();
        data.take(&it.sender_id.to_le_bytes());
        data.blob(&it.transaction.packed());
        let name = Name::literal("onerror");
        let authorization = vec![(it.sender, ACTIVE)];
        let action = Action { account: Name::EOSIO, name, authorization, data: data.bytes };
        let transaction = self.own_transaction(work, vec![action]);
        let id = Checksum256::sha256(&transaction.packed());
        let mut printed = transaction.clone();
        if !self.prints_implicit_first() {
            // Leap prints it after its actions have been moved elsewhere.
            printed.actions.clear();
        }
        let mut w = Writer::new();
        unsigned(&printed).pack(&mut w);
        self.log.implicit_transaction("onerror", &Checksum256::sha256(&printed.packed()), &w.bytes);

        let mark = self.state.mark();
        // The handler's receiver is the sender, not the account of the action.
        let ran = self.run(work, id, &transaction, Some(it.sender));
        let failure = ran.result.clone().err();
        let status = if failure.is_none() { Status::SoftFail } else { Status::HardFail };
        if failure.is_some() {
            self.state.roll_back(mark);
        }
        self.bill(work, it.sender, cpu, 0);
        self.receipt(work, status, cpu, 0, Executed::Deferred(it.transaction_id));
        let trace = Trace {
            receipt: Some((status as u8, cpu, 0)),
            actions: ran.actions.clone(),
            account_ram_delta: Some((it.payer, -it.ram)),
            failed: Some(Box::new(failed)),
            failure,
            ..self.trace(id)
        };
        let reverted = status == Status::HardFail;
        if reverted {
            self.log.pending = self.log.pending.reverted();
        }
        self.applied(work, &trace, ran, reverted);
    }

    pub(super) fn delay(
        &mut self,
        work: &mut Work,
        pushed: &SignedTransaction,
        id: Checksum256,
        packed: Vec<u8>,
        net_words: u32,
        payer: Name,
    ) {
        let mut w = Writer::new();
        pushed.pack(&mut w);
        let published = work.environment.milliseconds();
        let delay_until = published + 1000 * i64::from(pushed.transaction.delay_seconds);
        let ram = 204 + w.bytes.len() as i64;
        let word = |at: usize| u64::from_le_bytes(id.0[at..at + 8].try_into().expect("eight bytes"));
        let it = Deferred {
            transaction_id: id,
            sender: Name(0),
            sender_id: u128::from(word(24)) << 64 | u128::from(word(16)),
            payer,
            published,
            delay_until,
            expiration: delay_until + work.environment.deferred_window,
            transaction: pushed.transaction.clone(),
            ram,
            neglected: self.random.chance(150),
        };
        let mut context = Context::new(&mut self.state, &mut self.log, &mut self.random, &work.environment, id);
        let place = context.enqueue(0, DeferredStep::PushCreate, it, &w.bytes);
        context.ram(0, &place.to_string(), "deferred_trx push deferred_trx_pushed", payer, ram);
        let changes = context.changes;
        let cpu = self.random.within(&(100..=250));
        self.bill(work, payer, cpu, net_words);
        let receipt = Some((Status::Delayed as u8, cpu, net_words));
        let trace = Trace { receipt, account_ram_delta: Some((payer, ram)), ..self.trace(id) };
        self.receipt(work, Status::Delayed, cpu, net_words, Executed::Pushed(id, packed, pushed.clone()));
        self.applied(work, &trace, Ran { changes, ..Ran::nothing() }, true);
    }
}
