//! Places for connections, and who leaves when somebody waits for one.
//!
//! A connection that is not answering a request, and has not become a stream, is idle. When all places are taken and somebody
//! waits, the one that has been idle longest is asked to leave. Those at work are never asked.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::request_span::RequestSpan;

/// All places of a server.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    most: usize,
    state: Mutex<State>,
    /// A connection has become idle, which may leave for one that waits.
    became_idle: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// Who is idle, in the order in which they became so.
    idle: BTreeMap<u64, Arc<Notify>>,
    /// How many were asked to leave, and neither have left nor found work.
    leaving: usize,
    /// How many were asked to leave so far.
    sent_away: u64,
}

/// A connection's place. A connection that becomes something else than HTTP keeps it. Cloning is cheap; the place is free
/// when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct ConnectionPlace(Arc<Place>);

#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    standing: Mutex<Standing>,
    leave: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Standing {
    /// Its position among those who are idle.
    idle: Option<u64>,
    at_work: usize,
    has_worked: bool,
    is_leaving: bool,
}

/// As long as it lives, its connection is at work.
#[derive(Debug)]
pub struct AtWork(Arc<Place>);

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(most));
        Self { free, most, state: Mutex::default(), became_idle: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.most - self.free.available_permits()
    }

    /// How many connections were asked to leave for others.
    pub(crate) fn sent_away(&self) -> u64 {
        self.state().sent_away
    }

    /// Takes a place as soon as one is free, and has somebody who is idle make room. Can be given up and called again.
    pub(super) async fn take(self: &Arc<Self>) -> ConnectionPlace {
        let permit = loop {
            if let Ok(permit) = self.free.clone().try_acquire_owned() {
                break permit;
            }
            self.make_room();
            tokio::select! {
                permit = self.free.clone().acquire_owned() => break permit.expect("never closed"),
                () = self.became_idle.notified() => {}
            }
        };
        let leave = Arc::new(Notify::new());
        let idle = Some(self.state().enter(leave.clone()));
        let standing = Standing { idle, at_work: 0, has_worked: false, is_leaving: false };
        ConnectionPlace(Arc::new(Place {
            places: self.clone(),
            standing: Mutex::new(standing),
            leave,
            _permit: permit,
        }))
    }

    /// Asks the one who has been idle longest to leave, unless somebody is about to.
    pub(super) fn make_room(&self) {
        let mut state = self.state();
        if state.leaving == 0
            && let Some((_, leave)) = state.idle.pop_first()
        {
            state.leaving += 1;
            state.sent_away += 1;
            leave.notify_one();
        }
    }
}

impl State {
    fn enter(&mut self, leave: Arc<Notify>) -> u64 {
        self.next += 1;
        self.idle.insert(self.next, leave);
        self.next
    }
}

impl Place {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    /// Takes the connection out of those who are idle. If it is not among them, it was asked to leave: tells so, and that it is
    /// no longer waited for.
    fn end_idling(&mut self, places: &Places) -> bool {
        let Some(position) = self.idle.take() else { return false };
        let mut state = places.state();
        let was_asked = state.idle.remove(&position).is_none();
        if was_asked {
            state.leaving -= 1;
        }
        was_asked
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let standing = self.standing.get_mut().unwrap_or_else(PoisonError::into_inner);
        standing.end_idling(&self.places);
    }
}

impl ConnectionPlace {
    /// From now on the connection is at work, until what this returns is dropped.
    pub fn work(&self) -> AtWork {
        let mut standing = self.0.standing();
        let was_asked = standing.end_idling(&self.0.places);
        standing.is_leaving |= was_asked;
        standing.at_work += 1;
        standing.has_worked = true;
        drop(standing);
        if was_asked {
            // Its work may be long. Another one can leave instead.
            self.0.places.became_idle.notify_one();
        }
        AtWork(self.0.clone())
    }

    /// Returns when the connection is to leave for another one.
    pub(super) async fn asked_to_leave(&self) {
        self.0.leave.notified().await;
    }

    /// Whether it is at work, and whether it ever was.
    pub(super) fn work_so_far(&self) -> (bool, bool) {
        let standing = self.0.standing();
        (standing.at_work > 0, standing.has_worked)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let Place { places, leave, .. } = &*self.0;
        let mut standing = self.0.standing();
        standing.at_work -= 1;
        if standing.at_work == 0 && !standing.is_leaving {
            standing.idle = Some(places.state().enter(leave.clone()));
            drop(standing);
            places.became_idle.notify_one();
        }
    }
}

/// The body of an answer, with which the connection is at work until it has been sent.
pub(super) struct WorkingBody {
    pub(super) body: Body,
    pub(super) span: Option<RequestSpan>,
    pub(super) _work: AtWork,
}

impl HttpBody for WorkingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { body, span, .. } = &mut *self;
        let _entered = span.as_ref().map(|RequestSpan(span)| span.enter());
        Pin::new(body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn take(places: &Arc<Places>) -> Option<ConnectionPlace> {
        places.take().now_or_never()
    }

    fn is_asked(place: &ConnectionPlace) -> bool {
        place.asked_to_leave().now_or_never().is_some()
    }

    #[test]
    fn the_one_who_has_been_idle_longest_leaves() {
        let places = Arc::new(Places::new(3));
        let [first, second, third] = [(); 3].map(|()| take(&places).unwrap());
        // The first one worked after the others had come.
        drop(first.work());
        assert!(take(&places).is_none(), "it takes a moment to leave");
        assert_eq!([&first, &second, &third].map(is_asked), [false, true, false]);
        assert!(take(&places).is_none());
        assert!(![&first, &third].into_iter().any(is_asked), "one at a time");
        drop(second);
        let fourth = take(&places).unwrap();
        assert!(take(&places).is_none() && is_asked(&third));
        drop((third, take(&places)));
        assert_eq!((places.taken(), places.most(), places.sent_away()), (2, 3, 2));
        drop((first, fourth));
        let State { idle, leaving, .. } = &*places.state();
        assert_eq!((places.taken(), idle.len(), *leaving), (0, 0, 0));
    }

    #[test]
    fn who_is_at_work_stays() {
        let places = Arc::new(Places::new(1));
        let only = take(&places).unwrap();
        let work = [only.work(), only.work()];
        let mut waiting = Box::pin(places.take());
        assert!((&mut waiting).now_or_never().is_none() && !is_asked(&only));
        let [one, other] = work;
        drop(one);
        assert!((&mut waiting).now_or_never().is_none() && !is_asked(&only), "it works still");
        drop(other);
        assert!((&mut waiting).now_or_never().is_none() && is_asked(&only), "it is idle, and another waits");
        // A request that came just then is answered, and then it leaves.
        drop(only.work());
        assert!((&mut waiting).now_or_never().is_none() && !is_asked(&only));
        drop(only);
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn one_who_finds_work_when_asked_is_not_waited_for() {
        let places = Arc::new(Places::new(2));
        let [first, second] = [(); 2].map(|()| take(&places).unwrap());
        let mut waiting = Box::pin(places.take());
        assert!((&mut waiting).now_or_never().is_none() && is_asked(&first));
        // It becomes a stream.
        let stream = first.work();
        assert!((&mut waiting).now_or_never().is_none() && is_asked(&second), "the other one is asked");
        drop(second);
        assert!(waiting.now_or_never().is_some());
        drop((first, stream));
        assert_eq!((places.taken(), places.state().leaving), (0, 0));
    }
}
