use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{Bytes, Result};

/// Memory that sorters share: what does not fit waits in files.
#[derive(Debug)]
pub struct SortMemory {
    pub(super) held: AtomicUsize,
    most: usize,
}

impl SortMemory {
    /// At most so many bytes.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), most })
    }

    /// Takes so many bytes, if they are left.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Makes one value of two that were put under one key.
pub type Combine<'a> = dyn Fn(&[u8], &[u8]) -> Result<Bytes> + Sync + 'a;
