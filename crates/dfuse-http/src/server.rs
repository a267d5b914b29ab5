//! Connections: accepting them, what is not HTTP, time-outs, the end.

mod client_stream;
mod demands;
mod half_closed;
mod messages;
mod refusal;
mod targets;

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
};
use client_stream::ClientStream;
use dfuse_query::{ApiError, ApiResult, Caller, ErrorCode};
use futures::future::BoxFuture;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Api, Endpoint, Routes,
    frame::Frame,
    places::{ConnectionPlace, WorkingBody},
    request_span::RequestSpan,
};

/// What the kernel takes of a connection that cannot be sent yet. What a client does not read waits here, where it is counted
/// and bounded, and not there, where it would be megabytes for each connection.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 << 10;
/// After an accept that failed for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How often counts are put together.
const UPKEEP: Duration = Duration::from_secs(5);
/// What a client may still send after it was refused, so that it reads the answer before the connection is reset.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1 << 20);
/// How long an idle connection that leaves for another may take to send the rest of its last answer.
const LEAVING: Duration = Duration::from_secs(1);

/// The HTTP server. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Server(Arc<Frame>);

impl Server {
    /// A server of those surfaces, of health and of counts.
    pub fn new(api: Api, surfaces: impl IntoIterator<Item = Routes>) -> Self {
        Self(Arc::new(Frame::new(api, surfaces)))
    }

    /// What its handlers share: to set conditions of readiness, and to count.
    pub fn api(&self) -> &Api {
        self.0.api()
    }

    /// The table of all endpoints.
    pub fn endpoints(&self) -> &[Endpoint] {
        self.0.endpoints()
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request) -> Response {
        self.0.handle(request).await
    }

    /// Answers a `GET` that does not come from a client but from this process, such as from a command of its operator.
    /// `target` is the path with its query. The caller needs no token.
    ///
    /// # Errors
    /// `request_malformed_error` if the target is not one.
    pub async fn get(&self, target: &str, caller: Caller) -> ApiResult<Response> {
        let request = Request::get(target).extension(caller).body(Body::empty());
        let malformed = |_| ApiError::new(ErrorCode::RequestMalformed, "This is not a path with a query.");
        Ok(self.handle(request.map_err(malformed)?).await)
    }

    /// Serves until `shutdown` is done: then no connection is accepted any more, requests at work come to their end, and
    /// after [`Options::shutdown_grace`](crate::Options::shutdown_grace) what is left is given up.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let places = self.api().places();
        let mut upkeep = interval(UPKEEP);
        let mut shutdown = std::pin::pin!(shutdown);
        // Who waits for a place. All who come after wait in the operating system.
        let mut arrived: Option<(TcpStream, SocketAddr)> = None;
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                _ = upkeep.tick() => {
                    self.api().metrics().run_upkeep();
                    self.look_at_certificate();
                }
                accepted = listener.accept(), if arrived.is_none() => match accepted {
                    Ok(accepted) => arrived = Some(accepted),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        // What fails may be for want of what an idle connection has.
                        places.make_room();
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                place = places.take(), if arrived.is_some() => if let Some((stream, peer)) = arrived.take() {
                    let server = self.clone();
                    tokio::spawn(server.arrive(stream, peer, place));
                },
            }
        }
        drop(listener);
        let stop = self.api().stop();
        stop.send_replace(true);
        let grace = self.api().http_options().shutdown_grace;
        if timeout(grace, stop.closed()).await.is_err() {
            tracing::warn!(connections = stop.receiver_count(), "clients did not leave in time");
        }
    }

    /// Has new connections use the certificate that is in the files now.
    fn look_at_certificate(&self) {
        let Some(tls) = self.api().http_options().tls.clone() else { return };
        tokio::task::spawn_blocking(move || match tls.reload() {
            Ok(true) => tracing::info!("the certificate was read again"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the new certificate is not used, the old one stays"),
        });
    }

    /// Greets a client: what follows is encrypted if there is a certificate. Boxed here, so that whoever serves need not compile all
    /// that answers requests.
    fn arrive(self, stream: TcpStream, peer: SocketAddr, place: ConnectionPlace) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Answers are small, and wait for nothing.
            let _ = stream.set_nodelay(true);
            #[cfg(target_os = "linux")]
            let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES);
            let options = self.api().http_options();
            let Some(tls) = &options.tls else { return self.connection(stream, peer, place).await };
            let mut stopping = self.api().stopping();
            let accepting = TlsAcceptor::from(tls.config()).accept(stream);
            let accepted = tokio::select! {
                accepted = timeout(options.header_timeout, accepting) => accepted,
                () = place.asked_to_leave() => return,
                () = stopping.begun() => return,
            };
            match accepted {
                Ok(Ok(stream)) => {
                    drop(stopping);
                    self.connection(stream, peer, place).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, client = %peer, "no TLS connection"),
                Err(_) => tracing::debug!(client = %peer, "a TLS connection was not made in time"),
            }
        })
    }

    async fn connection<S>(&self, stream: S, peer: SocketAddr, place: ConnectionPlace)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut stopping = self.api().stopping();
        let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(place.clone());
            if let Some(refused) = demands::problem(&request) {
                request.extensions_mut().insert(refused);
            }
            let work = place.work();
            async move {
                let mut response = self.handle(request).await;
                let span = response.extensions_mut().remove::<RequestSpan>();
                Ok::<_, Infallible>(response.map(|body| Body::new(WorkingBody { body, span, _work: work })))
            }
        });
        let options = self.api().http_options();
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout)
            .max_header_size(options.max_header_bytes)
            .max_buf_size(options.max_header_bytes.max(400 << 10));
        let io = TokioIo::new(ClientStream::new(stream, place.clone()));
        let mut connection = builder.serve_connection(io, service).with_upgrades();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = place.asked_to_leave() => {
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                match place.work_so_far() {
                    // A request came just before it was asked.
                    (true, _) => (&mut connection).await,
                    (false, true) => match timeout(LEAVING, &mut connection).await {
                        Ok(ended) => ended,
                        Err(_) => return,
                    },
                    // It never sent a whole request.
                    (false, false) => return,
                }
            }
            () = stopping.begun() => {
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                match timeout(options.shutdown_grace, &mut connection).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = ended
            && let Some(parts) = connection.into_parts()
        {
            let client = parts.io.into_inner();
            if let Some(refusal) = self.refusal(&error, client.refused(), parts.read_buf.is_empty()) {
                refuse(client.into_inner(), &self.0.refuse(refusal, peer)).await;
            }
        }
    }

    /// What to say to one who did not send a request.
    fn refusal(&self, error: &hyper::Error, refused: Option<u16>, is_idle: bool) -> Option<ApiError> {
        let options = self.api().http_options();
        Some(match refused {
            Some(431) => {
                let message = format!("The header has more than {} bytes or 100 fields.", options.max_header_bytes);
                ApiError::new(ErrorCode::RequestHeadersTooLarge, message)
            }
            Some(414) => ApiError::new(ErrorCode::RequestUriTooLong, "Path and query are too long."),
            Some(_) if demands::is_unknown_coding(error) => demands::unknown_coding(None),
            Some(_) => ApiError::new(ErrorCode::RequestMalformed, "This is not a valid HTTP/1.1 request."),
            None if error.is_timeout() && !is_idle => {
                let message = format!("The header did not arrive within {:?}.", options.header_timeout);
                ApiError::new(ErrorCode::RequestTimeout, message)
            }
            None if error.is_parse() || error.is_incomplete_message() && !is_idle => {
                ApiError::new(ErrorCode::RequestMalformed, "This is not a valid HTTP/1.1 request.")
            }
            None => return None,
        })
    }
}

/// Sends the answer and takes what the client is still sending for a while: closing with unread bytes would reset the
/// connection, and the answer might be lost.
async fn refuse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    let exchange = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        let mut left = LINGER.1;
        let mut buffer = [0; 4096];
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    };
    // A client that is gone needs no answer.
    let _ = timeout(LINGER.0, exchange).await;
}
