//! TLS: a certificate and its key from files, which are read again when they change.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

/// The certificate that a server shows, and its key. Cloning is cheap.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: Files,
    /// What the files were like when they were last looked at.
    seen: Mutex<[Option<Mark>; 2]>,
    config: RwLock<Arc<ServerConfig>>,
    protocols: &'static [&'static [u8]],
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// By which it is seen that a file has changed.
type Mark = (SystemTime, u64);

/// Why files cannot be used; says which and what is wrong with it.
#[derive(Debug)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.0.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads a chain of certificates, that of the server first, and the private key of the first one, both as PEM. `protocols`
    /// are those that are spoken over the connections, as ALPN names them, the preferred one first.
    ///
    /// # Errors
    /// A file cannot be read, is not PEM, or does not fit the other.
    pub fn load(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        protocols: &'static [&'static [u8]],
    ) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.into(), key: key.into() };
        // Looked at before they are read: what changes between is seen later.
        let seen = Mutex::new(files.marks());
        let config = RwLock::new(Arc::new(files.read(protocols)?));
        Ok(Self(Arc::new(Shared { files, seen, config, protocols })))
    }

    /// Reads the files again if they have changed since they were last looked at. Whether there are others in use now. Reads
    /// files: call it on a thread that may wait.
    ///
    /// # Errors
    /// The new files cannot be used. The server goes on with what it had.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Shared { files, seen, config, protocols } = &*self.0;
        let marks = files.marks();
        let before = std::mem::replace(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner), marks);
        if marks == before {
            return Ok(false);
        }
        let read = Arc::new(files.read(protocols)?);
        *config.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(true)
    }

    /// What new connections are accepted with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same for a listener that speaks other protocols, as ALPN names them.
    pub fn config_for(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.config());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
}

impl Files {
    fn marks(&self) -> [Option<Mark>; 2] {
        [&self.certificate, &self.key].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }

    fn read(&self, protocols: &[&[u8]]) -> Result<ServerConfig, TlsError> {
        let Self { certificate, key } = self;
        let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|error| unreadable("certificate", certificate, &error))?;
        if chain.is_empty() {
            return Err(TlsError(format!("the file {} has no certificate in PEM", certificate.display())));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("private key", key, &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
        let mut config = config.map_err(|error| {
            let (certificate, key) = (certificate.display(), key.display());
            TlsError(format!("the certificate {certificate} and the key {key} cannot be used together: {error}"))
        })?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }
}

/// Nothing of the content of a file comes into the message.
fn unreadable(what: &str, path: &Path, error: &pem::Error) -> TlsError {
    let why = match error {
        pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => "it does not exist".to_owned(),
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("it has no {what} in PEM"),
        _ => "it is not valid PEM".to_owned(),
    };
    TlsError(format!("the {what} {} cannot be read: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    fn write(folder: &TempDir) -> [PathBuf; 2] {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
        fs::write(&certificate, cert.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        [certificate, key]
    }

    #[test]
    fn bad_files_are_named_and_good_ones_stay() {
        let folder = TempDir::new().unwrap();
        let [certificate, key] = write(&folder);
        let load = |certificate: &Path, key: &Path| Tls::load(certificate, key, &[b"http/1.1"]);
        let error = load(&folder.path().join("none.pem"), &key).unwrap_err().to_string();
        assert!(error.contains("none.pem") && error.ends_with("it does not exist"), "{error}");
        let error = load(&certificate, &certificate).unwrap_err().to_string();
        assert!(error.contains("certificate.pem") && error.ends_with("it has no private key in PEM"), "{error}");
        let tls = load(&certificate, &key).unwrap();
        let first = tls.config();
        assert_eq!(first.alpn_protocols, [b"http/1.1".to_vec()]);
        assert!(!tls.reload().unwrap());

        let text = fs::read(&key).unwrap();
        fs::write(&key, "not a key").unwrap();
        let error = tls.reload().unwrap_err().to_string();
        assert!(error.contains("key.pem") && !error.contains("not a key"), "{error}");
        assert!(Arc::ptr_eq(&first, &tls.config()), "the old ones stay");
        assert!(!tls.reload().unwrap(), "it is said once");
        fs::write(&key, text).unwrap();
        assert!(tls.reload().unwrap());

        let other = TempDir::new().unwrap();
        let [_, other_key] = write(&other);
        let error = load(&certificate, &other_key).unwrap_err().to_string();
        assert!(error.contains("cannot be used together"), "{error}");
    }
}
