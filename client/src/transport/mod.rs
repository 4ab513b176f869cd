//! The narrow waist between Kafka requests and the network: connections that give out byte streams.
//! Implementations know addresses and encryption; they must not know Kafka.

mod quic;
mod tcp;
mod tls;

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use self::{
    quic::{IDLE_TIMEOUT as QUIC_IDLE_TIMEOUT, QuicDialer},
    tcp::TcpDialer,
    tls::Trust,
};
use crate::{Error, ServerAddress, Transport};

/// How many addresses of one name are tried.
const ADDRESSES_MAX: usize = 8;

/// The reading half of a stream.
pub type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
/// The writing half of a stream.
pub type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// Opens connections to servers.
///
/// # Contract
/// `connect` either answers a connection that is ready for streams or has had no lasting effect. It may be dropped at
/// any await point. It does not retry: the caller does. `close` ends all connections and returns when their servers
/// have been told, or when it is no use waiting any longer.
#[async_trait::async_trait]
pub trait Dialer: Send + Sync + fmt::Debug + 'static {
    /// Connects to `server`.
    async fn connect(&self, server: &ServerAddress) -> Result<Arc<dyn Connection>, Error>;

    /// Ends all connections.
    async fn close(&self);
}

/// A connection to one server.
///
/// # Contract
/// Every stream behaves as one Kafka connection over TCP: bytes arrive whole and in order or the stream fails, and
/// dropping both halves ends that stream alone. Streams are independent of each other. Dropping the connection ends
/// all of them.
#[async_trait::async_trait]
pub trait Connection: Send + Sync + fmt::Debug + 'static {
    /// Opens a stream.
    async fn open_stream(&self) -> Result<(ReadHalf, WriteHalf), Error>;

    /// Whether the connection is known to be lost, so that a new one is needed.
    fn is_closed(&self) -> bool;
}

/// A dialer as [`crate::Client`] uses it, for programs that speak Kafka's protocol themselves. Over QUIC it trusts the
/// authorities in the PEM files `ca_files`, or the operating system's when there are none, and the certificate that
/// `ebb dev` on this machine left for its own address.
#[must_use]
pub fn dialer(transport: Transport, ca_files: Vec<PathBuf>) -> Arc<dyn Dialer> {
    match transport {
        Transport::Quic => Arc::new(QuicDialer::new(Trust { ca_files, dev: true })),
        Transport::Tcp => Arc::new(TcpDialer),
    }
}

/// The addresses that a server's name stands for, in the resolver's order.
async fn resolve(server: &ServerAddress) -> Result<Vec<SocketAddr>, Error> {
    let found = tokio::net::lookup_host((server.host.as_str(), server.port)).await;
    let found = found.map_err(|error| {
        Error::Unreachable(format!("cannot resolve the name of {server}: {error}").into())
    })?;
    Ok(found.take(ADDRESSES_MAX).collect())
}

#[cfg(test)]
mod tests;
