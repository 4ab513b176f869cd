//! The certificate of a development server on this machine: where `ebb dev` leaves it and how tools find it.
//! Knows only files and names; the transport decides what to do with the certificate.

use std::{io, path::PathBuf};

use rustls::pki_types::CertificateDer;

/// The file in the user's own data folder that holds the certificate of the development server at `host:port`:
/// `$XDG_DATA_HOME/ebb/trust/HOST-PORT.pem`, or under `~/.local/share`. None without a home, or when `host` is not
/// this machine: a development certificate proves nothing about another one.
#[must_use]
pub fn dev_certificate_path(host: &str, port: u16) -> Option<PathBuf> {
    todo!("{host} {port}")
}

/// Reads the certificate that a development server at `host:port` on this machine left behind.
///
/// # Errors
/// When the file is there and cannot be read or holds no certificate. A missing file is no error: the answer is None.
pub fn load_dev_certificate(host: &str, port: u16) -> io::Result<Option<CertificateDer<'static>>> {
    todo!("{host} {port}")
}

/// Leaves a development server's certificate (PEM) where [`load_dev_certificate`] finds it, readable by the user
/// alone, and answers the file's path.
///
/// # Errors
/// When `host` is not a loopback name or address, when there is no home folder, or when the file cannot be written.
pub fn store_dev_certificate(host: &str, port: u16, pem: &str) -> io::Result<PathBuf> {
    todo!("{host} {port} {pem}")
}

/// Whether `host` can only mean this machine: `localhost` or a loopback address.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
