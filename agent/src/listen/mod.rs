//! Listeners: TCP and QUIC, both into the one connection loop. They know sockets and limits on connections, and
//! nothing of requests.

mod admission;
mod full;
pub(crate) mod quic;
pub(crate) mod tcp;
pub mod tls;

use std::{io, net::SocketAddr};

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process has the port.
    #[error(
        "cannot listen for {what} on {address}: the port is in use; stop the other process or choose another"
    )]
    InUse {
        /// The listener.
        what: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be bound.
    #[error("cannot listen for {what} on {address}: {source}; choose an address of this machine")]
    Bind {
        /// The listener.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's word.
        source: io::Error,
    },
    /// Plaintext would leave the machine.
    #[error(
        "refusing to serve Kafka without TLS on {0}: listen on loopback, use QUIC, or allow it with --insecure-plaintext"
    )]
    Plaintext(SocketAddr),
    /// Nobody can dial the address.
    #[error("clients cannot dial {0}: say what they should dial with --advertise-kafka or --advertise-quic")]
    Unadvertised(SocketAddr),
    /// The system does not say what was bound.
    #[error("a listener's address cannot be read: {0}")]
    Socket(io::Error),
}

impl ListenError {
    pub(crate) fn from_io(what: &'static str, address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { what, address },
            _ => Self::Bind { what, address, source },
        }
    }
}
