//! Files at URLs, read while they arrive.

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::{
    Request, StatusCode, Uri,
    body::Incoming,
    header::{LOCATION, USER_AGENT},
};
use url::Url;

use crate::{
    Error, Result, decompressed,
    rpc::transport::{Transport, empty_body},
};

/// Pieces that wait for whoever reads.
const PIECES: usize = 64;
/// How often a server may name another place.
const MAX_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A server that sends nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// Opens a file at an `http` or `https` URL: plain, zstd- or gzip-compressed, recognised by its content. It is read in the background
/// as fast as its reader takes it.
///
/// # Errors
/// [`Error::Open`] if the URL is none, or nothing can be had from there.
pub fn open_url(place: &str) -> Result<Box<dyn Read + Send>> {
    open(place).map_err(|source| Error::Open { place: place.to_owned(), source })
}

fn open(place: &str) -> io::Result<Box<dyn Read + Send>> {
    let url = Url::parse(place).map_err(|error| invalid(error.to_string()))?;
    let (sender, receiver) = sync_channel(PIECES);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let fetched = runtime.and_then(|runtime| runtime.block_on(fetch(url, &sender)));
        if let Err(error) = fetched {
            // Whoever reads may be gone.
            let _ = sender.send(Err(error));
        }
    });
    decompressed(Pieces { receiver, piece: Bytes::new() })
}

async fn fetch(mut url: Url, sender: &SyncSender<io::Result<Bytes>>) -> io::Result<()> {
    for _ in 0..=MAX_REDIRECTS {
        let response = request(&url).await?;
        match response.status() {
            StatusCode::OK => return pass_on(response.into_body(), sender).await,
            status if status.is_redirection() => {
                let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
                let location =
                    location.ok_or_else(|| invalid(format!("{url} answers {status} without another place")))?;
                url = url.join(location).map_err(|error| invalid(format!("{url} names {location}: {error}")))?;
            }
            status => return Err(invalid(format!("{} answers {status}", without_secrets(&url)))),
        }
    }
    Err(invalid(format!("it is elsewhere, more than {MAX_REDIRECTS} times")))
}

async fn request(url: &Url) -> io::Result<hyper::Response<Incoming>> {
    let tls = match url.scheme() {
        "https" => true,
        "http" => false,
        other => return Err(invalid(format!("{other} is not http or https"))),
    };
    let uri: Uri = url.as_str().parse().map_err(|error: hyper::http::uri::InvalidUri| invalid(error.to_string()))?;
    let request = Request::get(uri).header(USER_AGENT, concat!("dfuse/", env!("CARGO_PKG_VERSION")));
    let request = request.body(empty_body()).map_err(io::Error::other)?;
    let answer = Transport::new(tls, CONNECT_TIMEOUT, 0)?;
    let answer = tokio::time::timeout(SILENCE, answer.request(request)).await.map_err(|_| silent())?;
    answer.map_err(io::Error::other)
}

async fn pass_on(mut body: Incoming, sender: &SyncSender<io::Result<Bytes>>) -> io::Result<()> {
    loop {
        let frame = tokio::time::timeout(SILENCE, body.frame()).await.map_err(|_| silent())?;
        let Some(frame) = frame.transpose().map_err(io::Error::other)? else { return Ok(()) };
        let Ok(data) = frame.into_data() else { continue };
        if sender.send(Ok(data)).is_err() {
            return Ok(());
        }
    }
}

/// A URL may hold a signature behind its question mark.
fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    let _ = url.set_password(None);
    url.to_string()
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why.into())
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the server has sent nothing for {} seconds", SILENCE.as_secs()))
}

/// What arrives, in order.
struct Pieces {
    receiver: Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.recv() {
                Ok(piece) => self.piece = piece?,
                Err(_) => return Ok(0),
            }
        }
        let size = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..size]);
        Ok(size)
    }
}
