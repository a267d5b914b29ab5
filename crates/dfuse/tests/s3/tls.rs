//! A store that is reached over TLS, with a certificate of an authority that only this test knows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use dfuse_testkit::synthetic::SyntheticChain;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

use crate::{
    dfuse, printed,
    support::{s3::S3, text},
};

/// Signs certificates, and is trusted by whoever has its own.
struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One whose own certificate is in the file `authority.pem` of that folder.
    fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, text(folder));
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("authority.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) }
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// A store with a certificate for a host, which is valid up to the end of a year.
    fn store(&self, host: &str, year: i32) -> Option<S3> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let [certificate_file, key_file] =
            ["certificate", "key"].map(|what| self.folder.join(format!("{what}-{host}-{year}.pem")));
        fs::write(&certificate_file, certificate.pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        S3::with_tls(&certificate_file, &key_file)
    }
}

/// The program, with what it must know of a store, and with the authorities that it trusts.
fn trusting(store: &S3, authorities: &Path) -> Command {
    let port = store.address().rsplit(':').next().unwrap();
    let mut command = dfuse(store.address());
    command.env_remove("AWS_ALLOW_HTTP").env("AWS_ENDPOINT", format!("https://localhost:{port}"));
    command.env("SSL_CERT_FILE", authorities);
    command
}

#[test]
fn certificates_of_stores_are_checked() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(&folder.path().join("one"));
    let Some(good) = authority.store("localhost", 2999) else { return };
    let (log, place) = (folder.path().join("log"), S3::place("tls"));
    let mut lines = Vec::new();
    SyntheticChain::builder().seed(1).blocks(120).build().write_log(&mut lines).unwrap();
    fs::write(&log, lines).unwrap();
    let known = authority.certificate();
    printed(trusting(&good, &known).args(["tools", "merge", text(&log), &place]));
    printed(trusting(&good, &known).args(["tools", "check", "blocks", &place]));
    assert!(good.files("tls/merged-blocks/0000000000.dbin.zst").is_file());

    let stranger = Authority::new(&folder.path().join("other")).certificate();
    let (elsewhere, over) =
        (authority.store("store.example", 2999).unwrap(), authority.store("localhost", 2021).unwrap());
    let nothing = folder.path().join("nothing.pem");
    for (store, trusted, wanted) in [
        (&good, &stranger, "UnknownIssuer; SSL_CERT_FILE names the authorities that are trusted"),
        (&elsewhere, &known, "not valid for name \"localhost\""),
        (&over, &known, "certificate expired"),
        (&good, &nothing, "UnknownIssuer; SSL_CERT_FILE names the authorities that are trusted"),
    ] {
        let Output { status, stderr, .. } =
            trusting(store, trusted).args(["tools", "check", "blocks", &place]).output().unwrap();
        let errors = String::from_utf8(stderr).unwrap();
        assert!(!status.success() && errors.contains(wanted), "{wanted}: {errors}");
        // No trying again helps.
        assert!(!errors.contains("retry 1"), "{errors}");
    }
}
