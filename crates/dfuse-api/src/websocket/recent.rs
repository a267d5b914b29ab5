use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

use crate::ApiResult;

/// What was made last, for all who want the same at about the same time.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    entries: Mutex<Entries<K, V>>,
    capacity: usize,
}

/// With the keys in the order in which they came.
type Entries<K, V> = (BTreeMap<K, Arc<OnceCell<V>>>, VecDeque<K>);

impl<K: Ord + Clone, V: Clone> Recent<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { entries: Mutex::default(), capacity }
    }

    /// The value of the key, made by the first who asks. When that fails, the next one makes it.
    pub(crate) async fn get(&self, key: K, make: impl Future<Output = ApiResult<V>>) -> ApiResult<V> {
        let cell = self.cell(key);
        cell.get_or_try_init(|| make).await.cloned()
    }

    fn cell(&self, key: K) -> Arc<OnceCell<V>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (cells, order) = &mut *entries;
        if let Some(cell) = cells.get(&key) {
            return cell.clone();
        }
        if order.len() >= self.capacity
            && let Some(oldest) = order.pop_front()
        {
            cells.remove(&oldest);
        }
        order.push_back(key.clone());
        cells.entry(key).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::ApiError;

    #[tokio::test]
    async fn made_once_while_it_is_recent() {
        let made = Cell::new(0);
        let recent = Recent::new(2);
        let get = async |key: u32| {
            let make = async {
                made.set(made.get() + 1);
                if made.get() == 1 { Err(ApiError::unavailable("not yet")) } else { Ok(key * 10) }
            };
            recent.get(key, make).await
        };
        assert!(get(1).await.is_err());
        for (key, count) in [(1, 2), (2, 3), (1, 3), (3, 4), (2, 4), (1, 5)] {
            assert_eq!((get(key).await.unwrap(), made.get()), (key * 10, count));
        }
    }
}
