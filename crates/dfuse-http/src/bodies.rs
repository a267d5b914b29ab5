//! Memory for the bodies of requests, of all together.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use dfuse_query::{ApiError, ApiResult, Client};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::Options;

/// Bodies up to here have a lot of their own, so that large ones do not hold them up.
pub(crate) const SMALL: usize = 64 << 10;
/// What a permit stands for.
const UNIT: usize = 1 << 10;
/// Refused requests may come again after so many seconds.
const PAUSE_SECONDS: u32 = 1;

/// Gives bodies room, in the order in which they come.
#[derive(Debug)]
pub(crate) struct Bodies {
    small: Lot,
    large: Lot,
    /// The largest body.
    max_bytes: usize,
    /// How long a body waits for room.
    patience: Duration,
}

/// So many bytes, of which a client may have a part.
#[derive(Debug)]
struct Lot {
    units: usize,
    free: Arc<Semaphore>,
    of_client: usize,
    clients: Mutex<BTreeMap<Client, Weak<Semaphore>>>,
}

/// Room for a body and for what is made of it, until it is dropped.
#[derive(Debug, Default)]
pub struct Room {
    bytes: usize,
    client: Client,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Room {
    /// Bytes that a body may have in it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Bodies {
    /// A fourth of the room is for small bodies, and of either part a client may have half; but there is room for one body of
    /// each client, however large the options let it be.
    pub(crate) fn new(options: &Options) -> Self {
        let small = (options.max_bodies_bytes / 4).max(SMALL);
        let large = options.max_bodies_bytes.saturating_sub(small).max(options.max_body_bytes);
        Self {
            small: Lot::new(small, SMALL),
            large: Lot::new(large, options.max_body_bytes),
            max_bytes: options.max_body_bytes,
            patience: options.body_timeout / 2,
        }
    }

    /// Room that is taken, in bytes.
    pub(crate) fn taken(&self) -> usize {
        let taken = |lot: &Lot| (lot.units - lot.free.available_permits()) * UNIT;
        taken(&self.small) + taken(&self.large)
    }

    /// Room for a body of so many bytes; if they are not known, for a small one.
    ///
    /// # Errors
    /// `service_unavailable_error` when there was none for too long.
    pub(crate) async fn room(&self, client: Client, bytes: Option<usize>) -> ApiResult<Room> {
        let bytes = bytes.unwrap_or(SMALL);
        let lot = if bytes <= SMALL { &self.small } else { &self.large };
        let permits = self.in_time(lot.take(client, bytes)).await?;
        Ok(Room { bytes, client, permits })
    }

    /// Room for the largest body. Only who has room for a small one asks for it, so that nobody waits for whom they hold up.
    ///
    /// # Errors
    /// `service_unavailable_error` when there was none for too long.
    pub(crate) async fn enlarge(&self, room: &mut Room) -> ApiResult<()> {
        let permits = self.in_time(self.large.take(room.client, self.max_bytes)).await?;
        room.permits.extend(permits);
        room.bytes = self.max_bytes;
        Ok(())
    }

    async fn in_time(
        &self,
        room: impl Future<Output = Vec<OwnedSemaphorePermit>>,
    ) -> ApiResult<Vec<OwnedSemaphorePermit>> {
        timeout(self.patience, room).await.map_err(|_| {
            ApiError::unavailable("Too many bodies of requests are being read.").retry_after(PAUSE_SECONDS)
        })
    }
}

impl Lot {
    fn new(bytes: usize, largest: usize) -> Self {
        let units = |bytes: usize| bytes.div_ceil(UNIT).min(u32::MAX as usize);
        let of_client = units((bytes / 2).max(largest));
        let units = units(bytes);
        Self { units, free: Arc::new(Semaphore::new(units)), of_client, clients: Mutex::default() }
    }

    /// The client's own part comes first: one who has used it up holds up nobody else.
    async fn take(&self, client: Client, bytes: usize) -> Vec<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(UNIT).clamp(1, self.of_client) as u32;
        let mut permits = Vec::with_capacity(2);
        for lot in [self.of(client), self.free.clone()] {
            permits.push(lot.acquire_many_owned(units).await.expect("never closed"));
        }
        permits
    }

    fn of(&self, client: Client) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = clients.get(&client).and_then(Weak::upgrade) {
            return own;
        }
        clients.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(self.of_client));
        clients.insert(client, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const MIB: usize = 1 << 20;

    fn bodies() -> Bodies {
        Bodies::new(&Options { max_body_bytes: 2 * MIB, max_bodies_bytes: 8 * MIB, ..Options::default() })
    }

    #[tokio::test]
    async fn the_total_is_never_passed() {
        let bodies = bodies();
        let clients = [Client::default(), Client::default().stream()];
        let mut taken = Vec::new();
        for client in clients {
            // A client's half is three MiB.
            taken.push(bodies.room(client, Some(2 * MIB)).await.unwrap());
            assert!(bodies.room(client, Some(2 * MIB)).now_or_never().is_none());
            taken.push(bodies.room(client, Some(MIB)).await.unwrap());
        }
        assert_eq!((bodies.large.free.available_permits(), bodies.taken()), (0, 6 * MIB));
        assert_eq!(taken.iter().map(Room::bytes).sum::<usize>(), 6 * MIB);
        // Small ones have their own.
        let small: Vec<_> = (0..16).map(|_| bodies.room(clients[0], None).now_or_never().unwrap().unwrap()).collect();
        assert!(bodies.room(clients[0], Some(1)).now_or_never().is_none(), "half of the small ones are one client's");
        let other = bodies.room(clients[1], Some(1)).await.unwrap();
        assert_eq!(other.bytes(), 1);
        drop((small, other));
        // What is given back goes to those who wait.
        let mut waits = Box::pin(bodies.room(clients[0], Some(2 * MIB)));
        assert!(waits.as_mut().now_or_never().is_none());
        taken.remove(0);
        waits.await.unwrap();
        drop(taken);
        assert_eq!((bodies.large.free.available_permits(), bodies.small.free.available_permits()), (6 << 10, 2 << 10));
    }

    #[tokio::test]
    async fn what_finds_no_room_is_refused() {
        let (max_body_bytes, max_bodies_bytes, body_timeout) = (2 * MIB, 8 * MIB, Duration::from_millis(20));
        let bodies = Bodies::new(&Options { max_body_bytes, max_bodies_bytes, body_timeout, ..Options::default() });
        let taken = bodies.room(Client::default(), Some(2 * MIB)).await.unwrap();
        let mut unknown = bodies.room(Client::default(), None).await.unwrap();
        let error = bodies.enlarge(&mut unknown).await.unwrap_err();
        assert_eq!((error.code(), error.retry_after_seconds()), (dfuse_query::ErrorCode::ServiceUnavailable, Some(1)));
        assert_eq!(unknown.bytes(), SMALL);
        drop(taken);
        bodies.enlarge(&mut unknown).await.unwrap();
        assert_eq!(unknown.bytes(), 2 * MIB);
        // There is always room for the largest body.
        let tight = Bodies::new(&Options { max_body_bytes: 9 * MIB, max_bodies_bytes: 0, ..Options::default() });
        tight.room(Client::default(), Some(9 * MIB)).await.unwrap();
    }
}
