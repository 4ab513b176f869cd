//! The certificate of a development server on this machine: where `ebb dev` leaves it and how tools find it.
//! Knows only files and names; the transport decides what to do with the certificate.

use std::{env, fs, io, path::PathBuf};

use rustls::pki_types::{CertificateDer, pem::PemObject};

/// The file in the user's own data folder that holds the certificate of the development server at `host:port`:
/// `$XDG_DATA_HOME/ebb/trust/HOST-PORT.pem`, or under `~/.local/share`. None without a home, or when `host` is not
/// this machine: a development certificate proves nothing about another one.
#[must_use]
pub fn dev_certificate_path(host: &str, port: u16) -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    is_loopback(host).then(|| data.join("ebb/trust").join(file_name(host, port)))
}

/// Colons stand in no portable file name, and a host is the same in any case.
fn file_name(host: &str, port: u16) -> String {
    format!("{}-{port}.pem", host.to_ascii_lowercase().replace(':', "_"))
}

/// Reads the certificate that a development server at `host:port` on this machine left behind.
///
/// # Errors
/// When the file is there and cannot be read or holds no certificate. A missing file is no error: the answer is None.
pub fn load_dev_certificate(host: &str, port: u16) -> io::Result<Option<CertificateDer<'static>>> {
    let Some(path) = dev_certificate_path(host, port) else { return Ok(None) };
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(named(&path, &error)),
    };
    CertificateDer::from_pem_slice(&pem).map(Some).map_err(|_| {
        let text = format!("{} holds no certificate: remove it and start ebb dev again", path.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

/// Leaves a development server's certificate (PEM) where [`load_dev_certificate`] finds it, in a folder of the
/// user's alone, and answers the file's path.
///
/// # Errors
/// When `host` is not a loopback name or address, when there is no home folder, or when the file cannot be written.
pub fn store_dev_certificate(host: &str, port: u16, pem: &str) -> io::Result<PathBuf> {
    let path = dev_certificate_path(host, port).ok_or_else(|| {
        let text =
            format!("no trust folder for {host:?}: it must be a loopback address, and HOME must be set");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let folder = path.parent().unwrap_or(&path);
    create_private_dir(folder).map_err(|error| named(folder, &error))?;
    // Renamed into place, so that a tool that reads at the same time sees the old file or the new one.
    let fresh = path.with_extension("pem.new");
    fs::write(&fresh, pem).and_then(|()| fs::rename(&fresh, &path)).map_err(|error| named(&path, &error))?;
    Ok(path)
}

fn create_private_dir(folder: &std::path::Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    // Whoever may write here may decide whom the tools trust.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn named(path: &std::path::Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Whether `host` can only mean this machine: `localhost` or a loopback address.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_trusted_by_file() {
        let check = |host: &str, expect: bool| assert_eq!(is_loopback(host), expect, "{host}");
        check("localhost", true);
        check("LOCALHOST", true);
        check("127.0.0.1", true);
        check("127.9.9.9", true);
        check("::1", true);
        check("0.0.0.0", false);
        check("10.0.0.1", false);
        check("localhost.example", false);
        assert_eq!(dev_certificate_path("example.com", 9093), None);
        assert_eq!(file_name("::1", 9093), "__1-9093.pem");
        assert_eq!(file_name("LocalHost", 1), "localhost-1.pem");
    }
}
