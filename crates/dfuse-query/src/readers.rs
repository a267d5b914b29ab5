//! Reads: what blocks on stores, and what takes long on the processor. None of it runs on the threads of the runtime.
//!
//! Each [`Class`] has a lane of its own with its own threads; in a lane clients take turns, and a read that takes long gives way
//! (docs/decisions/fair-reads.md).

mod class;
mod lane;
mod queue;

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use class::Class;
use dfuse_blocks::Clock;
use dfuse_search::Pace;
use futures::future::BoxFuture;
use lane::{Lane, Limits, Place, Refused};
use tokio::{
    runtime::Handle,
    sync::oneshot::{self, error::RecvError},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tracing::Span;

use crate::{ApiError, ApiResult, Options, client::Client, options::cores};

const TOO_LONG: &str = "Answering took too long.";
const BUSY: &str = "Too many requests are being answered.";
const GOING_AWAY: &str = "The server is going away.";
/// Reads of a class that may have begun for each that may work: those that gave way hold what they have read.
const BEGUN: usize = 2;
/// Longest time after which clients are told to ask again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Runs reads, of each class a bounded number at a time.
#[derive(Debug)]
pub(crate) struct Readers {
    lanes: [Arc<Lane>; Class::ALL.len()],
    timeout: Duration,
}

/// A read at work. It stops on its own when nobody waits for its answer any more.
#[derive(Debug, Clone, Default)]
pub struct Reading(Arc<AtReading>);

#[derive(Debug, Default)]
struct AtReading {
    given_up: AtomicBool,
    has_begun: AtomicBool,
    /// Absent for what is in no lane.
    place: Option<Arc<Place>>,
}

impl Reading {
    /// An error when the client has left or its time is up: return it. After a few milliseconds of work others who wait have their
    /// turn first. Cheap enough to ask for every row; hold no lock.
    pub fn go_on(&self) -> ApiResult<()> {
        self.pause();
        if self.is_given_up() { Err(ApiError::unavailable("Nobody waits for this.")) } else { Ok(()) }
    }
}

impl Pace for Reading {
    fn pause(&self) {
        if let Some(place) = &self.0.place {
            place.give_way(&self.0.given_up);
        }
    }

    fn is_given_up(&self) -> bool {
        self.0.given_up.load(Ordering::Relaxed)
    }
}

/// Stops a read when its request is given up.
struct Waiting<'a> {
    lane: &'a Lane,
    place: Arc<Place>,
    reading: Reading,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.reading.0.given_up.store(true, Ordering::Relaxed);
        self.lane.give_up(&self.place);
    }
}

/// Work as a lane takes it: where its answer goes is its own affair.
type Work = Box<dyn FnOnce(&Reading) + Send>;

/// A read in its lane.
struct Pushed<'a> {
    waiting: Waiting<'a>,
    end: oneshot::Receiver<End>,
}

/// How a read ended; its panic is an error.
type End = Result<(), Box<dyn Any + Send>>;

impl Pushed<'_> {
    fn has_begun(&self) -> bool {
        self.waiting.reading.0.has_begun.load(Ordering::Relaxed)
    }
}

/// A panic of the work goes on here.
fn ended(end: Result<End, RecvError>) -> ApiResult<()> {
    match end {
        Ok(Ok(())) => Ok(()),
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_) => Err(ApiError::unavailable(GOING_AWAY)),
    }
}

/// The answer of work, once it has ended.
struct Answer<T>(Arc<Mutex<Option<ApiResult<T>>>>);

impl<T: Send + 'static> Answer<T> {
    /// The work without the type of its answer: all that is done around it is compiled once, and not for every question.
    fn of(work: impl FnOnce(&Reading) -> ApiResult<T> + Send + 'static) -> (Self, Work) {
        let answer = Arc::new(Mutex::new(None));
        let kept = answer.clone();
        let work = move |reading: &Reading| {
            let answer = work(reading);
            *lock(&kept) = Some(answer);
        };
        (Self(answer), Box::new(work))
    }

    /// The answer of work that has ended without a panic.
    fn take(self) -> ApiResult<T> {
        lock(&self.0).take().unwrap_or_else(|| Err(ApiError::unavailable(GOING_AWAY)))
    }
}

fn lock<T>(answer: &Mutex<T>) -> MutexGuard<'_, T> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Readers {
    pub(crate) fn new(options: &Options, clock: &Arc<dyn Clock>) -> Self {
        let timeout = options.read_timeout;
        let lane = |class: Class| {
            let working = match class {
                Class::LookUp | Class::Page | Class::Search => options.readers,
                Class::Body => cores(),
            };
            let begun = BEGUN * working;
            let limits = Limits {
                working,
                begun,
                begun_of_client: (begun - begun / 4).max(1),
                waiting: options.max_waiting_reads,
                waiting_of_client: options.max_waiting_reads_of_client,
                patience: timeout / 2,
            };
            Lane::new(class.name(), limits, clock.clone())
        };
        Self { lanes: Class::ALL.map(lane), timeout }
    }

    /// Refused at once with `Retry-After` if it could not be answered in time. A panic of `work` goes on in the caller.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        class: Class,
        client: Client,
        work: impl FnOnce(&Reading) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let (answer, work) = Answer::of(work);
        self.do_soon(class, client, work).await?;
        answer.take()
    }

    /// The same, but waits for its turn however long that takes.
    pub(crate) async fn run_in_turn<T: Send + 'static>(
        &self,
        class: Class,
        client: Client,
        work: impl FnOnce(&Reading) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        let (answer, work) = Answer::of(work);
        self.do_in_turn(class, client, work).await?;
        answer.take()
    }

    fn do_soon(&self, class: Class, client: Client, work: Work) -> BoxFuture<'_, ApiResult<()>> {
        Box::pin(async move {
            let mut pushed = self.push(class, client, None, work)?;
            // Most reads are answered by then: that one has begun is not told, since to wake whoever waits takes longer than many
            // reads.
            let half = self.timeout / 2;
            match timeout(half, &mut pushed.end).await {
                Ok(end) => ended(end),
                Err(_) if !pushed.has_begun() => Err(ApiError::unavailable(BUSY).retry_after(1)),
                Err(_) => within(half, TOO_LONG, async { ended((&mut pushed.end).await) }).await,
            }
        })
    }

    fn do_in_turn(&self, class: Class, client: Client, work: Work) -> BoxFuture<'_, ApiResult<()>> {
        Box::pin(async move {
            let (begins, begun) = oneshot::channel();
            let mut pushed = self.push(class, client.stream(), Some(begins), work)?;
            // An error says that it does not begin, which the end tells, too.
            let _ = begun.await;
            within(self.timeout, TOO_LONG, async { ended((&mut pushed.end).await) }).await
        })
    }

    /// A read in turn waits however long it takes, and tells when it begins.
    fn push(
        &self,
        class: Class,
        client: Client,
        in_turn: Option<oneshot::Sender<()>>,
        work: Work,
    ) -> ApiResult<Pushed<'_>> {
        let (ends, end) = oneshot::channel();
        let (span, runtime) = (Span::current(), Handle::current());
        let lane = &self.lanes[class as usize];
        let (place, is_in_turn) = (lane.place(client), in_turn.is_some());
        let reading = Reading(Arc::new(AtReading { place: Some(place.clone()), ..AtReading::default() }));
        let own = reading.clone();
        let work = move || {
            if own.is_given_up() {
                return;
            }
            own.0.has_begun.store(true, Ordering::Relaxed);
            // Nobody hears it if the request was given up.
            let _ = in_turn.map(|begins| begins.send(()));
            let _runtime = runtime.enter();
            let end = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| work(&own))));
            let _ = ends.send(end);
        };
        lane.push(&place, is_in_turn, Box::new(work)).map_err(refusal)?;
        Ok(Pushed { waiting: Waiting { lane, place, reading }, end })
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for lane in &self.lanes {
            lane.close();
        }
    }
}

fn refusal(refused: Refused) -> ApiError {
    let (message, again) = match refused {
        Refused::Busy(again) => (BUSY, again),
        Refused::Client(again) => ("Too many requests of this client wait for their answers.", again),
    };
    ApiError::unavailable(message).retry_after(again.min(MAX_RETRY_AFTER).as_secs() as u32 + 1)
}

/// Ends with `service_unavailable_error` when the time is up.
pub async fn within<T>(
    time: Duration,
    message: &'static str,
    work: impl Future<Output = ApiResult<T>>,
) -> ApiResult<T> {
    timeout(time, work).await.unwrap_or_else(|_| Err(ApiError::unavailable(message)))
}

/// Runs `work` on a thread of the runtime that may block, in no lane: for what is bounded elsewhere, or must be answered however
/// much is being read.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce(&Reading) -> ApiResult<T> + Send + 'static) -> ApiResult<T> {
    let (answer, work) = Answer::of(work);
    outside_of_lanes(work).await?;
    answer.take()
}

fn outside_of_lanes(work: Work) -> BoxFuture<'static, ApiResult<()>> {
    Box::pin(async move {
        let (reading, span) = (Reading::default(), Span::current());
        let task = spawn_blocking({
            let reading = reading.clone();
            move || span.in_scope(|| work(&reading))
        });
        let mut waiting = OutsideOfLanes { reading, task };
        match (&mut waiting.task).await {
            Ok(()) => Ok(()),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(ApiError::unavailable(GOING_AWAY)),
            },
        }
    })
}

/// Stops work in no lane when nobody waits for it any more.
struct OutsideOfLanes {
    reading: Reading,
    task: JoinHandle<()>,
}

impl Drop for OutsideOfLanes {
    fn drop(&mut self) {
        self.reading.0.given_up.store(true, Ordering::Relaxed);
        // Has an effect on those that have not begun.
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
