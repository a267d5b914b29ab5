//! Turns of streams on the CPU: as many at a time as there are cores.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    ApiResult, Reading,
    readers::{blocking, within},
};

/// Turns of [`Class::Live`] after which one of [`Class::Past`] comes, if one waits.
const LIVE_IN_A_ROW: u32 = 8;

/// What a stream works at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The newest blocks, for which many wait at the same moment: they come first.
    Live,
    /// What is further back, in the order in which it was asked for.
    Past,
}

/// Hands out turns. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Turns {
    state: Arc<Mutex<State>>,
    timeout: Duration,
}

#[derive(Debug)]
struct State {
    free: usize,
    live: VecDeque<oneshot::Sender<Turn>>,
    past: VecDeque<oneshot::Sender<Turn>>,
    live_in_a_row: u32,
}

/// The right to work on a CPU thread; goes to the next one when dropped.
#[derive(Debug)]
pub struct Turn {
    /// Absent once it is handed on.
    state: Option<Arc<Mutex<State>>>,
    timeout: Duration,
}

impl Turns {
    /// So many at a time, each for as long as `timeout` at most.
    pub fn new(places: usize, timeout: Duration) -> Self {
        let state = State { free: places.max(1), live: VecDeque::new(), past: VecDeque::new(), live_in_a_row: 0 };
        Self { state: Arc::new(Mutex::new(state)), timeout }
    }

    /// Waits for a turn, however long it takes. Whoever waits should hold nothing: many may.
    pub async fn turn(&self, class: Class) -> Turn {
        let waiting = {
            let mut state = lock(&self.state);
            if state.free > 0 {
                state.free -= 1;
                return self.make();
            }
            let (sender, waiting) = oneshot::channel();
            match class {
                Class::Live => state.live.push_back(sender),
                Class::Past => state.past.push_back(sender),
            }
            waiting
        };
        waiting.await.unwrap_or_else(|_| unreachable!("whoever waits is told before it is forgotten"))
    }

    fn make(&self) -> Turn {
        Turn { state: Some(self.state.clone()), timeout: self.timeout }
    }
}

impl State {
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let live_first = self.past.is_empty() || self.live_in_a_row < LIVE_IN_A_ROW;
        match self.live.pop_front_if(|_| live_first) {
            Some(live) => {
                self.live_in_a_row += 1;
                Some(live)
            }
            None => {
                self.live_in_a_row = 0;
                self.past.pop_front()
            }
        }
    }
}

impl Turn {
    /// Runs `work` on a CPU thread. The turn ends with it, also if nobody waits for its answer any more.
    ///
    /// # Errors
    /// Those of `work`, and `service_unavailable_error` when it takes too long.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&Reading) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let timeout = self.timeout;
        let work = blocking(move |reading| {
            let _turn = self;
            work(reading)
        });
        within(timeout, "Answering took too long.", work).await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(state) = self.state.take() else { return };
        let mut locked = lock(&state);
        let mut turn = Self { state: Some(state.clone()), timeout: self.timeout };
        while let Some(next) = locked.next() {
            match next.send(turn) {
                Ok(()) => return,
                // It does not wait any more.
                Err(back) => turn = back,
            }
        }
        turn.state = None;
        locked.free += 1;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::{FutureExt, future::join_all};

    use super::*;
    use crate::ApiError;

    fn turns(places: usize) -> Turns {
        Turns::new(places, Duration::from_secs(60))
    }

    #[tokio::test]
    async fn the_newest_come_first_but_not_always() {
        let turns = turns(1);
        let first = turns.turn(Class::Past).await;
        let order = Mutex::new(Vec::new());
        let classes = [[Class::Past; 3].as_slice(), &[Class::Live; 20]].concat();
        let work = classes.into_iter().map(|class| {
            let (turns, order) = (&turns, &order);
            async move {
                let _turn = turns.turn(class).await;
                order.lock().unwrap().push(class);
            }
        });
        let mut work = Box::pin(join_all(work));
        assert!((&mut work).now_or_never().is_none());
        drop(first);
        work.await;
        let order = order.into_inner().unwrap();
        let past: Vec<_> = (0..order.len()).filter(|at| order[*at] == Class::Past).collect();
        assert_eq!((order.len(), past), (23, vec![8, 17, 22]));
    }

    #[tokio::test]
    async fn whoever_goes_away_takes_no_turn_along() {
        let turns = turns(2);
        let (first, second) = (turns.turn(Class::Live).await, turns.turn(Class::Past).await);
        let mut given_up = Box::pin(turns.turn(Class::Live));
        let mut waiting = Box::pin(turns.turn(Class::Past));
        assert!((&mut given_up).now_or_never().is_none() && (&mut waiting).now_or_never().is_none());
        drop(given_up);
        drop(first);
        let third = waiting.await;
        // One that was told of its turn and did not look.
        let mut told = Box::pin(turns.turn(Class::Live));
        assert!((&mut told).now_or_never().is_none());
        drop(second);
        drop(told);
        drop(third);
        assert_eq!(lock(&turns.state).free, 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_at_a_time_than_there_are_places() {
        let turns = turns(2);
        let (at_work, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = (0..200).map(|at| {
            let (turns, at_work, most) = (turns.clone(), at_work.clone(), most.clone());
            tokio::spawn(async move {
                let turn = turns.turn(if at % 3 == 0 { Class::Past } else { Class::Live }).await;
                let work = turn.run(move |_| {
                    most.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    at_work.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                });
                if at % 5 == 0 {
                    // Given up, perhaps in the middle.
                    let _ = work.now_or_never();
                } else {
                    work.await.unwrap();
                }
            })
        });
        for task in work.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 2);
        let _all = [turns.turn(Class::Past).await, turns.turn(Class::Past).await];
    }

    #[tokio::test]
    async fn a_panic_ends_the_turn() {
        let turns = turns(1);
        let work = turns.turn(Class::Live).await.run(|_| -> ApiResult<()> { panic!("as tested") });
        assert!(std::panic::AssertUnwindSafe(work).catch_unwind().await.is_err());
        assert!(turns.turn(Class::Live).await.run(|_| Ok(7)).await.is_ok());
        let refused = turns.turn(Class::Live).await.run(|_| Err::<(), _>(ApiError::unavailable("no"))).await;
        assert_eq!(refused.unwrap_err().message(), "no");
    }
}
