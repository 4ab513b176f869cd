//! Asks an agent whether it is there, at the address that it tells clients: the smallest Kafka request over TCP, or a
//! QUIC handshake when it does not listen on TCP. Any answer will do, even a refusal.

use std::{io, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use ebb_metastore::{command::Endpoint, state::Agent};
use quinn::ConnectionError;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, lookup_host},
};

use super::Probe;
use crate::listen::tls::ALPN;

/// ApiVersions, version 0, correlation id 0, without a client id: length and header; there is no body.
const QUESTION: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// The answer of an agent that has no room for connections: ApiVersions, version 0, without an error and without APIs.
const ANSWER: [u8; 14] = [0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Answers the question if that is what the other end says first; false when it says something else.
///
/// # Errors
/// The connection's.
pub(crate) async fn answer_question(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<bool> {
    let mut said = [0; QUESTION.len()];
    stream.read_exact(&mut said).await?;
    let is_question = said == QUESTION;
    if is_question {
        stream.write_all(&ANSWER).await?;
        stream.shutdown().await?;
    }
    Ok(is_question)
}

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
/// says nothing of the agent, and must put nobody out. A connection that is closed without an answer is silence: a
/// proxy does that whose agent is gone, and an agent never does, not even at its limit of connections.
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
        messages::{ApiVersionsRequest, decode_response},
    };
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        config::{Limits, ListenerConfig},
        connection::{Charge, ConnectionError, Intake, Peer, Reply, Shared},
        listen::tcp,
    };

    /// No request gets here.
    struct Nobody;

    impl Intake for Nobody {
        async fn take_in(&self, _: Peer, _: Bytes, _: Charge) -> Result<Reply, ConnectionError> {
            Err(ConnectionError::GoingDown)
        }
    }

    #[tokio::test]
    async fn an_agent_without_room_for_connections_is_there_and_one_behind_a_proxy_is_not() {
        let any = ListenerConfig::new("127.0.0.1:0".parse().expect("an address"));
        let full = tcp::bind(&any, false).expect("a free port");
        let at = |listener: &TcpListener| {
            let address = listener.local_addr().expect("it is bound");
            Endpoint { host: address.ip().to_string(), port: address.port() }
        };
        let endpoint = at(&full);
        let limits = Limits { connections_max: 0, ..Limits::default() };
        let shared = Arc::new(Shared::new(limits, Arc::default(), CancellationToken::new()));
        tokio::spawn(tcp::run(full, Arc::new(Nobody), shared));
        ask_tcp(&endpoint).await.expect("an agent is there");
        let mut client = TcpStream::connect((&*endpoint.host, endpoint.port)).await.expect("it can dial");
        client.write_all(&[0; QUESTION.len()]).await.expect("it is connected");
        assert!(client.read_u8().await.is_err(), "a client is turned away");

        let proxy = tcp::bind(&any, false).expect("a free port");
        let endpoint = at(&proxy);
        let closes = async move {
            let (mut stream, _) = proxy.accept().await.expect("somebody dials");
            stream.read_exact(&mut [0; QUESTION.len()]).await.expect("it asks");
        };
        let (asked, ()) = tokio::join!(ask_tcp(&endpoint), closes);
        let error = asked.expect_err("nobody is behind the proxy");
        assert!(is_silence(error.kind()), "{error}");
    }

    #[test]
    fn the_answer_is_a_response() {
        let frame = Bytes::from_static(&ANSWER).slice(FRAME_LENGTH_BYTES..);
        let answer = decode_response::<ApiVersionsRequest>(&frame, 0).expect("a sound response");
        assert_eq!((answer.error_code, answer.api_keys.len()), (0, 0));
    }

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
