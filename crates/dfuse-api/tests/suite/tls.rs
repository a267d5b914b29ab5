//! Connections that are encrypted.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use dfuse_http::Tls;
use dfuse_query::OpenAccess;
use dfuse_testkit::synthetic::SyntheticChain;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::support::{Options, TestChain};

/// Writes a certificate of its own and its key, and gives the certificate.
fn certify(folder: &TempDir) -> ([PathBuf; 2], CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let paths = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
    fs::write(&paths[0], cert.pem()).unwrap();
    fs::write(&paths[1], signing_key.serialize_pem()).unwrap();
    (paths, cert.der().clone())
}

/// Asks over TLS, and believes that certificate alone.
async fn ask(address: SocketAddr, certificate: &CertificateDer<'static>) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = "localhost".try_into().unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET /v0/blocks?limit=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_changes_is_used_from_then_on() {
    let folder = TempDir::new().unwrap();
    let ([certificate, key], first) = certify(&folder);
    let tls = Tls::load(certificate, key, &[b"http/1.1"]).unwrap();
    let http = dfuse_http::Options { tls: Some(tls.clone()), ..Default::default() };
    let synthetic = SyntheticChain::builder().seed(1).blocks(5).build();
    let options = Options { http, ..Options::default() };
    let mut chain = TestChain::synthetic(synthetic, Arc::new(OpenAccess), options).await;
    chain.grow(usize::MAX).await;
    let listening = chain.listen().await;
    // One that never says anything holds up nobody.
    let silent = TcpStream::connect(listening.address).await.unwrap();
    let answer = ask(listening.address, &first).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"block_num\":"), "{answer}");

    // What is not TLS gets no answer.
    let mut plain = TcpStream::connect(listening.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let (_, second) = certify(&folder);
    assert!(tls.reload().unwrap());
    assert!(ask(listening.address, &second).await.unwrap().starts_with("HTTP/1.1 200 "));
    assert!(ask(listening.address, &first).await.is_err(), "the old certificate is shown no more");
    drop(silent);
}
