//! Connections that are encrypted, and those that never begin.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use dfuse_grpc::{Encryption, Options};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Error, Uri};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::service_fn;

use crate::support::TestChain;

/// A certificate of its own, and what a server shows it with.
fn certified() -> (CertificateDer<'static>, Arc<ServerConfig>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![cert.der().clone()], key).unwrap();
    config.alpn_protocols = Encryption::PROTOCOLS.map(<[u8]>::to_vec).into();
    (cert.der().clone(), Arc::new(config))
}

/// Connects over TLS, and believes that certificate alone.
async fn connect(address: SocketAddr, certificate: &CertificateDer<'static>) -> Result<Channel, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let connect = service_fn(move |_: Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            connector.connect("localhost".try_into().unwrap(), stream).await.map(TokioIo::new)
        }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connect).await
}

async fn is_answered(channel: Channel) -> bool {
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.is_ok()
}

#[tokio::test]
async fn the_certificate_of_the_moment_is_shown() {
    let (first, config) = certified();
    let current = Arc::new(Mutex::new(config));
    let shown = current.clone();
    let encryption = Some(Encryption(Arc::new(move || shown.lock().unwrap().clone())));
    let chain = TestChain::with(Options { encryption, ..Options::default() }).await;
    let address = chain.address;
    // One that never says anything holds up nobody.
    let silent = TcpStream::connect(address).await.unwrap();
    assert!(is_answered(connect(address, &first).await.unwrap()).await);

    // What is not TLS gets no answer.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let (second, config) = certified();
    *current.lock().unwrap() = config;
    assert!(is_answered(connect(address, &second).await.unwrap()).await);
    assert!(connect(address, &first).await.is_err(), "the old certificate is shown no more");
    drop(silent);
}

#[tokio::test]
async fn who_says_nothing_takes_no_place_for_long() {
    let greeting_timeout = Duration::from_millis(50);
    let options = Options { max_connections: 2, greeting_timeout, ..Options::default() };
    let chain = TestChain::with(options).await;
    let mut silent = Vec::new();
    for beginning in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n"] {
        let mut stream = TcpStream::connect(chain.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        silent.push(stream);
    }
    // There is a place for this one only once theirs are free.
    let channel = Endpoint::from_shared(format!("http://{}", chain.address)).unwrap().connect().await.unwrap();
    assert!(is_answered(channel).await);
    for mut stream in silent {
        // They are told nothing but the end.
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    }
}
