//! Whom to trust: builds the TLS configuration for a server from the client's settings.
//! Knows certificates; knows nothing of connections.

use std::{fs, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{Error, ServerAddress, trust};

/// The protocol that both sides must name: Kafka's, a connection per stream.
pub(crate) const ALPN: &[u8] = b"ebb/1";

/// Whom to trust.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    /// PEM files with authorities. When there are none, the operating system's authorities are used.
    pub(crate) ca_files: Vec<PathBuf>,
    /// Whether the certificate that `ebb dev` left on this machine is good for its address.
    pub(crate) dev: bool,
}

impl Trust {
    /// The TLS configuration for talking to `server`: TLS 1.3 alone, no early data.
    pub(crate) fn config(&self, server: &ServerAddress) -> Result<ClientConfig, Error> {
        let roots = self.roots(server)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Error::Usage(format!("tls: {error}").into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Early data can be replayed by anybody who sees it.
        config.enable_early_data = false;
        Ok(config)
    }

    fn roots(&self, server: &ServerAddress) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        for file in &self.ca_files {
            add_pem_file(&mut roots, file)?;
        }
        if self.dev {
            let found = trust::load_dev_certificate(&server.host, server.port);
            let found = found.map_err(|error| Error::Usage(error.to_string().into()))?;
            if let Some(certificate) = found {
                add(&mut roots, certificate, "the development certificate")?;
            }
        }
        if roots.is_empty() {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
        }
        if roots.is_empty() {
            let text =
                format!("no certificate to trust {server} by: name a PEM file with its authority (ca)");
            return Err(Error::Denied(text.into()));
        }
        Ok(roots)
    }
}

fn add_pem_file(roots: &mut RootCertStore, file: &PathBuf) -> Result<(), Error> {
    let name = file.display();
    let usage = |text: String| Error::Usage(text.into());
    let pem = fs::read(file).map_err(|error| usage(format!("ca file {name}: {error}")))?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| usage(format!("ca file {name}: {error}")))?;
        add(roots, certificate, &format!("ca file {name}"))?;
    }
    if roots.len() == before {
        return Err(usage(format!("ca file {name} holds no certificate: it must be PEM")));
    }
    Ok(())
}

fn add(roots: &mut RootCertStore, certificate: CertificateDer<'static>, origin: &str) -> Result<(), Error> {
    roots.add(certificate).map_err(|error| Error::Usage(format!("{origin}: {error}").into()))
}
