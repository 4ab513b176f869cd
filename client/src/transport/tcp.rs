//! Kafka over plain TCP, for servers without QUIC: every stream is a connection of its own.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::{Connection, Dialer, ReadHalf, WriteHalf, resolve};
use crate::{Error, ServerAddress};

/// Dials over TCP.
#[derive(Debug)]
pub(crate) struct TcpDialer;

#[async_trait::async_trait]
impl Dialer for TcpDialer {
    async fn connect(&self, server: &ServerAddress) -> Result<Arc<dyn Connection>, Error> {
        let connection = TcpConnection { server: server.clone() };
        // There is no connection apart from its streams; this only tells early that nobody listens.
        drop(connection.dial().await?);
        Ok(Arc::new(connection))
    }

    async fn close(&self) {
        // The operating system tells the servers when the streams are dropped.
    }
}

/// A server, dialled for every stream.
#[derive(Debug)]
struct TcpConnection {
    server: ServerAddress,
}

impl TcpConnection {
    async fn dial(&self) -> Result<TcpStream, Error> {
        let server = &self.server;
        let mut last = None;
        for address in resolve(server).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Requests are written whole: waiting for more bytes only costs time.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(|| "it has no address".to_owned(), |error| error.to_string());
        Err(Error::Unreachable(
            format!("cannot connect to {server}: {why}; check that the server runs").into(),
        ))
    }
}

#[async_trait::async_trait]
impl Connection for TcpConnection {
    async fn open_stream(&self) -> Result<(ReadHalf, WriteHalf), Error> {
        let (read, write) = self.dial().await?.into_split();
        Ok((Box::new(read), Box::new(write)))
    }

    fn is_closed(&self) -> bool {
        false
    }
}
