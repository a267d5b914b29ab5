//! Waits are for events: a read that must not come to its turn yet has a channel that nobody has sent to.

use std::{
    net::Ipv4Addr,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use tokio::{select, task::yield_now};

use super::*;
use crate::ErrorCode;

/// A time that tests set.
#[derive(Debug, Default)]
struct SetClock(Mutex<Duration>);

impl SetClock {
    fn advance(&self, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }
}

impl Clock for SetClock {
    fn now(&self) -> Duration {
        self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SLICE: Duration = Duration::from_millis(5);

/// Readers that have all the time in the world.
fn readers(readers: usize) -> (Arc<Readers>, Arc<SetClock>) {
    readers_with(&Options { readers, read_timeout: Duration::from_secs(3600), ..Options::default() })
}

fn readers_with(options: &Options) -> (Arc<Readers>, Arc<SetClock>) {
    let clock = Arc::new(SetClock::default());
    let shared: Arc<dyn Clock> = clock.clone();
    (Arc::new(Readers::new(options, &shared)), clock)
}

fn client(number: u8) -> Client {
    Client::at(Some(Ipv4Addr::new(10, 0, 0, number).into()))
}

/// A read that is at work until it is given way, and then ends. The receiver tells that it has begun.
fn endless(
    readers: &Arc<Readers>,
    clock: &Arc<SetClock>,
    class: Class,
    who: Client,
) -> (impl Future<Output = ApiResult<()>> + use<>, mpsc::Receiver<()>) {
    let (begins, begun) = mpsc::channel();
    let (readers, clock) = (readers.clone(), clock.clone());
    let read = async move {
        readers
            .run(class, who, move |reading| {
                begins.send(()).unwrap();
                loop {
                    clock.advance(SLICE);
                    reading.go_on()?;
                }
            })
            .await
    };
    (read, begun)
}

#[tokio::test]
async fn a_read_that_never_ends_gives_way_to_all_others() {
    let (readers, clock) = readers(1);
    let (dear, begun) = endless(&readers, &clock, Class::Search, client(1));
    let dear = tokio::spawn(dear);
    while begun.try_recv().is_err() {
        yield_now().await;
    }
    // Other classes have threads of their own; of its own class others have a turn after a slice, of the same client as well.
    for (class, who) in [(Class::LookUp, 1), (Class::Page, 1), (Class::Search, 2), (Class::Search, 1), (Class::Body, 1)]
    {
        assert_eq!(readers.run(class, client(who), move |_| Ok(class)).await.unwrap(), class);
    }
    assert_eq!(readers.run_in_turn(Class::Search, client(1), |_| Ok(7)).await.unwrap(), 7);
    // Two that never end take turns: each comes on whenever the other has worked for a slice.
    let (other, begun) = endless(&readers, &clock, Class::Search, client(2));
    let other = tokio::spawn(other);
    while begun.try_recv().is_err() {
        yield_now().await;
    }
    assert!(!dear.is_finished() && !other.is_finished());
    // Whoever is given up ends, and so does what waits for its turn.
    dear.abort();
    other.abort();
    assert_eq!(readers.run(Class::Search, client(3), |_| Ok(3)).await.unwrap(), 3);
}

#[tokio::test]
async fn searches_give_way_between_units_of_work() {
    let (readers, clock) = readers(1);
    let (begins, begun) = mpsc::channel();
    let dear = {
        let (readers, clock) = (readers.clone(), clock.clone());
        tokio::spawn(async move {
            let work = move |reading: &Reading| {
                begins.send(()).unwrap();
                // As the budget of a search asks it.
                let pace: &dyn Pace = reading;
                while !pace.is_given_up() {
                    clock.advance(SLICE);
                    pace.pause();
                }
                Ok(())
            };
            readers.run(Class::Search, client(1), work).await
        })
    };
    while begun.try_recv().is_err() {
        yield_now().await;
    }
    readers.run(Class::Search, client(2), |_| Ok(())).await.unwrap();
    dear.abort();
}

#[tokio::test]
async fn a_read_keeps_its_turn_while_nobody_waits_and_within_its_slice() {
    let (readers, clock) = readers(1);
    let (release, held) = mpsc::channel::<()>();
    let (begins, begun) = mpsc::channel();
    let order = Arc::new(Mutex::new(Vec::new()));
    let first = {
        let (readers, clock, order) = (readers.clone(), clock.clone(), order.clone());
        tokio::spawn(async move {
            let work = move |reading: &Reading| {
                clock.advance(100 * SLICE);
                reading.go_on()?;
                begins.send(()).unwrap();
                held.recv().unwrap();
                // Now another waits, but the slice begins when that is seen.
                reading.go_on()?;
                clock.advance(SLICE / 2);
                reading.go_on()?;
                order.lock().unwrap().push("first, within its slice");
                clock.advance(SLICE);
                reading.go_on()?;
                order.lock().unwrap().push("first, after it");
                Ok(())
            };
            readers.run(Class::Page, client(1), work).await
        })
    };
    while begun.try_recv().is_err() {
        yield_now().await;
    }
    let second = {
        let order = order.clone();
        readers.run(Class::Page, client(1), move |_| {
            order.lock().unwrap().push("second");
            Ok(())
        })
    };
    let mut second = std::pin::pin!(second);
    select! { biased; _ = &mut second => panic!("there is one turn"), () = yield_now() => {} }
    release.send(()).unwrap();
    second.await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(*order.lock().unwrap(), ["first, within its slice", "second", "first, after it"]);
}

/// A read that holds its turn until the sender is used or dropped.
fn holding(readers: &Arc<Readers>, who: Client) -> (impl Future<Output = ApiResult<()>> + use<>, mpsc::Sender<()>) {
    let (release, held) = mpsc::channel::<()>();
    let readers = readers.clone();
    let read = async move {
        readers
            .run(Class::Search, who, move |_| {
                let _ = held.recv();
                Ok(())
            })
            .await
    };
    (read, release)
}

#[tokio::test]
async fn a_flood_of_one_client_is_refused_while_others_are_answered() {
    let (readers, _) = readers_with(&Options {
        readers: 1,
        read_timeout: Duration::from_secs(3600),
        max_waiting_reads: 5,
        max_waiting_reads_of_client: 3,
        ..Options::default()
    });
    let mut releases = Vec::new();
    let mut flood = Vec::new();
    // One works, three wait.
    for _ in 0..4 {
        let (read, release) = holding(&readers, client(1));
        flood.push(tokio::spawn(read));
        releases.push(release);
        yield_now().await;
    }
    let refused = readers.run(Class::Search, client(1), |_| Ok(())).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message(), refused.retry_after_seconds()),
        (ErrorCode::ServiceUnavailable, "Too many requests of this client wait for their answers.", Some(1))
    );
    // What streams send is bounded elsewhere, and waits.
    let mut in_turn = std::pin::pin!(readers.run_in_turn(Class::Search, client(1), |_| Ok("stream")));
    select! { biased; _ = &mut in_turn => panic!("there is one turn"), () = yield_now() => {} }
    let mut other = std::pin::pin!(readers.run(Class::Search, client(2), |_| Ok("other")));
    select! { biased; _ = &mut other => panic!("there is one turn"), () = yield_now() => {} }
    // The queue is full: three, a stream, and the other.
    let refused = readers.run(Class::Search, client(3), |_| Ok(())).await.unwrap_err();
    assert_eq!((refused.message(), refused.retry_after_seconds()), (BUSY, Some(1)));
    // The other has its turn after one of the flood, although two still wait.
    drop(releases.remove(0));
    drop(releases.remove(0));
    assert_eq!(other.await.unwrap(), "other");
    assert_eq!(in_turn.await.unwrap(), "stream");
    assert!(flood.iter().filter(|read| read.is_finished()).count() <= 2, "the rest is held");
    drop(releases);
    for read in flood {
        read.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_served_in_time_is_refused_at_once() {
    let options = Options { readers: 1, read_timeout: Duration::from_secs(60), ..Options::default() };
    let (readers, clock) = readers_with(&options);
    // So long that the third that waits would wait for too long.
    for _ in 0..3 {
        let clock = clock.clone();
        let work = move |_: &Reading| {
            clock.advance(Duration::from_secs(12));
            Ok(())
        };
        readers.run(Class::Search, client(1), work).await.unwrap();
    }
    // The turn of the last one is given back after its answer: this one has it when it has begun.
    let (begins, begun) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let works = readers.run(Class::Search, client(0), move |_| {
        begins.send(()).unwrap();
        let _ = held.recv();
        Ok(())
    });
    let mut works = std::pin::pin!(works);
    while begun.try_recv().is_err() {
        select! { biased; _ = &mut works => panic!("it is held"), () = yield_now() => {} }
    }
    let (next, released) = holding(&readers, client(1));
    let mut next = std::pin::pin!(next);
    select! { biased; _ = &mut next => panic!("there is one turn"), () = yield_now() => {} }
    let mut waits = std::pin::pin!(readers.run(Class::Search, client(8), |_| Ok(())));
    select! { biased; _ = &mut waits => panic!("there is one turn"), () = yield_now() => {} }
    let refused = readers.run(Class::Search, client(9), |_| Ok(())).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (ErrorCode::ServiceUnavailable, BUSY));
    // It would wait for 36 seconds, of which it may wait for 30.
    assert_eq!(refused.retry_after_seconds(), Some(7));
    // Those of other classes take no such time.
    readers.run(Class::LookUp, client(9), |_| Ok(())).await.unwrap();
    drop((release, released));
    works.await.unwrap();
    next.await.unwrap();
    waits.await.unwrap();
}

#[tokio::test]
async fn a_read_that_is_given_up_never_begins() {
    let (readers, _) =
        readers_with(&Options { readers: 0, read_timeout: Duration::from_millis(20), ..Options::default() });
    let (dropped, hears) = mpsc::channel::<()>();
    let refused = readers.run(Class::Page, client(1), move |_| {
        drop(dropped);
        Ok(())
    });
    let refused = refused.await.unwrap_err();
    assert_eq!((refused.message(), refused.retry_after_seconds()), (BUSY, Some(1)));
    assert_eq!(hears.recv(), Err(mpsc::RecvError), "what it would have read with is let go");
    // One that waits in turn waits.
    select! {
        biased;
        _ = readers.run_in_turn(Class::Page, client(1), |_| Ok(())) => panic!("there is no turn"),
        () = tokio::time::sleep(Duration::from_millis(50)) => {}
    }
}

#[tokio::test]
async fn a_read_that_takes_too_long_learns_that_nobody_waits() {
    let (readers, _) =
        readers_with(&Options { readers: 1, read_timeout: Duration::from_millis(20), ..Options::default() });
    let (stopped, heard) = mpsc::channel();
    let slow = readers.run_in_turn(Class::Search, client(1), move |reading| {
        while reading.go_on().is_ok() {
            thread::yield_now();
        }
        stopped.send(()).unwrap();
        Ok(())
    });
    assert_eq!(slow.await.unwrap_err().message(), TOO_LONG);
    heard.recv().unwrap();
}

#[tokio::test]
async fn a_read_that_waits_for_its_next_turn_learns_that_nobody_waits() {
    let (readers, clock) = readers(1);
    let (stopped, heard) = mpsc::channel();
    let (begins, begun) = mpsc::channel();
    let gives_way = {
        let readers = readers.clone();
        tokio::spawn(async move {
            let work = move |reading: &Reading| {
                begins.send(()).unwrap();
                while reading.go_on().is_ok() {
                    clock.advance(SLICE);
                }
                stopped.send(()).unwrap();
                Ok(())
            };
            readers.run(Class::Search, client(1), work).await
        })
    };
    while begun.try_recv().is_err() {
        yield_now().await;
    }
    // This one has the turn now, and keeps it.
    let (begins, begun) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let holds = {
        let readers = readers.clone();
        tokio::spawn(async move {
            let work = move |_: &Reading| {
                begins.send(()).unwrap();
                let _ = held.recv();
                Ok(())
            };
            readers.run(Class::Search, client(2), work).await
        })
    };
    while begun.try_recv().is_err() {
        yield_now().await;
    }
    gives_way.abort();
    assert!(gives_way.await.unwrap_err().is_cancelled());
    heard.recv().unwrap();
    drop(release);
    holds.await.unwrap().unwrap();
    // Its turn is given back.
    readers.run(Class::Search, client(3), |_| Ok(())).await.unwrap();
}

#[tokio::test]
async fn panics_go_on_in_the_caller_and_leave_the_threads() {
    let (readers, _) = readers(1);
    for _ in 0..3 {
        let readers = readers.clone();
        let failed = tokio::spawn(async move {
            readers.run(Class::LookUp, client(1), |_| -> ApiResult<()> { panic!("on purpose") }).await
        });
        assert!(failed.await.unwrap_err().is_panic());
    }
    assert_eq!(readers.run(Class::LookUp, client(1), |_| Ok(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn threads_end_with_their_readers() {
    let (readers, _) = readers(2);
    readers.run(Class::Search, client(1), |_| Ok(())).await.unwrap();
    let lane = Arc::downgrade(&readers.lanes[Class::Search as usize]);
    drop(readers);
    while lane.strong_count() > 0 {
        yield_now().await;
    }
}
