use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, DefaultHasher},
};

use dfuse_antelope::Name;

use crate::field::{self, Field};

/// Terms by their keys while a block is looked through.
#[derive(Debug, Default)]
pub(super) struct Collector {
    ids: HashMap<Box<[u8]>, u32, BuildHasherDefault<DefaultHasher>>,
    lists: Vec<Vec<u32>>,
    key: Vec<u8>,
}

impl Collector {
    /// A number that stands for the term.
    pub(super) fn id(&mut self, key: &[u8]) -> u32 {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let id = self.lists.len() as u32;
        self.lists.push(Vec::new());
        self.ids.insert(key.into(), id);
        id
    }

    /// The action at that offset has the term.
    pub(super) fn add(&mut self, id: u32, at: u32) {
        let list = &mut self.lists[id as usize];
        if list.last() != Some(&at) {
            list.push(at);
        }
    }

    pub(super) fn put(&mut self, key: &[u8], at: u32) {
        let id = self.id(key);
        self.add(id, at);
    }

    pub(super) fn put_text(&mut self, field: &Field, value: &[u8], at: u32) {
        self.put_key(field, at, |key| field::put_value(key, value));
    }

    pub(super) fn put_name(&mut self, field: &Field, name: Name, at: u32) {
        self.put_key(field, at, |key| field::put_value(key, name.as_ascii(&mut [0; 13])));
    }

    /// The actor, and the actor with its permission.
    pub(super) fn put_auth(&mut self, actor: Name, permission: Name, at: u32) {
        self.put_name(&Field::Auth, actor, at);
        let mut text = Vec::with_capacity(27);
        text.extend_from_slice(actor.as_ascii(&mut [0; 13]));
        text.push(b'@');
        text.extend_from_slice(permission.as_ascii(&mut [0; 13]));
        self.put_text(&Field::Auth, &text, at);
    }

    /// The table, with the scope, and with the primary key.
    pub(super) fn put_row(&mut self, table: Name, scope: Name, primary_key: Name, at: u32) {
        let mut text = Vec::with_capacity(41);
        text.extend_from_slice(table.as_ascii(&mut [0; 13]));
        self.put_text(&Field::DbTable, &text, at);
        text.push(b'/');
        text.extend_from_slice(scope.as_ascii(&mut [0; 13]));
        self.put_text(&Field::DbTable, &text, at);
        text.push(b'/');
        text.extend_from_slice(primary_key.as_ascii(&mut [0; 13]));
        self.put_text(&Field::DbKey, &text, at);
    }

    pub(super) fn put_presence(&mut self, field: &Field, at: u32) {
        self.put(&field.presence(), at);
    }

    fn put_key(&mut self, field: &Field, at: u32, value: impl FnOnce(&mut Vec<u8>)) {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        field.put_start(&mut key);
        value(&mut key);
        self.put(&key, at);
        self.key = key;
    }

    /// All terms with their lists, both sorted. Terms that no action has are left out.
    pub(super) fn finish(mut self) -> Vec<(Box<[u8]>, Vec<u32>)> {
        let lists = &mut self.lists;
        let terms = self.ids.into_iter().map(|(term, id)| (term, std::mem::take(&mut lists[id as usize])));
        let mut terms: Vec<_> = terms.filter(|(_, list)| !list.is_empty()).collect();
        terms.sort_unstable_by(|(term, _), (other, _)| term.cmp(other));
        for (_, list) in &mut terms {
            if !list.is_sorted_by(|a, b| a < b) {
                list.sort_unstable();
                list.dedup();
            }
        }
        terms
    }
}
