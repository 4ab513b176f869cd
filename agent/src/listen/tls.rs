//! Certificates and the rustls configuration for QUIC: TLS 1.3 only, early data (0-RTT) off. Knows nothing of sockets.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use ring::hmac;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::config::TlsConfig;

/// File name of a generated certificate, in PEM.
pub const DEV_CERTIFICATE: &str = "dev-certificate.pem";

/// File name of a generated certificate's private key, in PEM.
pub const DEV_KEY: &str = "dev-key.pem";

/// The application protocol: Kafka's frames on bidirectional streams.
pub const ALPN: &[u8] = b"ebb/1";

/// What a generated certificate is good for.
const DEV_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{path}: {source}; give a PEM file that this user can read", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file holds no certificate, or no key.
    #[error("{path}: {reason}; give a PEM file with {wanted}", path = path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// What should be there.
        wanted: &'static str,
    },
    /// Certificate and key do not fit.
    #[error(
        "certificate and key cannot be used together: {0}; give the key that the certificate was made for"
    )]
    Mismatch(String),
    /// A certificate cannot be made.
    #[error("a development certificate cannot be made: {0}")]
    Generate(#[from] rcgen::Error),
}

/// What the QUIC listener makes of certificate and key.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// The rustls configuration.
    pub(crate) config: Arc<rustls::ServerConfig>,
    /// Derives further secrets from the private key.
    pub(crate) secrets: hmac::Key,
}

/// Reads certificate and key.
///
/// # Errors
/// [`TlsError`] names the file and the remedy.
pub(crate) fn load(config: &TlsConfig) -> Result<Tls, TlsError> {
    let (certificate, key) = match config {
        TlsConfig::Files { certificate, key } => (certificate.clone(), key.clone()),
        TlsConfig::Development { directory } => development(directory)?,
    };
    let chain = read_chain(&certificate)?;
    let key_bytes = read(&key)?;
    let key = PrivateKeyDer::from_pem_slice(&key_bytes).map_err(|e| TlsError::Pem {
        path: key,
        reason: e.to_string(),
        wanted: "a private key",
    })?;
    let secrets = hmac::Key::new(hmac::HMAC_SHA256, key.secret_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| TlsError::Mismatch(e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| TlsError::Mismatch(e.to_string()))?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // Early data could be replayed. quinn's own helpers switch it on, which is why this is built by hand.
    tls.max_early_data_size = 0;
    Ok(Tls { config: Arc::new(tls), secrets })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let pem = |reason: String| TlsError::Pem { path: path.to_owned(), reason, wanted: "a certificate chain" };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(pem("no certificate found".to_owned())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(pem(error.to_string())),
    }
}

/// The development certificate and key in `directory`, made when they are not there.
fn development(directory: &Path) -> Result<(PathBuf, PathBuf), TlsError> {
    let (certificate, key) = (directory.join(DEV_CERTIFICATE), directory.join(DEV_KEY));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    fs::create_dir_all(directory).map_err(|source| TlsError::File { path: directory.to_owned(), source })?;
    let pair = KeyPair::generate()?;
    let mut params = CertificateParams::new(DEV_NAMES.map(str::to_owned))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ebb development");
    let signed = params.self_signed(&pair)?;
    // The key first: a start that was cut short leaves no certificate, and the next one makes both again.
    write(&key, &pair.serialize_pem(), true)?;
    write(&certificate, &signed.pem(), false)?;
    Ok((certificate, key))
}

/// Writes a whole file under its name or not at all. A secret is readable by its owner only.
fn write(path: &Path, text: &str, secret: bool) -> Result<(), TlsError> {
    let partial = path.with_extension("partial");
    let written = || -> io::Result<()> {
        // A left-over may be readable by others.
        if partial.exists() {
            fs::remove_file(&partial)?;
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if secret {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let mut file = options.open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    written().map_err(|source| TlsError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn development_in(directory: &Path) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        load(&TlsConfig::Development { directory: directory.to_owned() }).map(|tls| tls.config)
    }

    #[test]
    fn a_development_certificate_is_made_once_and_its_key_is_private() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data = directory.path().join("data");
        development_in(&data).expect("a certificate is made");
        let made = fs::read(data.join(DEV_CERTIFICATE)).expect("the certificate is there");
        development_in(&data).expect("the certificate is used again");
        assert_eq!(fs::read(data.join(DEV_CERTIFICATE)).expect("the certificate is there"), made);
        #[cfg(unix)]
        {
            let key = fs::metadata(data.join(DEV_KEY)).expect("the key is there");
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
        }
    }

    #[test]
    fn only_tls_1_3_without_early_data_is_offered() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let tls = development_in(directory.path()).expect("a certificate is made");
        assert_eq!(tls.max_early_data_size, 0, "early data could be replayed");
        assert_eq!(tls.alpn_protocols, [ALPN.to_vec()]);
    }

    #[test]
    fn unusable_files_are_named() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        development_in(directory.path()).expect("a certificate is made");
        fs::write(path("empty.pem"), "").expect("a writable directory");
        let check = |certificate: &str, key: &str, expect: &str| {
            let files = TlsConfig::Files { certificate: path(certificate), key: path(key) };
            let error = load(&files).expect_err("the files are unusable").to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("missing.pem", DEV_KEY, "missing.pem: No such file");
        check("empty.pem", DEV_KEY, "empty.pem: no certificate found");
        check(DEV_CERTIFICATE, "empty.pem", "empty.pem: ");
        let other = KeyPair::generate().expect("a key").serialize_pem();
        fs::write(path("other.pem"), other).expect("a writable directory");
        check(DEV_CERTIFICATE, "other.pem", "cannot be used together");
    }
}
