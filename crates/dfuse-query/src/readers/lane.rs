//! The threads of one class of reads.
//!
//! A read has a thread from its beginning to its end, since it may be anywhere in its work when it gives way. It has one of the
//! few turns only while it works: after a slice it hands its turn to those who wait, if there are any, and waits for another.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use dfuse_blocks::Clock;

use super::queue::{Ticket, Turn, TurnQueue};
use crate::client::Client;

/// Work after which a read gives way to those who wait.
const SLICE: Duration = Duration::from_millis(5);
/// Of how many reads the average is taken that tells how long others will take.
const AVERAGED: u32 = 16;

/// How many reads there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// That work.
    pub(super) working: usize,
    /// That have begun, those that gave way included: each has a thread and what it holds.
    pub(super) begun: usize,
    /// That have begun, of one client.
    pub(super) begun_of_client: usize,
    /// That wait to begin.
    pub(super) waiting: usize,
    /// That wait to begin, of one client.
    pub(super) waiting_of_client: usize,
    /// How long a read may have to wait for its beginning: those that would wait longer are refused.
    pub(super) patience: Duration,
}

/// Why a read is refused. The time after which it may be asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// There are too many, or it would wait for too long.
    Busy(Duration),
    /// There are too many of this client.
    Client(Duration),
}

/// The threads of a class, and the reads that wait for one.
pub(super) struct Lane {
    name: &'static str,
    limits: Limits,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Wakes threads that have nothing to do.
    work: Condvar,
    /// Reads that wait: what a read at work looks at between two pieces of it.
    waiting: AtomicUsize,
    tickets: AtomicU64,
}

#[derive(Default)]
struct State {
    queue: TurnQueue<Job>,
    /// Have their turn, and no thread yet.
    ready: VecDeque<Job>,
    /// Gave way and wait for their next turn.
    paused: BTreeMap<Ticket, Arc<Condvar>>,
    working: usize,
    begun: usize,
    /// Threads that wait for work.
    idle: usize,
    threads: usize,
    /// Of the time that reads work.
    average: Option<Duration>,
    is_closed: bool,
}

struct Job {
    client: Client,
    paused: Arc<Pauses>,
    work: Work,
}

/// What a read does.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// What a read has spent waiting for further turns, in nanoseconds.
#[derive(Debug, Default)]
struct Pauses(AtomicU64);

/// The place of a read in its lane. Gives it up when dropped, if it has not begun.
#[derive(Debug)]
pub(super) struct Place {
    lane: Arc<Lane>,
    client: Client,
    ticket: Ticket,
    paused: Arc<Pauses>,
    /// When the first that waits was seen, in nanoseconds of the clock from 1 on; 0 if nobody waits.
    slice_began: AtomicU64,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("name", &self.name).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Lane {
    pub(super) fn new(name: &'static str, limits: Limits, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (state, work, waiting, tickets) = Default::default();
        Arc::new(Self { name, limits, clock, state, work, waiting, tickets })
    }

    /// A place for a read of that client.
    pub(super) fn place(self: &Arc<Self>, client: Client) -> Arc<Place> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let (lane, paused, slice_began) = (self.clone(), Arc::default(), AtomicU64::default());
        Arc::new(Place { lane, client, ticket, paused, slice_began })
    }

    /// Takes the read of a place, or refuses it at once. Reads `in_turn` wait however long it takes and are never refused.
    pub(super) fn push(self: &Arc<Self>, place: &Place, in_turn: bool, work: Work) -> Result<(), Refused> {
        let Place { client, ticket, ref paused, .. } = *place;
        let mut state = self.state();
        if !in_turn {
            self.check(&state, client)?;
        }
        state.queue.push(client, ticket, Job { client, paused: paused.clone(), work });
        self.give_turns(&mut state);
        Ok(())
    }

    fn check(&self, state: &State, client: Client) -> Result<(), Refused> {
        let Limits { working, waiting, waiting_of_client, patience, .. } = self.limits;
        let ahead = state.queue.ahead_of(client) + state.working;
        let turns = u32::try_from(ahead / working.max(1)).unwrap_or(u32::MAX);
        let wait = state.average.map_or(Duration::ZERO, |average| average.saturating_mul(turns));
        let again = wait.saturating_sub(patience);
        if state.queue.new_ones_of(client) >= waiting_of_client {
            return Err(Refused::Client(again));
        }
        if state.queue.new_ones() >= waiting || wait > patience {
            return Err(Refused::Busy(again));
        }
        Ok(())
    }

    /// Nobody waits for the read any more.
    pub(super) fn give_up(&self, place: &Place) {
        let given_up = {
            let mut state = self.state();
            let given_up = state.queue.remove(place.client, place.ticket);
            self.note_waiting(&state);
            if let Some(paused) = state.paused.get(&place.ticket) {
                paused.notify_one();
            }
            given_up
        };
        // It may hold much.
        drop(given_up);
    }

    /// No reads come any more, and threads end when they have nothing to do.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.work.notify_all();
    }

    /// Gives turns to those who wait as long as there are any.
    fn give_turns(self: &Arc<Self>, state: &mut State) {
        while state.working < self.limits.working {
            match state.queue.next(state.begun < self.limits.begun, self.limits.begun_of_client) {
                None => break,
                Some(Turn::Begin(job)) => {
                    state.begun += 1;
                    state.ready.push_back(job);
                    self.work.notify_one();
                }
                Some(Turn::GoOn(ticket)) => {
                    if let Some(paused) = state.paused.remove(&ticket) {
                        paused.notify_one();
                    }
                }
            }
            state.working += 1;
        }
        self.note_waiting(state);
        while state.ready.len() > state.idle && state.threads < self.limits.begun {
            if let Err(error) = self.start_thread(state) {
                tracing::warn!(class = self.name, %error, threads = state.threads, "no further thread for reads");
                break;
            }
        }
        // Without any thread nobody would come back to them: they are refused.
        while state.threads == 0
            && let Some(job) = state.ready.pop_front()
        {
            self.end(state, job.client);
        }
    }

    /// The thread takes what is ready as soon as it runs: it counts as idle until then.
    fn start_thread(self: &Arc<Self>, state: &mut State) -> std::io::Result<()> {
        let lane = self.clone();
        thread::Builder::new().name(format!("{}-{}", self.name, state.threads)).spawn(move || lane.serve())?;
        state.threads += 1;
        state.idle += 1;
        Ok(())
    }

    fn note_waiting(&self, state: &State) {
        self.waiting.store(state.queue.len(), Ordering::Relaxed);
    }

    /// What a thread does.
    fn serve(self: Arc<Self>) {
        let mut state = self.state();
        loop {
            if let Some(Job { client, paused, work }) = state.ready.pop_front() {
                state.idle -= 1;
                drop(state);
                let began = self.clock.elapsed();
                work();
                let took = self.clock.elapsed().saturating_sub(began);
                let worked = took.saturating_sub(Duration::from_nanos(paused.0.load(Ordering::Relaxed)));
                state = self.state();
                state.note_time(worked);
                self.end(&mut state, client);
                self.give_turns(&mut state);
                state.idle += 1;
            } else if state.is_closed {
                return;
            } else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn end(&self, state: &mut State, client: Client) {
        state.working -= 1;
        state.begun -= 1;
        state.queue.end(client);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note_time(&mut self, worked: Duration) {
        self.average = Some(match self.average {
            None => worked,
            Some(average) => average - average / AVERAGED + worked / AVERAGED,
        });
    }
}

impl Place {
    /// Hands the turn to those who wait if the slice is over, and returns with the next one, or when the read is given up.
    pub(super) fn give_way(&self, given_up: &AtomicBool) {
        if self.lane.waiting.load(Ordering::Relaxed) == 0 {
            self.slice_began.store(0, Ordering::Relaxed);
            return;
        }
        let now = self.lane.clock.elapsed();
        let stamp = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        match self.slice_began.load(Ordering::Relaxed) {
            0 => self.slice_began.store(stamp(now), Ordering::Relaxed),
            began if stamp(now).saturating_sub(began) >= SLICE.as_nanos() as u64 => {
                if self.pause(given_up) {
                    let paused = self.lane.clock.elapsed().saturating_sub(now);
                    self.paused.0.fetch_add(stamp(paused) - 1, Ordering::Relaxed);
                }
                self.slice_began.store(0, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// False if nobody could use the turn.
    fn pause(&self, given_up: &AtomicBool) -> bool {
        let (lane, ticket) = (&self.lane, self.ticket);
        let mut state = lane.state();
        let may_begin = state.begun < lane.limits.begun;
        if !state.queue.has_next(may_begin, lane.limits.begun_of_client) {
            return false;
        }
        state.queue.pause(self.client, ticket);
        let turn = Arc::new(Condvar::new());
        state.paused.insert(ticket, turn.clone());
        state.working -= 1;
        lane.give_turns(&mut state);
        while state.paused.contains_key(&ticket) && !given_up.load(Ordering::Relaxed) {
            state = turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.paused.remove(&ticket).is_some() {
            // What is left of it is to come to its end, which takes no time.
            state.queue.remove(self.client, ticket);
            state.working += 1;
            lane.note_waiting(&state);
        }
        true
    }
}
