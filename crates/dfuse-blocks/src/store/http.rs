//! The HTTP client of object stores: hyper and rustls with `ring`, as for nodes. The client that `object_store` would bring along has
//! an implementation of TLS in C beside these.

use std::{
    error::Error as StdError,
    io,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Method, Response,
    body::{Body, Frame, Incoming, SizeHint},
    header::{HeaderValue, USER_AGENT},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector as Tcp},
    rt::{TokioExecutor, TokioTimer},
};
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use rustls::crypto::ring;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::with_causes;

/// Object stores close idle connections after some 20 seconds: one that is older is not used again.
const IDLE: Duration = Duration::from_secs(15);
/// Connections that are kept for the next request.
const MAX_IDLE: usize = 32;
/// Longest answer that is not an object's content: a list of a thousand names has a few hundred kilobytes.
const MAX_WHOLE: usize = 16 << 20;
/// Settings of object stores that would change nothing here.
const UNSUPPORTED: [ClientConfigKey; 6] = [
    ClientConfigKey::AllowInvalidCertificates,
    ClientConfigKey::Http2Only,
    ClientConfigKey::NoSystemCertificates,
    ClientConfigKey::ProxyCaCertificate,
    ClientConfigKey::ProxyExcludes,
    ClientConfigKey::ProxyUrl,
];

/// Makes clients.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let default = ClientOptions::default();
        for key in UNSUPPORTED {
            if options.get_config_value(&key) != default.get_config_value(&key) {
                return Err(invalid(format!("the setting {} is not supported", key.as_ref())));
            }
        }
        let duration = |key| match options.get_config_value(&key).map(|text| humantime::parse_duration(&text)) {
            Some(Err(error)) => Err(invalid(format!("{}: {error}", key.as_ref()))),
            Some(Ok(duration)) => Ok(Some(duration)),
            None => Ok(None),
        };
        let mut tcp = Tcp::new();
        tcp.set_connect_timeout(duration(ClientConfigKey::ConnectTimeout)?);
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Ok(HttpClient::new(Client {
            plain: builder().build(tcp.clone()),
            tcp,
            tls: OnceLock::new(),
            allows_plain: options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|text| is_true(&text)),
            patience: duration(ClientConfigKey::Timeout)?.unwrap_or(Duration::MAX),
        }))
    }
}

fn invalid(why: String) -> object_store::Error {
    object_store::Error::Generic { store: "HTTP client", source: why.into() }
}

/// As `object_store` reads it.
fn is_true(text: &str) -> bool {
    ["1", "true", "on", "yes", "y"].contains(&text.to_ascii_lowercase().as_str())
}

fn builder() -> legacy::Builder {
    let mut builder = legacy::Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(MAX_IDLE);
    builder
}

type TlsClient = legacy::Client<HttpsConnector<Tcp>, HttpRequestBody>;

#[derive(Debug)]
struct Client {
    plain: legacy::Client<Tcp, HttpRequestBody>,
    tcp: Tcp,
    /// Made when it is wanted: it reads the certificates of the system.
    tls: OnceLock<Result<TlsClient, String>>,
    allows_plain: bool,
    /// How long to wait for the head of an answer, and for each piece of its body.
    patience: Duration,
}

impl Client {
    async fn send(&self, request: HttpRequest) -> Result<Response<Incoming>, HttpError> {
        let unsent = |why: String| HttpError::new(HttpErrorKind::Unknown, io::Error::other(why));
        let answer = match request.uri().scheme_str() {
            Some("https") => match self.tls.get_or_init(|| self.tls()) {
                Ok(client) => client.request(request),
                Err(why) => return Err(unsent(format!("the system's certificates cannot be read: {why}"))),
            },
            Some("http") if self.allows_plain => self.plain.request(request),
            _ => {
                let why =
                    "only https is allowed; AWS_ALLOW_HTTP=true (or AZURE_, GOOGLE_) allows http, without encryption";
                return Err(unsent(why.to_owned()));
            }
        };
        match timeout(self.patience, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_connect() => Err(not_connected(&error)),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(timed_out()),
        }
    }

    fn tls(&self) -> Result<TlsClient, String> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(ring::default_provider())
            .map_err(|error| error.to_string())?
            .https_only()
            .enable_http1()
            .wrap_connector(self.tcp.clone());
        Ok(builder().build(connector))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let agent = HeaderValue::from_static(concat!("dfuse/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().entry(USER_AGENT).or_insert(agent);
        let is_object = request.method() == Method::GET && request.uri().query().is_none();
        let (head, body) = self.send(request).await?.into_parts();
        let body = AnswerBody { body, patience: self.patience, pause: Box::pin(sleep(self.patience)) };
        // Content that is cut off is asked for again from there. All else is taken as a whole: then the request is made again.
        let is_content = is_object && head.status.is_success();
        let body = if is_content { HttpResponseBody::new(body) } else { whole(body).await?.into() };
        Ok(HttpResponse::from_parts(head, body))
    }
}

async fn whole(mut body: AnswerBody) -> Result<Bytes, HttpError> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.len() + data.len() > MAX_WHOLE {
            return Err(HttpError::new(HttpErrorKind::Decode, io::Error::other("the answer is too long")));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

/// An answer whose server may not fall silent.
#[derive(Debug)]
struct AnswerBody {
    body: Incoming,
    patience: Duration,
    pause: Pin<Box<Sleep>>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let until = Instant::now().checked_add(self.patience);
            if let Some(until) = until {
                self.pause.as_mut().reset(until);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(failed)));
        }
        self.pause.as_mut().poll(context).map(|()| Some(Err(timed_out())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection was not made. That is tried again, unless the store showed a certificate that will be no better the next time.
fn not_connected(error: &(dyn StdError + 'static)) -> HttpError {
    match wrong_certificate(error) {
        Some(wrong) => {
            let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
            let hint = if *wrong == unknown { "; SSL_CERT_FILE names the authorities that are trusted" } else { "" };
            let why = format!("the certificate of the store is refused: {wrong}{hint}");
            HttpError::new(HttpErrorKind::Unknown, io::Error::other(why))
        }
        None => HttpError::new(HttpErrorKind::Connect, io::Error::other(with_causes(error))),
    }
}

/// What is wrong with the certificate that a server showed, if that is among the causes.
fn wrong_certificate<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(wrong @ rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return Some(wrong);
        }
        // What is in an error of I/O is not its source, but the source of that is.
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = within.map(|within| within as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

fn timed_out() -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, io::Error::new(io::ErrorKind::TimedOut, "the store does not answer in time"))
}

/// A connection was lost. Every request may be made again: one that creates an object finds what it has created.
fn failed(error: impl StdError) -> HttpError {
    HttpError::new(HttpErrorKind::Request, io::Error::other(with_causes(&error)))
}
