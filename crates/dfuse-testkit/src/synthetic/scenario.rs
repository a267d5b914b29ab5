//! Which transactions users push: everything random is decided here, what comes of it by the contracts.

use dfuse_antelope::{Name, raw::Writer};

use super::{
    Mix, Random, Software, abi,
    block::private_key,
    contracts::{ACTIVE, APP, Feature, INLINE_LIMIT, Later, OWNER, TOKEN, accounts, amount, pack_authority},
    state::{Authority, State},
    wire::{Action, Level},
};

/// `4,SYS` and `8,ABC`: precision in the first byte, then the letters.
pub(crate) const SYS: u64 = 4 | 0x53_59_53 << 8;
pub(crate) const ABC: u64 = 8 | 0x43_42_41 << 8;

/// What a user wants: actions, and how they are pushed.
#[derive(Default)]
pub(crate) struct Wish {
    pub(crate) actions: Vec<Action>,
    pub(crate) context_free_actions: Vec<Action>,
    pub(crate) context_free_data: Vec<Vec<u8>>,
    pub(crate) delay_seconds: u32,
}

impl From<Vec<Action>> for Wish {
    fn from(actions: Vec<Action>) -> Self {
        Self { actions, ..Self::default() }
    }
}

fn data(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::new();
    write(&mut w);
    w.bytes
}

fn action(account: Name, name: &str, actor: Name, write: impl FnOnce(&mut Writer)) -> Action {
    let name = Name::parse(name.as_bytes()).expect("a name");
    Action { account, name, authorization: vec![(actor, ACTIVE)], data: data(write) }
}

pub(crate) fn transfer(from: Name, to: Name, amount: i64, symbol: u64, memo: &[u8]) -> Action {
    action(TOKEN, "transfer", from, |w| {
        w.name(from);
        w.name(to);
        w.i64(amount);
        w.u64(symbol);
        w.blob(memo);
    })
}

pub(crate) fn new_account(name: Name) -> Action {
    action(Name::EOSIO, "newaccount", Name::EOSIO, |w| {
        w.name(Name::EOSIO);
        w.name(name);
        for _ in 0..2 {
            pack_authority(w, &Authority::key(private_key(name).public_key()));
        }
    })
}

fn set_abi(account: Name, abi: &[u8]) -> Action {
    action(Name::EOSIO, "setabi", account, |w| {
        w.name(account);
        w.blob(abi);
    })
}

fn set_code(account: Name, code: &[u8]) -> Action {
    action(Name::EOSIO, "setcode", account, |w| {
        w.name(account);
        w.u16(0);
        w.blob(code);
    })
}

/// The first blocks' transactions: accounts, contracts, tokens, protocol features, producers.
pub(crate) fn bootstrap(number: u32, producers: &[Name]) -> Vec<Wish> {
    match number {
        3 => {
            let accounts = [TOKEN, APP].into_iter().chain(producers.iter().copied());
            let mut wishes: Vec<Wish> = accounts.map(|name| vec![new_account(name)].into()).collect();
            wishes.push(vec![set_code(Name::EOSIO, &[0; 64]), set_abi(Name::EOSIO, &abi::system())].into());
            wishes
        }
        4 => {
            let create = |symbol: u64| {
                action(TOKEN, "create", TOKEN, |w| {
                    w.name(Name::EOSIO);
                    w.i64(1 << 61);
                    w.u64(symbol);
                })
            };
            let issue = |symbol: u64| issue(1 << 58, symbol, b"first issue");
            vec![
                vec![set_code(TOKEN, &[1; 120]), set_abi(TOKEN, &abi::token(1))].into(),
                vec![set_code(APP, &[2; 200]), set_abi(APP, &abi::app(1))].into(),
                vec![create(SYS), create(ABC), issue(SYS), issue(ABC)].into(),
            ]
        }
        6 => {
            let activate = |name: &&str| {
                action(Name::EOSIO, "activate", Name::EOSIO, |w| w.checksum256(&Feature::named(name).digest))
            };
            vec![Feature::OTHERS.iter().map(activate).collect::<Vec<_>>().into()]
        }
        8 if producers.len() > 1 => {
            let set = action(Name::EOSIO, "setprods", Name::EOSIO, |w| {
                w.list(producers, |w, producer| {
                    w.name(*producer);
                    private_key(*producer).public_key().write(w);
                });
            });
            vec![vec![set].into()]
        }
        _ => vec![],
    }
}

fn issue(amount: i64, symbol: u64, memo: &[u8]) -> Action {
    action(TOKEN, "issue", Name::EOSIO, |w| {
        w.name(Name::EOSIO);
        w.i64(amount);
        w.u64(symbol);
        w.blob(memo);
    })
}

/// A new user with its first tokens.
pub(crate) fn new_user(random: &mut Random) -> Vec<Action> {
    let name = user_name(random);
    vec![new_account(name), transfer(Name::EOSIO, name, 10_000_000 + random.below(1_000_000) as i64, SYS, b"welcome")]
}

fn user_name(random: &mut Random) -> Name {
    const LETTERS: &[u8] = b"12345abcdefghijklmnopqrstuvwxyz";
    let mut text = *b"user........";
    for letter in &mut text[4..] {
        *letter = *random.pick(LETTERS);
    }
    Name::parse(&text).expect("letters of names")
}

/// Makes wishes against the state at hand. Most can be fulfilled.
pub(crate) struct Scenario<'a> {
    pub(crate) state: &'a State,
    pub(crate) random: &'a mut Random,
    pub(crate) software: Software,
    /// Accounts that are users.
    pub(crate) users: &'a [Name],
}

impl Scenario<'_> {
    pub(crate) fn wish(&mut self, mix: &Mix) -> Wish {
        let deferred = if matches!(self.software, Software::Spring { .. }) { 0 } else { mix.deferred };
        let weights = [mix.transfers, mix.app, deferred, mix.accounts, mix.permissions, mix.abis];
        let mut dice = self.random.below(u64::from(weights.iter().sum::<u32>().max(1))) as u32;
        let choice = weights.iter().position(|weight| {
            let hit = dice < *weight;
            dice = dice.wrapping_sub(*weight);
            hit
        });
        match choice {
            Some(1) => self.app(),
            Some(2) => self.deferred(),
            Some(3) => self.account(),
            Some(4) => self.permission(),
            Some(5) => self.abi().into(),
            _ => self.transfers().into(),
        }
    }

    fn user(&mut self) -> Name {
        *self.random.pick(self.users)
    }

    fn balance(&self, owner: Name, symbol: u64) -> i64 {
        self.state.rows().get(&accounts(owner, symbol)).map_or(0, |row| amount(&row.data))
    }

    fn transfers(&mut self) -> Vec<Action> {
        let from = self.user();
        let symbol = if self.balance(from, ABC) > 0 && self.random.chance(200) { ABC } else { SYS };
        let balance = self.balance(from, symbol);
        let count = match self.random.below(100) {
            0..75 => 1,
            75..93 => 2,
            93..98 => 4,
            _ => 6,
        };
        let most = (balance / 50).max(1);
        (0..count)
            .map(|_| {
                let to = self.user();
                let amount = 1 + self.random.below(most as u64) as i64;
                let memo = self.memo();
                transfer(from, to, amount, symbol, &memo)
            })
            .filter(|action| action.data[8..16] != from.0.to_le_bytes())
            .collect()
    }

    /// Mostly words, now and then what tests readers: other scripts, quotes, bytes that are no text.
    fn memo(&mut self) -> Vec<u8> {
        const WORDS: &[&str] =
            &["rent", "for", "coffee", "salary", "thanks", "invoice", "order", "gift", "42", "refund"];
        match self.random.below(100) {
            0 => "größe 価格 🚀 \"quoted\" \\ and\ttabs\n".as_bytes().to_vec(),
            1 => vec![b'b', 0xff, 0xc3, 0x28, b'd', 0],
            2..10 => vec![],
            _ => {
                let words: Vec<_> = (0..self.random.within(&(1..=5))).map(|_| *self.random.pick(WORDS)).collect();
                words.join(" ").into_bytes()
            }
        }
    }

    fn app(&mut self) -> Wish {
        let user = self.user();
        let id = self.random.below(40);
        // Numbers, among them 0 that prints as nothing, symbols and accounts serve as scopes.
        let number = self.random.below(4);
        let symbol = [SYS >> 8, ABC >> 8, SYS][self.random.below(3) as usize];
        let scope = [number, symbol, user.0][self.random.below(3) as usize];
        let memo = self.memo();
        let act = |name: &str, write: &dyn Fn(&mut Writer)| action(APP, name, user, |w| write(w));
        let key = |w: &mut Writer| {
            w.u64(scope);
            w.u64(id);
        };
        let kv = self.software == Software::Eosio21;
        let value = self.random.u64();
        let chosen = match self.random.below(if kv { 15 } else { 12 }) {
            0..4 => act("put", &|w| {
                key(w);
                w.name(user);
                w.u64(value);
                w.blob(&memo);
            }),
            4 | 5 => match self.some_item() {
                Some(item) if value.is_multiple_of(2) => act("del", &|w| w.take(&item)),
                Some(item) => act("give", &|w| {
                    w.take(&item);
                    w.name(user);
                }),
                None => act("count", &key),
            },
            6 => act("count", &key),
            7 => act("blob", &|w| {
                key(w);
                w.blob(&memo[..memo.len().min(value as usize % 4)]);
            }),
            8 => act("ping", &|w| {
                w.name(user);
                w.u8((value % u64::from(INLINE_LIMIT + 1)) as u8);
                w.u8((value >> 8) as u8 % 4);
            }),
            9 => act("value", &|w| w.name(user)),
            10 => act("log", &|w| w.blob(&memo)),
            11 => return self.context_free(user),
            12 | 13 => act("kvset", &|w| {
                w.name(user);
                w.blob(&id.to_be_bytes()[6..]);
                w.blob(&memo);
            }),
            _ => act("kvdel", &|w| w.blob(&id.to_be_bytes()[6..])),
        };
        vec![chosen].into()
    }

    /// Scope and primary key of a row of `items`.
    fn some_item(&mut self) -> Option<Vec<u8>> {
        let items = Name::literal("items");
        let (scope, random_key) = (Name(self.random.below(4)), self.random.below(40));
        let scopes = [scope, Name(SYS >> 8), Name(ABC >> 8), Name(SYS)];
        let scope = *self.random.pick(&scopes);
        let from = super::RowKey { table: super::TableKey { code: APP, scope, table: items }, primary_key: random_key };
        let (key, _) = self.state.rows().range(from..).next().filter(|(key, _)| key.table == from.table)?;
        Some([key.table.scope.0.to_le_bytes(), key.primary_key.to_le_bytes()].concat())
    }

    fn context_free(&mut self, user: Name) -> Wish {
        let number = self.random.u64() as u32;
        let event = Action { authorization: vec![], ..action(APP, "event", user, |w| w.u32(number)) };
        Wish {
            actions: vec![action(APP, "value", user, |w| w.name(user))],
            context_free_actions: vec![event],
            context_free_data: vec![number.to_be_bytes().to_vec(), vec![]],
            delay_seconds: 0,
        }
    }

    fn deferred(&mut self) -> Wish {
        let user = self.user();
        let delay = self.random.within(&(0..=6));
        match self.random.below(10) {
            0 | 1 => {
                let balance = self.balance(user, SYS);
                // An overdrawn transfer is accepted now and fails hard when its time comes.
                let amount = if self.random.chance(300) { balance.saturating_mul(3) + 1 } else { 1 + balance / 1000 };
                let to = self.user();
                Wish { delay_seconds: delay.max(1), ..vec![transfer(user, to, amount, SYS, b"later")].into() }
            }
            2 => match self.pushed_with_delay() {
                Some((payer, id)) => {
                    let cancel = action(Name::EOSIO, "canceldelay", payer, |w| {
                        w.name(payer);
                        w.name(ACTIVE);
                        w.take(&id);
                    });
                    vec![cancel].into()
                }
                None => self.transfers().into(),
            },
            3 => match self.waiting_of_app() {
                Some(sender_id) => vec![action(APP, "drop", user, |w| w.u64(sender_id))].into(),
                None => self.transfers().into(),
            },
            kind => {
                let mode = [Later::Executed, Later::Executed, Later::SoftFail, Later::HardFail, Later::Expired];
                let mode = *self.random.pick(&mode);
                // Now and then one that waits already is replaced.
                let replaced = if kind == 4 { self.waiting_of_app() } else { None };
                let sender_id = replaced.unwrap_or_else(|| self.random.u64());
                let later = action(APP, "later", user, |w| {
                    w.name(user);
                    w.u64(sender_id);
                    w.u32(delay);
                    w.u8(mode as u8);
                });
                vec![later].into()
            }
        }
    }

    fn waiting_of_app(&mut self) -> Option<u64> {
        let mut waiting = self.state.deferred().values().filter(|it| it.sender == APP);
        waiting.next_back().map(|it| it.sender_id as u64)
    }

    fn pushed_with_delay(&mut self) -> Option<(Name, [u8; 32])> {
        let mut waiting = self.state.deferred().values().filter(|it| it.sender == Name(0));
        waiting.next_back().map(|it| (it.payer, it.transaction_id.0))
    }

    fn account(&mut self) -> Wish {
        let user = self.user();
        match self.random.below(8) {
            0 => {
                let limits = [-1, self.random.below(100_000) as i64, self.random.below(1 << 40) as i64];
                let set = action(Name::EOSIO, "setalimits", Name::EOSIO, |w| {
                    w.name(user);
                    limits.iter().for_each(|limit| w.i64(*limit));
                });
                vec![set].into()
            }
            1 | 2 => {
                let account = |name: &str| {
                    action(TOKEN, name, user, |w| {
                        w.name(user);
                        w.u64(ABC);
                        if name == "open" {
                            w.name(user);
                        }
                    })
                };
                let held = self.state.rows().contains_key(&accounts(user, ABC));
                match (held, self.balance(user, ABC)) {
                    (false, _) => vec![account("open")].into(),
                    (true, 0) => vec![account("close")].into(),
                    (true, balance) => {
                        let to = self.user();
                        vec![transfer(user, to, balance, ABC, b"all of it"), account("close")].into()
                    }
                }
            }
            3 => vec![transfer(Name::EOSIO, user, 1_000_000, ABC, b"airdrop")].into(),
            4 => vec![issue(50_000_000, SYS, b"inflation")].into(),
            _ => new_user(self.random).into(),
        }
    }

    fn permission(&mut self) -> Wish {
        const CUSTOM: Name = Name::literal("play");
        let (user, other) = (self.user(), self.user());
        let level: Level = (user, ACTIVE);
        let act = |name: &str, write: &dyn Fn(&mut Writer)| Action {
            authorization: vec![level],
            ..action(Name::EOSIO, name, user, |w| write(w))
        };
        let delete = act("deleteauth", &|w| {
            w.name(user);
            w.name(CUSTOM);
        });
        let unlink = act("unlinkauth", &|w| {
            w.name(user);
            w.name(APP);
            w.name(Name::literal("put"));
        });
        let linked = self.state.links().contains_key(&(user, APP, Name::literal("put")));
        match (self.state.permission(user, CUSTOM).is_some(), linked, self.random.below(4)) {
            (true, false, 0 | 1) => {
                let link = act("linkauth", &|w| {
                    w.name(user);
                    w.name(APP);
                    w.name(Name::literal("put"));
                    w.name(CUSTOM);
                });
                vec![link].into()
            }
            (true, true, 0) => vec![unlink].into(),
            (true, true, 1) => vec![unlink, delete].into(),
            (true, false, 2) => vec![delete].into(),
            (has, _, choice) => {
                let name = if has && choice == 3 { ACTIVE } else { CUSTOM };
                let mut authority = Authority::key(private_key(Name(self.random.u64())).public_key());
                if self.random.chance(500) {
                    authority.accounts.push((other, ACTIVE, 1));
                }
                if self.random.chance(250) {
                    authority.waits.push((self.random.within(&(60..=86_400)), 1));
                }
                let update = act("updateauth", &|w| {
                    w.name(user);
                    w.name(name);
                    w.name(if name == ACTIVE { OWNER } else { ACTIVE });
                    pack_authority(w, &authority);
                });
                vec![update].into()
            }
        }
    }

    /// Another version of a contract's ABI, or none; sometimes two in one transaction.
    fn abi(&mut self) -> Vec<Action> {
        let contract = if self.random.chance(500) { TOKEN } else { APP };
        let version = |version| if contract == TOKEN { abi::token(version) } else { abi::app(version) };
        match self.random.below(6) {
            0 => vec![set_abi(contract, &[])],
            1 => vec![set_abi(contract, &version(2)), set_abi(contract, &version(1))],
            2 => {
                let mut code = vec![3; 100 + self.random.below(100) as usize];
                code[..8].copy_from_slice(&self.random.bytes::<8>());
                vec![set_code(contract, &code), set_abi(contract, &version(2))]
            }
            3 | 4 => vec![set_abi(contract, &version(2))],
            _ => vec![set_abi(contract, &version(1))],
        }
    }
}
