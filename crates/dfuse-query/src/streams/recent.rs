use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;

/// What was made last, for all who want the same at about the same time.
#[derive(Debug)]
pub struct Recent<K, V> {
    entries: Mutex<Entries<K, V>>,
    most: usize,
    most_bytes: usize,
}

/// Something that takes memory.
pub trait Weigh {
    /// About how much.
    fn bytes(&self) -> usize;
}

#[derive(Debug)]
struct Entries<K, V> {
    /// With what each takes, once it is made.
    cells: BTreeMap<K, (Arc<OnceCell<V>>, usize)>,
    /// The keys in the order in which they came.
    order: VecDeque<K>,
    bytes: usize,
}

impl<K: Ord + Clone, V: Clone + Weigh> Recent<K, V> {
    /// No more than `most` of them, which take no more than `most_bytes`; but always the last one.
    pub fn new(most: usize, most_bytes: usize) -> Self {
        let entries = Entries { cells: BTreeMap::new(), order: VecDeque::new(), bytes: 0 };
        Self { entries: Mutex::new(entries), most, most_bytes }
    }

    /// The value of the key, made by the first who asks. When that fails, the next one makes it.
    pub async fn get<E>(&self, key: K, make: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        let cell = self.cell(&key);
        if let Some(value) = cell.get() {
            return Ok(value.clone());
        }
        let mut bytes = None;
        let made = cell.get_or_try_init(|| {
            let bytes = &mut bytes;
            async {
                let value = make.await?;
                *bytes = Some(value.bytes());
                Ok(value)
            }
        });
        let value = made.await?.clone();
        if let Some(bytes) = bytes {
            self.weigh(&key, bytes);
        }
        Ok(value)
    }

    /// The same for what is made without waiting. Whoever asks meanwhile may make it, too.
    pub fn get_or_make(&self, key: &K, make: impl FnOnce() -> V) -> V {
        let cell = self.cell(key);
        if let Some(value) = cell.get() {
            return value.clone();
        }
        let value = make();
        if cell.set(value.clone()).is_ok() {
            self.weigh(key, value.bytes());
        }
        value
    }

    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self, key: &K) -> Arc<OnceCell<V>> {
        let mut entries = self.lock();
        if let Some((cell, _)) = entries.cells.get(key) {
            return cell.clone();
        }
        if entries.order.len() >= self.most {
            entries.forget_oldest();
        }
        entries.order.push_back(key.clone());
        entries.cells.entry(key.clone()).or_default().0.clone()
    }

    fn weigh(&self, key: &K, bytes: usize) {
        let mut entries = self.lock();
        // It may have been forgotten while it was made.
        let Some((_, weight)) = entries.cells.get_mut(key) else { return };
        *weight = bytes;
        entries.bytes += bytes;
        while entries.bytes > self.most_bytes && entries.order.len() > 1 {
            entries.forget_oldest();
        }
    }
}

impl<K: Ord, V> Entries<K, V> {
    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front().and_then(|key| self.cells.remove(&key));
        self.bytes -= oldest.map_or(0, |(_, bytes)| bytes);
    }
}

impl Weigh for bytes::Bytes {
    fn bytes(&self) -> usize {
        self.len()
    }
}

impl<T: Weigh> Weigh for Arc<T> {
    fn bytes(&self) -> usize {
        (**self).bytes()
    }
}

impl<T> Weigh for Arc<[T]> {
    fn bytes(&self) -> usize {
        size_of_val(&**self)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Heavy(usize);

    impl Weigh for Heavy {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    #[tokio::test]
    async fn made_once_while_it_is_recent() {
        let made = Cell::new(0);
        let recent = Recent::new(2, 100);
        let get = async |key: usize| {
            let make = async {
                made.set(made.get() + 1);
                if made.get() == 1 { Err("not yet") } else { Ok(Heavy(key * 10)) }
            };
            recent.get(key, make).await
        };
        assert!(get(1).await.is_err());
        for (key, count) in [(1, 2), (2, 3), (1, 3), (3, 4), (2, 4), (1, 5)] {
            assert_eq!((get(key).await.unwrap(), made.get()), (Heavy(key * 10), count));
        }
        // What is heavy takes the place of others, but has its own.
        for (key, count) in [(9, 6), (1, 6), (7, 7), (9, 8), (20, 9), (20, 9), (9, 10)] {
            assert_eq!((get(key).await.unwrap(), made.get()), (Heavy(key * 10), count));
        }
    }
}
