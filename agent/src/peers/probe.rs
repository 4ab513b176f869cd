//! Asks an agent whether it is there, at the address that it tells clients: the smallest Kafka request over TCP, or a
//! QUIC handshake when it does not listen on TCP. Any answer will do, even a refusal.

use std::{io, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use ebb_metastore::{command::Endpoint, state::Agent};
use quinn::ConnectionError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, lookup_host},
};

use super::Probe;
use crate::listen::tls::ALPN;

/// ApiVersions, version 0, correlation id 0, without a client id: length and header; there is no body.
const QUESTION: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// Asks over the network.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dial;

#[async_trait]
impl Probe for Dial {
    async fn answers(&self, agent: &Agent) -> bool {
        let asked = match (&agent.kafka, &agent.quic) {
            (Some(endpoint), _) => ask_tcp(endpoint).await,
            (None, Some(endpoint)) => ask_quic(endpoint).await,
            // Nobody can reach it, and no client is sent to it.
            (None, None) => return true,
        };
        match asked {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(agent = %agent.id, %error, "an agent cannot be asked");
                !is_silence(error.kind())
            }
        }
    }
}

/// Whether an error speaks of the other end. One of this end, which has no descriptor left or cannot look the name up,
/// says nothing of the agent, and must put nobody out.
fn is_silence(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as K;
    matches!(
        kind,
        K::ConnectionRefused
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::BrokenPipe
            | K::UnexpectedEof
            | K::TimedOut
            | K::HostUnreachable
            | K::NetworkUnreachable
    )
}

async fn ask_tcp(endpoint: &Endpoint) -> io::Result<()> {
    let mut stream = TcpStream::connect((&*endpoint.host, endpoint.port)).await?;
    stream.write_all(&QUESTION).await?;
    stream.read_u8().await.map(drop)
}

/// Shakes hands, trusting nobody: that the other end's certificate is not trusted is answer enough.
async fn ask_quic(endpoint: &Endpoint) -> io::Result<()> {
    let found = lookup_host((&*endpoint.host, endpoint.port)).await?.next();
    let address = found.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    let own = if address.is_ipv4() { SocketAddr::from(([0; 4], 0)) } else { SocketAddr::from(([0; 16], 0)) };
    let mut client = quinn::Endpoint::client(own)?;
    client.set_default_client_config(client_config().map_err(io::Error::other)?);
    let connecting = client.connect(address, &endpoint.host).map_err(io::Error::other)?;
    match connecting.await {
        Err(error @ (ConnectionError::TimedOut | ConnectionError::LocallyClosed)) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, error))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn client_config() -> Result<quinn::ClientConfig, Box<dyn std::error::Error + Send + Sync>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls)?;
    Ok(quinn::ClientConfig::new(Arc::new(crypto)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use ebb_protocol::{
        api::ApiKey,
        frame::{FRAME_LENGTH_BYTES, decode_request_header, frame_len},
    };

    use super::*;

    #[test]
    fn errors_of_this_end_put_nobody_out() {
        for silent in
            [io::ErrorKind::ConnectionRefused, io::ErrorKind::UnexpectedEof, io::ErrorKind::TimedOut]
        {
            assert!(is_silence(silent), "{silent}");
        }
        let no_descriptors = io::Error::from_raw_os_error(24);
        assert!(!is_silence(no_descriptors.kind()) && !is_silence(io::Error::other("no such host").kind()));
    }

    #[test]
    fn the_question_is_a_request() {
        let prefix = [QUESTION[0], QUESTION[1], QUESTION[2], QUESTION[3]];
        assert_eq!(frame_len(prefix, 1 << 10), Ok(QUESTION.len() - FRAME_LENGTH_BYTES));
        let frame = Bytes::from_static(&QUESTION).slice(FRAME_LENGTH_BYTES..);
        let (header, body) = decode_request_header(&frame).expect("a sound header");
        assert_eq!((header.api.key, header.version, header.client_id), (ApiKey::ApiVersions, 0, None));
        assert!(body.is_empty());
    }
}
