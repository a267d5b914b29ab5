use std::{
    future::Future,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tracing::Span;

use crate::{ApiError, ApiResult};

const TOO_LONG: &str = "Answering took too long.";

/// Runs what blocks on stores, a bounded number at a time.
#[derive(Debug)]
pub(crate) struct Readers {
    places: Arc<Semaphore>,
    timeout: Duration,
}

/// A read at work. It stops on its own when nobody waits for its answer any more.
#[derive(Debug, Clone, Default)]
pub struct Reading(Arc<AtomicBool>);

impl Reading {
    /// An error when the client has left or its time is up: return it. Cheap enough to ask for every row.
    pub fn go_on(&self) -> ApiResult<()> {
        if self.0.load(Ordering::Relaxed) { Err(ApiError::unavailable("Nobody waits for this.")) } else { Ok(()) }
    }

    /// Set when the client has left or its time is up: for what looks at it on its own.
    pub(crate) fn given_up(&self) -> &AtomicBool {
        &self.0
    }
}

/// Stops a read when its request is given up.
struct Waiting<T> {
    reading: Reading,
    task: JoinHandle<T>,
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        self.reading.0.store(true, Ordering::Relaxed);
        // Has an effect on those that have not begun.
        self.task.abort();
    }
}

impl Readers {
    pub(crate) fn new(places: usize, timeout: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), timeout }
    }

    /// A panic of `work` goes on in the caller.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reading) -> ApiResult<T> + Send + 'static,
    ) -> ApiResult<T> {
        within(self.timeout, TOO_LONG, async {
            let waited = timeout(self.timeout / 2, self.places.clone().acquire_owned()).await;
            let Ok(Ok(place)) = waited else {
                return Err(ApiError::unavailable("Too many requests are being answered.").retry_after(1));
            };
            at(place, work).await
        })
        .await
    }
}

/// Runs `work`, which has that place until it ends.
async fn at<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    work: impl FnOnce(&Reading) -> ApiResult<T> + Send + 'static,
) -> ApiResult<T> {
    blocking(move |reading| {
        let _place = place;
        work(reading)
    })
    .await
}

/// Ends with `service_unavailable_error` when the time is up.
pub(crate) async fn within<T>(
    time: Duration,
    message: &'static str,
    work: impl Future<Output = ApiResult<T>>,
) -> ApiResult<T> {
    timeout(time, work).await.unwrap_or_else(|_| Err(ApiError::unavailable(message)))
}

/// Runs `work` on a CPU thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Reading) -> ApiResult<T> + Send + 'static,
) -> ApiResult<T> {
    let (reading, span) = (Reading::default(), Span::current());
    let task = spawn_blocking({
        let reading = reading.clone();
        move || span.in_scope(|| work(&reading))
    });
    let mut waiting = Waiting { reading, task };
    match (&mut waiting.task).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(ApiError::unavailable("The server is going away.")),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::ErrorCode;

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let readers = Readers::new(1, Duration::from_millis(20));
        let (release, held) = mpsc::channel::<()>();
        let (stopped, heard) = mpsc::channel();
        let slow = readers.run(move |reading| {
            held.recv().unwrap();
            stopped.send(reading.go_on().is_err()).unwrap();
            Ok(())
        });
        assert_eq!(slow.await.unwrap_err().message(), "Answering took too long.");
        let busy = readers.run(|_| Ok(())).await.unwrap_err();
        assert_eq!(
            (busy.code(), busy.message()),
            (ErrorCode::ServiceUnavailable, "Too many requests are being answered.")
        );
        release.send(()).unwrap();
        assert!(heard.recv().unwrap(), "it learns that nobody waits");
        let patient = Readers { places: readers.places.clone(), timeout: Duration::from_secs(60) };
        assert_eq!(patient.run(|reading| reading.go_on().map(|()| 7)).await.unwrap(), 7);
    }
}
