//! An index whose writes depend on what was there, and a model of it that folds the writes of every block along its branch.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use dfuse_antelope::{
    BlockTimestamp, Checksum256,
    model::{Block, BlockHeader},
};
use dfuse_index::{
    BlockContext, Delta, DeltaBuilder, Family, Index, Result, View,
    blocks::{self, Blocks},
};
use dfuse_kv::{Direction, Hint, KeyRange};

const LETTERS: Family = Family::new("letters");

type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// A key, and what it is set to; nothing for a deletion.
type Change = (Vec<u8>, Option<Vec<u8>>);

/// Writes to a few keys what depends on what was there.
struct Letters;

/// What a block does to a state, which is asked through `get` and `count`.
fn changes(
    block: &Block,
    get: impl Fn(&[u8]) -> Result<Option<Vec<u8>>>,
    count: impl Fn(&[u8]) -> Result<usize>,
) -> Result<Vec<Change>> {
    let digest = Checksum256::sha256(&block.id.0).0;
    let writes = digest.chunks(3).take(usize::from(digest[31] % 9)).map(|bytes| {
        // Few keys, one a prefix of another.
        let key = vec![b'a' + bytes[0] % 4; usize::from(1 + bytes[1] % 3)];
        if bytes[2] % 3 == 0 {
            return Ok((key, None));
        }
        let mut value = get(&key)?.unwrap_or_default();
        value.truncate(6);
        value.insert(0, bytes[2]);
        value.push(count(&key[..1])? as u8);
        Ok((key, Some(value)))
    });
    writes.collect()
}

impl Index for Letters {
    fn name(&self) -> &'static str {
        "letters"
    }

    fn schema_version(&self) -> u32 {
        1
    }

    fn families(&self) -> &'static [Family] {
        &[LETTERS]
    }

    fn delta(&self, context: &BlockContext<'_>, view: &View) -> Result<Delta> {
        assert!(view.block() == Some(context.parent()));
        let get = |key: &[u8]| Ok(view.get(LETTERS, key)?.map(Vec::from));
        let count = |from: &[u8]| {
            view.scan(LETTERS, &KeyRange::new(from..), Direction::Forward)?
                .try_fold(0, |count, it| it.map(|_| count + 1))
        };
        let mut delta = DeltaBuilder::new();
        for (key, value) in changes(context.block(), get, count)? {
            match value {
                Some(value) => delta.put(LETTERS, key, value),
                None => delta.delete(LETTERS, key),
            }
        }
        Ok(delta.build())
    }
}

/// Every block that ever was, and what follows from it.
pub(crate) struct Model {
    pub(crate) blocks: BTreeMap<Checksum256, (Block, State)>,
    pub(crate) root: Checksum256,
    made: u32,
}

impl Model {
    pub(crate) fn new() -> Self {
        let mut root = Checksum256::sha256(b"root");
        root.0[..4].copy_from_slice(&9u32.to_be_bytes());
        Self { blocks: BTreeMap::new(), root, made: 0 }
    }

    fn state(&self, id: Checksum256) -> State {
        self.blocks.get(&id).map(|(_, state)| state.clone()).unwrap_or_default()
    }

    pub(crate) fn child(&mut self, parent: Checksum256) -> Block {
        self.made += 1;
        let number = parent.block_num() + 1;
        let mut id = Checksum256::sha256(&self.made.to_be_bytes());
        id.0[..4].copy_from_slice(&number.to_be_bytes());
        let header = BlockHeader { previous: parent, timestamp: BlockTimestamp(number), ..Default::default() };
        let block = Block { id, number, header, ..Default::default() };
        let before = self.state(parent);
        let mut state = before.clone();
        let get = |key: &[u8]| Ok(before.get(key).cloned());
        let count = |from: &[u8]| Ok(before.range(from.to_vec()..).count());
        for (key, value) in changes(&block, get, count).unwrap() {
            match value {
                Some(value) => state.insert(key, value),
                None => state.remove(&key),
            };
        }
        self.blocks.insert(id, (block.clone(), state));
        block
    }

    /// From the block after `after` to `last`, which descends from it.
    pub(crate) fn path(&self, after: Checksum256, last: Checksum256) -> Vec<Block> {
        let mut path = Vec::new();
        let mut id = last;
        while id != after {
            let (block, _) = &self.blocks[&id];
            path.push(block.clone());
            id = block.header.previous;
        }
        path.reverse();
        path
    }

    pub(crate) fn check(&self, view: &View) {
        let id = view.block().map_or(self.root, |block| block.id);
        let state = self.state(id);
        for letter in *b"abcd" {
            for length in 1..=3 {
                let key = vec![letter; length];
                assert_eq!(view.get(LETTERS, &key).unwrap().as_deref(), state.get(&key).map(Vec::as_slice));
            }
        }
        let keys = [&b"a"[..], b"bb", b"b", b"ccc", b"dd"];
        let values = view.multi_get(LETTERS, &keys).unwrap();
        assert!(values.iter().map(Option::as_deref).eq(keys.iter().map(|key| state.get(*key).map(Vec::as_slice))));
        for direction in [Direction::Forward, Direction::Reverse] {
            let ranges = keys.map(KeyRange::prefix);
            let firsts = view.multi_first(LETTERS, &ranges, direction).unwrap();
            assert!(firsts.into_iter().eq(ranges.iter().map(|range| view.first(LETTERS, range, direction).unwrap())));
        }
        for direction in [Direction::Forward, Direction::Reverse] {
            let mut scan = view.scan_hinted(LETTERS, &KeyRange::all(), direction, Hint::Many).unwrap();
            let mut left: Vec<_> = state.keys().map(Vec::as_slice).collect();
            let mut to = keys;
            to.sort_unstable();
            if direction == Direction::Reverse {
                left.reverse();
                to.reverse();
            }
            for key in to {
                scan.skip_to(key).unwrap();
                left.drain(..left.iter().take_while(|left| !direction.reaches(left, key)).count());
                let expected = (!left.is_empty()).then(|| left.remove(0));
                assert_eq!(scan.next().transpose().unwrap().as_ref().map(|(key, _)| &key[..]), expected);
            }
        }
        let bounds = [
            Bound::Unbounded,
            Bound::Included(b"b".to_vec()),
            Bound::Excluded(b"bb".to_vec()),
            Bound::Included(b"cc".to_vec()),
        ];
        for (start, end) in bounds.iter().flat_map(|start| bounds.iter().map(move |end| (start.clone(), end.clone()))) {
            let range = KeyRange::new::<Vec<u8>>((start, end));
            let mut expected: Vec<_> = state.iter().filter(|(key, _)| range.contains(key)).collect();
            for direction in [Direction::Forward, Direction::Reverse] {
                let found: Vec<_> = view.scan(LETTERS, &range, direction).unwrap().map(Result::unwrap).collect();
                assert!(
                    found
                        .iter()
                        .map(|(key, value)| (&key[..], &value[..]))
                        .eq(expected.iter().map(|(key, value)| (&key[..], &value[..])))
                );
                assert_eq!(view.first(LETTERS, &range, direction).unwrap().as_ref(), found.first());
                expected.reverse();
            }
        }
        if let Some(block) = view.block().filter(|block| block.id != self.root) {
            assert_eq!(blocks::by_id(view, block.id).unwrap().unwrap().id, block.id);
            assert_eq!(blocks::by_number(view, block.number + 1).unwrap(), None);
        }
    }
}

pub(crate) fn indexes() -> Vec<Arc<dyn Index>> {
    vec![Arc::new(Blocks), Arc::new(Letters)]
}
