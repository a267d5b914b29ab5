//! Connections, of which there is a bounded number.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use crate::{Encryption, Options};

/// After an accept that failed for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// The other end of a connection. Among the extensions of its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Connections that are being encrypted at a time.
const GREETINGS: usize = 256;
/// Bytes that every client begins with: those of HTTP/2 send as many before anything else, and a request of HTTP/1 has no fewer.
const BEGINNING: usize = 24;

/// What a connection goes over.
type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection, which holds its place as long as it is open.
pub(crate) struct Connection {
    stream: Transport,
    peer: SocketAddr,
    beginning: Option<Beginning>,
    _place: OwnedSemaphorePermit,
}

/// The beginning of a connection, which must come in time: whoever says nothing takes the place of others.
struct Beginning {
    left: usize,
    until: Pin<Box<Sleep>>,
}

/// Connections as they come, each as soon as there is a place for it.
pub(crate) fn accepted(listener: TcpListener, options: &Options) -> impl Stream<Item = io::Result<Connection>> + use<> {
    let places = Arc::new(Semaphore::new(options.max_connections));
    let (encryption, patience) = (options.encryption.clone(), options.greeting_timeout);
    let arriving = stream::unfold((listener, places), async |(listener, places)| {
        let place = places.clone().acquire_owned().await.ok()?;
        let (stream, peer) = loop {
            match listener.accept().await {
                Ok(accepted) => break accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a gRPC connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        // Messages wait for nothing.
        let _ = stream.set_nodelay(true);
        Some(((stream, peer, place), (listener, places)))
    });
    let greeted = arriving.map(move |(stream, peer, place)| {
        let encryption = encryption.clone();
        async move {
            let stream = greet(stream, encryption, patience, peer).await?;
            let beginning = Some(Beginning { left: BEGINNING, until: Box::pin(sleep(patience)) });
            Some(Ok(Connection { stream, peer, beginning, _place: place }))
        }
    });
    greeted.buffer_unordered(GREETINGS).filter_map(std::future::ready)
}

/// Encrypts a connection, if that is wanted.
async fn greet(
    stream: TcpStream,
    encryption: Option<Encryption>,
    patience: Duration,
    peer: SocketAddr,
) -> Option<Transport> {
    let Some(Encryption(config)) = encryption else { return Some(Either::Left(stream)) };
    match timeout(patience, TlsAcceptor::from(config()).accept(stream)).await {
        Ok(Ok(stream)) => return Some(Either::Right(Box::new(stream))),
        Ok(Err(error)) => tracing::debug!(%error, client = %peer, "no TLS connection"),
        Err(_) => tracing::debug!(client = %peer, "a TLS connection was not made in time"),
    }
    None
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer(self.peer)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(Beginning { left, until }) = &mut self.beginning {
            *left = left.saturating_sub(buffer.filled().len() - before);
            if *left == 0 {
                self.beginning = None;
            } else if polled.is_pending() && until.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
