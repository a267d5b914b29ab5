//! Random queries about what there is.

use std::{collections::BTreeSet, sync::Arc};

use crate::naive::{Documents, Like, Wanted};

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Fields and values of some blocks that a query can name.
pub(crate) struct Vocabulary {
    fields: Vec<(String, Vec<String>)>,
}

impl Vocabulary {
    pub(crate) fn of<'a>(blocks: impl Iterator<Item = &'a Arc<Documents>>) -> Self {
        let mut fields = std::collections::BTreeMap::<String, BTreeSet<String>>::new();
        let transactions = blocks.flat_map(|block| &block.transactions);
        for document in transactions.flat_map(|transaction| &transaction.actions) {
            for (field, values) in document {
                let usable = values.iter().filter(|value| !value.contains(['\'', '"']));
                fields.entry(field.clone()).or_default().extend(usable.cloned());
            }
        }
        let name = |field: &str| !field.contains([' ', '\'', '"', ':', ',', '(', ')', '[', ']']);
        let fields = fields.into_iter().filter(|(field, values)| name(field) && !values.is_empty());
        Self { fields: fields.map(|(field, values)| (field, values.into_iter().collect())).collect() }
    }

    pub(crate) fn query(&self, random: &mut Random, depth: usize) -> Wanted {
        let operands = |random: &mut Random| (0..2 + random.below(2)).map(|_| self.query(random, depth - 1)).collect();
        match random.below(if depth == 0 { 4 } else { 8 }) {
            0..4 => self.term(random),
            4 | 5 => Wanted::And(operands(random)),
            6 => Wanted::Or(operands(random)),
            _ => Wanted::Not(Box::new(self.query(random, depth - 1))),
        }
    }

    fn term(&self, random: &mut Random) -> Wanted {
        let (field, values) = random.pick(&self.fields);
        let mut like = || match &**field {
            "block_num" | "trx_idx" => {
                let first = random.pick(values).parse().unwrap();
                Like::Numbers(first, first + random.below(20) as u32)
            }
            "scheduled" | "notif" | "input" => match random.below(5) {
                0 => Like::Begins(String::new()),
                1 => Like::Text("neither".into()),
                choice => Like::Flag(choice % 2 == 0),
            },
            _ => match random.below(12) {
                0 => Like::Text(format!("no{}", random.pick(values))),
                1 => Like::Begins(String::new()),
                2 | 3 => {
                    let value = random.pick(values);
                    let start: String = value.chars().take(1 + random.below(3)).collect();
                    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
                    if start.chars().all(plain) && !start.starts_with("OR") {
                        Like::Begins(start)
                    } else {
                        Like::Flag(true)
                    }
                }
                4 if field.starts_with("data.") => Like::Flag(random.one_in(2)),
                _ => Like::Text(random.pick(values).clone()),
            },
        };
        let first = like();
        let more = if random_list(&first) { vec![like(), like()] } else { Vec::new() };
        Wanted::Is(field.clone(), std::iter::once(first).chain(more).collect())
    }
}

/// One text in four is part of a list.
fn random_list(first: &Like) -> bool {
    matches!(first, Like::Text(text) if text.len().is_multiple_of(4))
}
