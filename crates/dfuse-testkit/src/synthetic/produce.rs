//! Produces blocks: runs transactions, prints their lines, and notes what a reader must find.

mod deferred;

use std::sync::Arc;

use dfuse_antelope::{BlockTimestamp, Checksum256, Name, Signature, raw::Writer};

use super::{
    Builder, Changes, ExpectedAction, ExpectedTransaction, Facts, Operations, Random, Software, Status, SyntheticBlock,
    abi,
    block::{Body, Head, Sealed, private_key},
    contracts::{ACTIVE, Feature, create_account, create_permission},
    execute::{Context, Environment},
    log::Log,
    scenario::{Scenario, Wish, bootstrap, new_user},
    state::{Authority, State},
    trace::{ActionTrace, Failure, Trace, TracePacker},
    wire::{Action, Executed, Receipt, SignedTransaction, Transaction},
};

/// Slots over which usage of an account decays: a day.
const ACCOUNT_WINDOW: u64 = 172_800;
/// Blocks over which usage of blocks decays.
const BLOCK_WINDOW: u64 = 120;
/// Most new users a block while the chain is set up.
const USERS_PER_BLOCK: u32 = 100;
const NET_TARGET: u64 = 104_857;
const NET_MAX: u64 = 1_048_576;

pub(crate) struct Producer {
    pub(crate) options: Builder,
    pub(crate) state: State,
    pub(crate) head: Head,
    pub(crate) log: Log,
    pub(crate) random: Random,
    /// Accounts that are not users come first.
    first_user: usize,
    producers: Vec<Name>,
}

/// A block while it is produced.
struct Work {
    environment: Environment,
    packer: TracePacker,
    receipts: Vec<Receipt>,
    digests: Vec<Checksum256>,
    facts: Facts,
    pending_net: u64,
    pending_cpu: u64,
}

/// What a run of actions left.
struct Ran {
    actions: Vec<ActionTrace>,
    changes: Changes,
    digests: Vec<Checksum256>,
    completed: u32,
    result: Result<(), Failure>,
}

impl Producer {
    pub(crate) fn new(options: Builder) -> Self {
        const NAMES: &[&str] = &[
            "proda", "prodb", "prodc", "prodd", "prode", "prodf", "prodg", "prodh", "prodi", "prodj", "prodk", "prodl",
            "prodm", "prodn", "prodo", "prodp", "prodq", "prodr", "prods", "prodt", "produ",
        ];
        let count = if options.producers == 1 { 0 } else { options.producers as usize };
        let producers = NAMES[..count].iter().map(|name| Name::parse(name.as_bytes()).expect("a name")).collect();
        let mut producer = Self {
            state: State::default(),
            head: Head::genesis(options.start_slot, options.seed),
            log: Log::new(options.software),
            random: Random::new(options.seed),
            first_user: 5 + count,
            producers,
            options,
        };
        producer.genesis();
        producer
    }

    /// What a node prints before its first block.
    fn genesis(&mut self) {
        let Self { state, log, random, head, options, .. } = self;
        log.resource_config("INS", [20_000, 200_000], [NET_TARGET, NET_MAX]);
        log.resource_state("INS", [&head.net, &head.cpu], [0, 0], [head.virtual_net, head.virtual_cpu]);
        let environment = Environment {
            software: options.software,
            number: 1,
            slot: head.slot,
            deferred_window: 0,
            onblock_fails: false,
        };
        let mut context = Context::new(state, log, random, &environment, Checksum256::default());
        let producers = Name::literal("eosio.prods");
        let by_system = || Authority::account(Name::EOSIO, ACTIVE);
        for (name, owner, active) in [
            (
                Name::EOSIO,
                Authority::key(private_key(Name::EOSIO).public_key()),
                Authority::key(private_key(Name::EOSIO).public_key()),
            ),
            (Name::literal("eosio.null"), Authority::none(), Authority::none()),
            (producers, Authority::none(), by_system()),
        ] {
            let ram = create_account(&mut context, name, owner, active);
            context.ram(0, &name.to_string(), "account add newaccount", name, ram);
        }
        let mut parent = context.state.counts().next_permission;
        for name in [Name::literal("prod.major"), Name::literal("prod.minor")] {
            parent = create_permission(&mut context, producers, name, parent, by_system());
        }
        log.version(0);
        let native = abi::native();
        log.abi_dump(1, 0, &[(Name::EOSIO, &native)]);
        state.set_abi(Name::EOSIO, Some(native.into()));
    }

    /// Produces the next block and, for other branches, what users pushed in it.
    pub(crate) fn block(
        &mut self,
        skipped_slots: u32,
        lib_cap: u32,
        shared: &[SignedTransaction],
    ) -> (SyntheticBlock, Vec<SignedTransaction>) {
        let number = self.head.number + 1;
        let slot = self.head.slot + 1 + skipped_slots;
        let mut work = self.start(number, slot);
        let ready = self.state.pre_activated().to_vec();
        let mut features = Vec::new();
        if number == 5 {
            features.push(Feature::named(Feature::PRE_ACTIVATE));
        } else if !ready.is_empty() {
            features.extend(ready.iter().filter_map(Feature::with_digest));
            self.state.set_pre_activated(Vec::new());
        }
        for feature in &features {
            self.log.feature(None, &feature.digest, &feature.json);
        }
        self.on_block(&mut work);
        self.due(&mut work);
        let pushed = self.users(&mut work, shared);
        self.usage(&mut work);
        let proposed = self.state.proposed().to_vec();
        if !proposed.is_empty() {
            self.state.set_proposed(Vec::new());
        }
        let body = Body {
            slot,
            lib: self.lib(number, lib_cap),
            receipts: &work.receipts,
            action_digests: std::mem::take(&mut work.digests),
            features: features.into_iter().map(|feature| feature.digest).collect(),
            proposed,
            signature: signature(&mut self.random),
        };
        let previous = self.head.id;
        let sealed = self.head.append(self.options.software, body);
        let (id, lib) = (self.head.id, self.head.lib);
        match &sealed {
            Sealed::V1(block_state) => self.log.accepted_block(number, block_state),
            Sealed::V2(payloads) => {
                self.log.accepted_block_v2(&id, number, lib, payloads.each_ref().map(Vec::as_slice));
            }
        }
        work.facts.implicit_transactions = std::mem::take(&mut self.log.implicit_transactions);
        work.facts.resource_limits = std::mem::take(&mut self.log.resource_limits);
        let lines = self.log.take(&id);
        let block = SyntheticBlock { number, id, previous, lib, slot, switch: None, lines, facts: work.facts };
        (block, pushed)
    }

    fn start(&mut self, number: u32, slot: u32) -> Work {
        self.log.start_block(number);
        let software = self.options.software;
        Work {
            environment: Environment {
                software,
                number,
                slot,
                deferred_window: 15_000,
                onblock_fails: number > 20 && self.random.chance(self.options.failing_onblock),
            },
            packer: TracePacker {
                w: Writer::new(),
                block_ids: Vec::new(),
                software,
                number,
                slot,
                time: BlockTimestamp(slot).to_string(),
            },
            receipts: Vec::new(),
            digests: Vec::new(),
            facts: Facts::default(),
            pending_net: 0,
            pending_cpu: 0,
        }
    }

    fn lib(&self, number: u32, cap: u32) -> u32 {
        match &self.options.stalled {
            Some(stalled) if stalled.contains(&number) => self.head.lib,
            _ => number.saturating_sub(self.options.lib_lag.max(1)).min(cap).max(self.head.lib),
        }
    }

    fn run(&mut self, work: &Work, id: Checksum256, transaction: &Transaction, receiver: Option<Name>) -> Ran {
        let mut context = Context::new(&mut self.state, &mut self.log, &mut self.random, &work.environment, id);
        let result = context.run(transaction, receiver);
        let Context { traces, changes, digests, completed, .. } = context;
        Ran { actions: traces, changes, digests, completed, result }
    }

    /// Header fields of a transaction that the chain makes itself: empty, but in EOSIO 2.0.
    fn own_transaction(&mut self, work: &Work, actions: Vec<Action>) -> Transaction {
        let mut transaction = Transaction { actions, ..Transaction::default() };
        if work.environment.software == Software::Eosio20 {
            transaction.expiration = (work.environment.milliseconds() / 1000) as u32 + 1;
            (transaction.ref_block_num, transaction.ref_block_prefix) = self.head.reference();
        }
        transaction
    }

    fn on_block(&mut self, work: &mut Work) {
        let name = Name::literal("onblock");
        let data = self.head.header.clone();
        let action = Action { account: Name::EOSIO, name, authorization: vec![(Name::EOSIO, ACTIVE)], data };
        let transaction = self.own_transaction(work, vec![action]);
        let id = Checksum256::sha256(&transaction.packed());
        let mut w = Writer::new();
        unsigned(&transaction).pack(&mut w);
        let early = self.prints_implicit_first();
        if early {
            self.log.implicit_transaction("onblock", &id, &w.bytes);
        }
        let mark = self.state.mark();
        let ran = self.run(work, id, &transaction, None);
        let failure = ran.result.clone().err();
        if failure.is_some() {
            self.state.roll_back(mark);
        } else {
            self.bill(work, Name::EOSIO, 100, 0);
            if !early {
                self.log.implicit_transaction("onblock", &id, &w.bytes);
            }
        }
        let receipt = failure.is_none().then_some((Status::Executed as u8, 100, 0));
        let actions = ran.actions.clone();
        let trace = Trace { failure, receipt, actions, ..self.trace(id) };
        // A reader keeps the operations of a failed onblock, which has no receipt that tells it to drop them.
        self.applied(work, &trace, ran, false);
    }

    /// EOSIO prints a transaction of its own before it runs, later software with its trace.
    fn prints_implicit_first(&self) -> bool {
        matches!(self.options.software, Software::Eosio20 | Software::Eosio21)
    }

    fn trace(&mut self, id: Checksum256) -> Trace {
        Trace {
            id,
            receipt: None,
            elapsed: self.random.within(&(20..=900)).into(),
            scheduled: false,
            actions: Vec::new(),
            account_ram_delta: None,
            failed: None,
            failure: None,
        }
    }

    /// Executes what users push: the chain's own preparations, what another branch had already, and new wishes.
    fn users(&mut self, work: &mut Work, shared: &[SignedTransaction]) -> Vec<SignedTransaction> {
        let number = work.environment.number;
        let mut pushed = Vec::new();
        for wish in bootstrap(number, &self.producers) {
            let transaction = self.sign(work, wish);
            self.push(work, &transaction);
        }
        for transaction in shared {
            if self.push(work, transaction) {
                pushed.push(transaction.clone());
            }
        }
        if number < 5 {
            return pushed;
        }
        let users = self.state.accounts().len() - self.first_user;
        let missing = self.options.users.saturating_sub(users as u32).min(USERS_PER_BLOCK);
        for first in (0..missing).step_by(10) {
            let actions = (first..missing.min(first + 10)).flat_map(|_| new_user(&mut self.random)).collect::<Vec<_>>();
            let transaction = self.sign(work, actions.into());
            self.push(work, &transaction);
        }
        if missing > 0 {
            return pushed;
        }
        for _ in 0..self.random.within(&self.options.transactions.clone()) {
            let wish = self.wish();
            if wish.actions.is_empty() {
                continue;
            }
            let transaction = self.sign(work, wish);
            if self.push(work, &transaction) {
                pushed.push(transaction);
            }
        }
        pushed
    }

    fn wish(&mut self) -> Wish {
        let users = &self.state.accounts()[self.first_user..];
        let software = self.options.software;
        Scenario { state: &self.state, random: &mut self.random, software, users }.wish(&self.options.mix)
    }

    fn sign(&mut self, work: &Work, wish: Wish) -> SignedTransaction {
        let (ref_block_num, ref_block_prefix) = self.head.reference();
        let expiration = (work.environment.milliseconds() / 1000) as u32 + self.random.within(&(30..=3000));
        let mut signed = SignedTransaction {
            transaction: Transaction {
                expiration,
                ref_block_num,
                ref_block_prefix,
                delay_seconds: wish.delay_seconds,
                context_free_actions: wish.context_free_actions,
                actions: wish.actions,
                extensions: vec![],
            },
            signatures: vec![signature(&mut self.random)],
            context_free_data: wish.context_free_data,
            compressed: self.random.chance(30),
        };
        if self.options.signed {
            let signer = private_key(signed.transaction.actions[0].authorization[0].0);
            let Signature::K1(signature) = signer.sign(&signed.signing_digest(&self.options.chain_id())) else {
                unreachable!("accounts have K1 keys");
            };
            signed.signatures = vec![signature];
        }
        signed
    }

    /// Executes a pushed transaction, or leaves no trace of it if it fails.
    fn push(&mut self, work: &mut Work, pushed: &SignedTransaction) -> bool {
        // On this branch an account may not exist yet, or never.
        let known = |action: &Action| action.authorization.iter().all(|(actor, _)| self.state.exists(*actor));
        if !pushed.transaction.actions.iter().all(known) {
            return false;
        }
        let (state, log) = (self.state.mark(), self.log.mark());
        let packed = pushed.transaction.packed();
        let id = Checksum256::sha256(&packed);
        let net_words = (packed.len() as u32 + 100).div_ceil(8);
        let actor = pushed.transaction.actions[0].authorization[0].0;
        if pushed.transaction.delay_seconds > 0 {
            self.delay(work, pushed, id, packed, net_words, actor);
            return true;
        }
        let ran = self.run(work, id, &pushed.transaction, None);
        if ran.result.is_err() {
            self.state.roll_back(state);
            self.log.roll_back(log);
            return false;
        }
        let cpu = self.random.within(&(100..=900));
        self.bill(work, actor, cpu, net_words);
        let receipt = Some((Status::Executed as u8, cpu, net_words));
        let trace = Trace { receipt, actions: ran.actions.clone(), ..self.trace(id) };
        self.receipt(work, Status::Executed, cpu, net_words, Executed::Pushed(id, packed, pushed.clone()));
        self.applied(work, &trace, ran, false);
        true
    }

    /// Charges an account for CPU and net.
    fn bill(&mut self, work: &mut Work, account: Name, cpu: u32, net_words: u32) {
        let (slot, net) = (work.environment.slot, 8 * u64::from(net_words));
        let counters = self.state.change(account, |it| {
            it.net.add(net, slot, ACCOUNT_WINDOW);
            it.cpu.add(cpu.into(), slot, ACCOUNT_WINDOW);
        });
        self.log.account_usage("UPD", account, &counters);
        work.pending_net += net;
        work.pending_cpu += u64::from(cpu);
    }

    fn receipt(&mut self, work: &mut Work, status: Status, cpu_us: u32, net_words: u32, executed: Executed) {
        let (Executed::Deferred(id) | Executed::Pushed(id, ..)) = &executed;
        work.facts.receipts.push(*id);
        work.receipts.push(Receipt { status: status as u8, cpu_us, net_words, executed });
    }

    /// Prints a trace and notes what a reader makes of it.
    fn applied(&mut self, work: &mut Work, trace: &Trace, ran: Ran, reverted: bool) {
        let packer = &mut work.packer;
        packer.w.bytes.clear();
        packer.block_ids.clear();
        packer.pack(trace);
        self.log.applied_transaction(work.environment.number, &packer.w.bytes, &packer.block_ids);
        let failed = ran.result.is_err();
        if !failed {
            work.digests.extend(ran.digests);
        }
        let status = trace.receipt.map(|(status, ..)| match status {
            0 => Status::Executed,
            1 => Status::SoftFail,
            2 => Status::HardFail,
            3 => Status::Delayed,
            _ => Status::Expired,
        });
        let changes = if failed { Changes::default() } else { ran.changes };
        for action in &trace.actions {
            for (account, _) in &action.ram_deltas {
                work.facts.ram.insert(*account, self.state.counters(*account).ram);
            }
        }
        if let Some((account, _)) = trace.account_ram_delta {
            work.facts.ram.insert(account, self.state.counters(account).ram);
        }
        work.facts.transactions.push(ExpectedTransaction {
            id: trace.id,
            status,
            reverted: reverted || status.is_none(),
            scheduled: trace.scheduled,
            actions: expected_actions(trace),
            operations: std::mem::take::<Operations>(&mut self.log.pending),
            changes,
        });
    }

    /// The lines between the last transaction and the end of a block.
    fn usage(&mut self, work: &mut Work) {
        let number = work.environment.number;
        let pending = [work.pending_net, work.pending_cpu];
        let head = &mut self.head;
        self.log.resource_state("UPD", [&head.net, &head.cpu], pending, [head.virtual_net, head.virtual_cpu]);
        if number == 2 {
            self.log.resource_config("UPD", [40_000, 400_000], [NET_TARGET, NET_MAX]);
        }
        head.net.add(pending[0], number, BLOCK_WINDOW);
        head.cpu.add(pending[1], number, BLOCK_WINDOW);
        head.virtual_net = virtual_limit(head.virtual_net, head.net.value_ex, NET_TARGET, NET_MAX);
        head.virtual_cpu = virtual_limit(head.virtual_cpu, head.cpu.value_ex, 40_000, 400_000);
        self.log.resource_state("UPD", [&head.net, &head.cpu], [0, 0], [head.virtual_net, head.virtual_cpu]);
    }
}

impl Ran {
    fn nothing() -> Self {
        Self { actions: Vec::new(), changes: Changes::default(), digests: Vec::new(), completed: 0, result: Ok(()) }
    }
}

/// Shrinks while usage is over its target, grows otherwise, within once and a thousand times `max`.
fn virtual_limit(limit: u64, usage: u64, target: u64, max: u64) -> u64 {
    let limit = if usage / 1_000_000 > target { limit * 99 / 100 } else { limit * 1000 / 999 };
    limit.clamp(max, max * 1000)
}

fn unsigned(transaction: &Transaction) -> SignedTransaction {
    SignedTransaction {
        transaction: transaction.clone(),
        signatures: vec![],
        context_free_data: vec![],
        compressed: false,
    }
}

/// 65 bytes that look like a signature; nobody signed.
fn signature(random: &mut Random) -> [u8; 65] {
    let mut signature = random.bytes::<65>();
    signature[0] = 31 + (signature[0] & 1);
    signature
}

fn expected_actions(trace: &Trace) -> Vec<ExpectedAction> {
    let actions = trace.actions.iter().enumerate();
    let actions = actions.map(|(at, it)| ExpectedAction {
        ordinal: at as u32 + 1,
        creator: it.creator,
        receiver: it.receiver,
        action: Arc::clone(&it.action),
        global_sequence: it.receipt.as_ref().map(|receipt| receipt.global_sequence),
        return_value: it.return_value.clone(),
        console: it.console.clone(),
    });
    actions.collect()
}
