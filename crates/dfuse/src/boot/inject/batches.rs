//! Rows and entries, as many as go into one transaction.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
};

use anyhow::bail;
use dfuse_antelope::{Name, raw::Writer};

use crate::migration::{Contract, IndexEntry, Row};

/// Most rows of a transaction, bytes of them, and accounts that must sign for them.
const MOST: usize = 500;
const MOST_BYTES: usize = 64 << 10;
const MOST_PAYERS: usize = 100;

const ROWS: Name = Name::literal("rows");
const INDEX: Name = Name::literal("index");

/// What the injector writes.
#[derive(Debug)]
pub(super) enum Item {
    Row(Name, Row),
    Entry(IndexEntry),
}

impl Item {
    fn table(&self) -> Name {
        match self {
            Self::Row(table, _) => *table,
            Self::Entry(entry) => entry.table,
        }
    }

    fn scope(&self) -> Name {
        match self {
            Self::Row(_, row) => row.scope,
            Self::Entry(entry) => entry.scope,
        }
    }

    fn payer(&self) -> Name {
        match self {
            Self::Row(_, row) => row.payer,
            Self::Entry(entry) => entry.payer,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Row(_, row) => row.hex.0.len(),
            Self::Entry(entry) => entry.hex.0.len(),
        }
    }

    fn action(&self) -> Name {
        match self {
            Self::Row(..) => ROWS,
            Self::Entry(_) => INDEX,
        }
    }
}

/// Items of one table: the data of one action.
#[derive(Debug, Default)]
pub(super) struct Batch {
    items: Vec<Item>,
    payers: BTreeSet<Name>,
    /// Of rows and keys.
    bytes: usize,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn action(&self) -> Name {
        self.items.first().map_or(ROWS, Item::action)
    }

    /// Who pays for it on the chain that it comes from.
    pub(super) fn payers(&self) -> &BTreeSet<Name> {
        &self.payers
    }

    /// The payer of each item.
    pub(super) fn payer_of_each(&self) -> impl Iterator<Item = Name> {
        self.items.iter().map(Item::payer)
    }

    /// Whether an item can be added.
    fn takes(&self, item: &Item, most: usize) -> bool {
        let Some(first) = self.items.first() else { return true };
        (first.action(), first.table()) == (item.action(), item.table())
            && self.len() < most
            && self.bytes + item.size() <= MOST_BYTES
            && (self.payers.len() < MOST_PAYERS || self.payers.contains(&item.payer()))
    }

    fn add(&mut self, item: Item) {
        self.payers.insert(item.payer());
        self.bytes += item.size();
        self.items.push(item);
    }

    /// As the injector's ABI has it; `pays` says who pays in whose place.
    pub(super) fn pack(&self, pays: impl Fn(Name) -> Name) -> Vec<u8> {
        let mut out = Writer::new();
        out.name(self.items.first().map_or(Name(0), Item::table));
        out.list(&self.items, |out, item| {
            let key = match item {
                Item::Row(_, row) => row.key,
                Item::Entry(entry) => entry.key,
            };
            out.name(item.scope());
            out.name(pays(item.payer()));
            out.u64(key);
            match item {
                Item::Row(_, row) => out.blob(&row.hex.0),
                Item::Entry(entry) => {
                    out.u8(entry.kind as u8);
                    out.take(&entry.hex.0);
                }
            }
        });
        out.bytes
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.action() == ROWS { "rows" } else { "entries of secondary indexes" };
        write!(f, "{} {what}", self.len())?;
        match self.items.first() {
            Some(first) => write!(f, " of table {}, the first in scope \"{}\",", first.table(), first.scope()),
            None => Ok(()),
        }
    }
}

type Items = Box<dyn Iterator<Item = anyhow::Result<Item>>>;

/// All items of a contract, always in the same order, in batches.
pub(super) struct Batches {
    items: Items,
    /// Those that were taken and come again.
    back: VecDeque<Item>,
    /// Most items of a batch.
    most: usize,
    counted: BTreeMap<(Name, Name), u64>,
}

impl Batches {
    pub(super) fn new(contract: &Contract) -> anyhow::Result<Self> {
        let mut items: Items = Box::new(std::iter::empty());
        for table in contract.tables().iter().copied() {
            let rows = contract.rows(table)?;
            items = Box::new(items.chain(rows.map(move |row| row.map(|row| Item::Row(table, row)))));
        }
        let entries = contract.index_entries()?.map(|entry| entry.map(Item::Entry));
        Ok(Self { items: Box::new(items.chain(entries)), back: VecDeque::new(), most: MOST, counted: BTreeMap::new() })
    }

    /// Passes over items that are on the chain already.
    pub(super) fn skip(&mut self, items: u64) -> anyhow::Result<()> {
        for _ in 0..items {
            if self.take()?.is_none() {
                bail!("there are fewer rows than were injected before; were the files changed?");
            }
        }
        Ok(())
    }

    fn take(&mut self) -> anyhow::Result<Option<Item>> {
        let Some(item) = self.items.next().transpose()? else { return Ok(None) };
        if let Item::Entry(IndexEntry { kind, hex, table, .. }) = &item
            && hex.0.len() != kind.size()
        {
            bail!("a secondary key of {} bytes in table {table}, instead of {}", hex.0.len(), kind.size());
        }
        *self.counted.entry((item.scope(), item.table())).or_default() += 1;
        Ok(Some(item))
    }

    /// The next batch; nothing at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Batch>> {
        let mut batch = Batch::default();
        loop {
            let item = match self.back.pop_front() {
                Some(item) => Some(item),
                None => self.take()?,
            };
            match item {
                Some(item) if batch.takes(&item, self.most) => batch.add(item),
                Some(item) => {
                    self.back.push_front(item);
                    break;
                }
                None => break,
            }
        }
        Ok((batch.len() > 0).then_some(batch))
    }

    /// Takes a batch back that was too large; the next ones are half as large.
    pub(super) fn give_back(&mut self, batch: Batch) {
        self.most = (batch.len() / 2).max(1);
        for item in batch.items.into_iter().rev() {
            self.back.push_front(item);
        }
    }

    /// How many items there are by scope and table.
    pub(super) fn into_counted(self) -> BTreeMap<(Name, Name), u64> {
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use dfuse_antelope::abi::{AbiSerializer, Rendering};

    use super::*;
    use crate::{boot::contracts::injector_abi, migration::INDEXES};

    fn contract(folder: &std::path::Path) -> Contract {
        fs::create_dir(folder.join("tables")).unwrap();
        let row = |key: u32, payer: &str| {
            format!("{{\"scope\":\"s\",\"key\":\"{key}\",\"payer\":\"{payer}\",\"hex\":\"0102\"}}\n")
        };
        fs::write(folder.join("tables/a.jsonl"), (0..1200).map(|key| row(key, "p")).collect::<String>()).unwrap();
        let payers = (0..300).map(|key| {
            row(key, &format!("p{}", ["1", "2", "3", "4", "5"][key as usize % 5].repeat(1 + key as usize % 40 / 5)))
        });
        fs::write(folder.join("tables/b.jsonl"), payers.collect::<String>()).unwrap();
        let entry = |kind: &str, bytes: usize| {
            format!(
                "{{\"table\":\"b\",\"scope\":\"s\",\"key\":\"7\",\"payer\":\"p\",\"kind\":\"{kind}\",\"hex\":\"{}\"}}\n",
                "01".repeat(bytes)
            )
        };
        let kinds = [("i64", 8), ("i128", 16), ("i256", 32), ("double", 8), ("long_double", 16)];
        fs::write(folder.join(INDEXES), kinds.map(|(kind, bytes)| entry(kind, bytes)).concat()).unwrap();
        Contract::open(folder.to_owned()).unwrap()
    }

    /// Every item comes once and in order, however batches are given back, and all that is packed is what the ABI says.
    #[test]
    fn batches_are_the_data_of_actions() {
        let folder = tempfile::tempdir().unwrap();
        let contract = contract(folder.path());
        let abi = AbiSerializer::new(&injector_abi().unwrap());
        let mut batches = Batches::new(&contract).unwrap();
        let (mut seen, mut refused) = (vec![], 0);
        while let Some(batch) = batches.next().unwrap() {
            if batch.len() > 400 && refused < 2 {
                refused += 1;
                batches.give_back(batch);
                continue;
            }
            assert!(batch.len() <= MOST && batch.payers().len() <= MOST_PAYERS);
            let (mut json, packed) = (vec![], batch.pack(|payer| payer));
            abi.action(batch.action()).unwrap().decode(&packed, Rendering::Plain, 1 << 20, &mut json).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            let items = json["rows"].as_array().or(json["entries"].as_array()).unwrap();
            seen.extend(items.iter().map(|item| {
                (json["table"].clone(), item["key"].as_u64().or(item["key"].as_str().map(|key| key.parse().unwrap())))
            }));
        }
        assert_eq!(refused, 1);
        let keys: Vec<_> = seen.iter().map(|(_, key)| key.unwrap()).collect();
        assert_eq!(keys, (0..1200).chain(0..300).chain([7; 5]).collect::<Vec<_>>());
        let counted = batches.into_counted();
        let [s, a, b] = ["s", "a", "b"].map(Name::literal);
        assert_eq!(counted, BTreeMap::from([((s, a), 1200), ((s, b), 305)]));
        let mut batches = Batches::new(&contract).unwrap();
        batches.skip(1503).unwrap();
        assert_eq!(batches.next().unwrap().unwrap().len(), 2);
        assert!(batches.skip(1).is_err());
    }

    #[test]
    fn keys_have_the_size_of_their_kind() {
        let folder = tempfile::tempdir().unwrap();
        let entry = "{\"table\":\"b\",\"scope\":\"s\",\"key\":\"7\",\"payer\":\"p\",\"kind\":\"i128\",\"hex\":\"01\"}";
        fs::write(folder.path().join(INDEXES), entry).unwrap();
        let mut batches = Batches::new(&Contract::open(folder.path().to_owned()).unwrap()).unwrap();
        assert!(batches.next().unwrap_err().to_string().contains("1 bytes in table b, instead of 16"));
    }
}
