//! Work on several things at once.

use std::{
    num::NonZero,
    panic::resume_unwind,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, Builder},
};

use crate::Result;

/// Threads that can work at the same time. The system is asked once: it reads files to tell.
pub(super) fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get))
}

/// What `work` makes of each item, in the order of items; the error is that of the first item that has one. The last items are
/// taken first, on so many threads, this one among them, or on as many as there are.
pub(super) fn map_all<I: Sync, T: Send + Sync>(
    items: &[I],
    threads: usize,
    work: impl Fn(&I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let left = AtomicUsize::new(items.len());
    let made: Vec<_> = items.iter().map(|_| OnceLock::new()).collect();
    let take = || {
        while let Ok(before) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
            // Every position is taken once.
            let _ = made[before - 1].set(work(&items[before - 1]));
        }
    };
    thread::scope(|scope| {
        // Where no thread can be made, those that are there do it all.
        let helper = || Builder::new().name("indexes".to_owned()).spawn_scoped(scope, take);
        let helpers: Vec<_> = (1..threads.min(items.len())).map_while(|_| helper().ok()).collect();
        take();
        for helper in helpers {
            if let Err(panic) = helper.join() {
                resume_unwind(panic);
            }
        }
    });
    made.into_iter()
        .map(|made| made.into_inner().expect("all were taken, and whoever took them came to the end"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{
        panic::catch_unwind,
        sync::{Barrier, Mutex},
        thread::current,
    };

    use super::*;
    use crate::Error;

    #[test]
    fn results_are_in_the_order_of_items() {
        let items: Vec<u64> = (0..100).collect();
        for threads in [0, 1, 2, 7, 1000] {
            let squares = map_all(&items, threads, |item| Ok(item * item)).unwrap();
            assert_eq!(squares, items.iter().map(|item| item * item).collect::<Vec<_>>());
            assert!(map_all(&items[..0], threads, |item| Ok(*item)).unwrap().is_empty());
        }
    }

    #[test]
    fn two_are_worked_at_together() {
        let (both, names) = (Barrier::new(2), Mutex::new(Vec::new()));
        // On one thread this would wait for ever.
        let work = |item: &u8| {
            both.wait();
            names.lock().unwrap().push(current().id());
            Ok(*item)
        };
        assert_eq!(map_all(&[1, 2], 2, work).unwrap(), [1, 2]);
        let names = names.into_inner().unwrap();
        assert_ne!(names[0], names[1]);
    }

    #[test]
    fn the_first_error_counts_and_panics_go_on() {
        let fail = |item: &u8| match item {
            3 | 5 => Err(Error::OtherChain(item.to_string())),
            _ => Ok(*item),
        };
        for threads in [1, 2] {
            let error = map_all(&[1, 2, 3, 4, 5], threads, fail).unwrap_err();
            assert!(matches!(error, Error::OtherChain(item) if item == "3"));
        }
        let both = Barrier::new(2);
        let panicked = catch_unwind(|| {
            map_all(&[1, 2], 2, |item| {
                both.wait();
                assert!(*item > 2, "as tested");
                Ok(())
            })
        });
        assert!(panicked.is_err());
    }
}
