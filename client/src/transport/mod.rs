//! The narrow waist between Kafka requests and the network: connections that give out byte streams.
//! Implementations know addresses and encryption; they must not know Kafka.

use std::{fmt, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Error, ServerAddress};

/// The reading half of a stream.
pub type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
/// The writing half of a stream.
pub type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// Opens connections to servers.
///
/// # Contract
/// `connect` either answers a connection that is ready for streams or has had no lasting effect. It may be dropped at
/// any await point. It does not retry: the caller does.
#[async_trait::async_trait]
pub trait Dialer: Send + Sync + fmt::Debug + 'static {
    /// Connects to `server`.
    async fn connect(&self, server: &ServerAddress) -> Result<Arc<dyn Connection>, Error>;
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
