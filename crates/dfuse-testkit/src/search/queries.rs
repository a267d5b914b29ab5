//! Random queries about what there is.

use std::{collections::BTreeSet, sync::Arc};

use super::{Documents, Like, Wanted};
use crate::Random;

/// Fields and values of some blocks that a query can name.
#[derive(Debug)]
pub struct Vocabulary {
    fields: Vec<(String, Vec<String>)>,
}

impl Vocabulary {
    /// What the blocks have.
    pub fn of<'a>(blocks: impl Iterator<Item = &'a Arc<Documents>>) -> Self {
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

    /// A random query, nested up to `depth`.
    pub fn query(&self, random: &mut Random, depth: usize) -> Wanted {
        let operands =
            |random: &mut Random| (0..2 + random.position(2)).map(|_| self.query(random, depth - 1)).collect();
        match random.position(if depth == 0 { 4 } else { 8 }) {
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
                let first = random.pick(values).parse().expect("a number");
                Like::Numbers(first, first + random.position(20) as u32)
            }
            "scheduled" | "notif" | "input" => match random.position(5) {
                0 => Like::Begins(String::new()),
                1 => Like::Text("neither".into()),
                choice => Like::Flag(choice % 2 == 0),
            },
            _ => match random.position(12) {
                0 => Like::Text(format!("no{}", random.pick(values))),
                1 => Like::Begins(String::new()),
                2 | 3 => {
                    let value = random.pick(values);
                    let start: String = value.chars().take(1 + random.position(3)).collect();
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
