//! QUIC: every bidirectional stream is one connection loop, so a connection behaves as many Kafka connections that
//! do not block each other. All of quinn's limits are set here. Knows nothing of requests.

use std::{io, net::SocketAddr, net::UdpSocket, sync::Arc, time::Duration};

use quinn::{Endpoint, EndpointConfig, Incoming, MtuDiscoveryConfig, ServerConfig, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use socket2::SockRef;
use tokio::{task::JoinSet, time::timeout};

use super::{ListenError, admission::Admission, tls::Tls};
use crate::{
    config::{Limits, ListenerConfig},
    connection::{Intake, Peer, Shared, serve},
    metrics::Transport,
};

const WHAT: &str = "QUIC";

/// The largest UDP payload that is tried and taken: a jumbo frame of the clouds' networks, and far fewer packets on
/// loopback. Path MTU discovery finds what a path carries.
const UDP_PAYLOAD_BYTES_MAX: u16 = 8_952;

/// What is asked of the kernel for the socket's buffers, in bytes; it may grant less.
const SOCKET_BUFFER_BYTES: usize = 8 << 20;

/// A connection on which nothing has moved for this long is gone. A client that waits for an answer keeps it alive.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Handshakes that may be pending; more are refused.
const HANDSHAKES_MAX: usize = 4_096;

/// With more pending handshakes than this, a peer must first prove its address (Retry).
const HANDSHAKES_UNPROVED_MAX: usize = 1_000;

/// Bytes that may be buffered for one connection that is not yet accepted, and for all of them.
const HANDSHAKE_BUFFER_BYTES: u64 = 64 << 10;
const HANDSHAKE_BUFFERS_BYTES: u64 = 16 << 20;

/// The code with which an agent that goes down closes its connections.
const CLOSE_GOING_DOWN: VarInt = VarInt::from_u32(1);

/// Binds the endpoint.
///
/// # Errors
/// [`ListenError`] names the address and the remedy.
pub(crate) fn bind(config: &ListenerConfig, tls: &Tls, limits: &Limits) -> Result<Endpoint, ListenError> {
    let address = config.address;
    open(address, tls, limits).map_err(|e| ListenError::from_io(WHAT, address, e))
}

fn open(address: SocketAddr, tls: &Tls, limits: &Limits) -> io::Result<Endpoint> {
    let socket = UdpSocket::bind(address)?;
    // Smaller buffers cost speed, not correctness.
    let sizes = SockRef::from(&socket);
    let granted =
        sizes.set_recv_buffer_size(SOCKET_BUFFER_BYTES).and(sizes.set_send_buffer_size(SOCKET_BUFFER_BYTES));
    if let Err(error) = granted {
        tracing::debug!(%error, "socket buffers were not enlarged");
    }
    let mut endpoint = endpoint_config(tls, socket.local_addr()?);
    endpoint.max_udp_payload_size(UDP_PAYLOAD_BYTES_MAX).map_err(io::Error::other)?;
    let runtime = Arc::new(quinn::TokioRuntime);
    Endpoint::new(endpoint, Some(server_config(tls.config.clone(), limits)?), socket, runtime)
}

/// After a crash, the next process on the same address and key tells the clients of the one before that their
/// connections are gone (RFC 9000, section 10.3, stateless reset), as a kernel does for TCP. Otherwise they would wait
/// until their requests time out. The address is part of the key, so that nobody can have an agent make the reset for
/// a connection of another one.
fn endpoint_config(tls: &Tls, address: SocketAddr) -> EndpointConfig {
    let derive = |purpose: &str| hmac::sign(&tls.secrets, format!("ebb quic {purpose} {address}").as_bytes());
    let resets = hmac::Key::new(hmac::HMAC_SHA256, derive("stateless reset").as_ref());
    let ids = derive("connection ids").as_ref().first_chunk().copied().map_or(0, u64::from_le_bytes);
    let mut config = EndpointConfig::new(Arc::new(resets));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

fn server_config(tls: Arc<rustls::ServerConfig>, limits: &Limits) -> io::Result<ServerConfig> {
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport_config(limits)?))
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size(HANDSHAKE_BUFFER_BYTES)
        .incoming_buffer_size_total(HANDSHAKE_BUFFERS_BYTES);
    Ok(config)
}

fn transport_config(limits: &Limits) -> io::Result<TransportConfig> {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(UDP_PAYLOAD_BYTES_MAX);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits.streams_per_connection_max.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(limits.stream_window_bytes.into())
        .receive_window(limits.connection_window_bytes.into())
        .send_window(limits.connection_window_bytes.into())
        .max_idle_timeout(Some(IDLE_MAX.try_into().map_err(io::Error::other)?))
        .mtu_discovery_config(Some(mtu));
    Ok(transport)
}

/// Accepts until the agent drains. Every connection is a task of its own.
pub(crate) async fn run<I: Intake + 'static>(endpoint: Endpoint, intake: Arc<I>, shared: Arc<Shared>) {
    let admission = Admission::new(Transport::Quic, &shared.limits, shared.metrics.clone());
    let handshakes = Arc::new(());
    loop {
        let incoming = tokio::select! {
            biased;
            () = shared.draining.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        if Arc::strong_count(&handshakes) > HANDSHAKES_UNPROVED_MAX && incoming.may_retry() {
            // `may_retry` says that it will not fail.
            let _ = incoming.retry();
            continue;
        }
        shared.spawn(connection(
            incoming,
            handshakes.clone(),
            admission.clone(),
            intake.clone(),
            shared.clone(),
        ));
    }
}

/// One connection: shakes hands, then accepts streams. `handshake` is counted by the accept loop.
async fn connection<I: Intake + 'static>(
    incoming: Incoming,
    handshake: Arc<()>,
    admission: Admission,
    intake: Arc<I>,
    shared: Arc<Shared>,
) {
    let peer = incoming.remote_address();
    let Some(admitted) = admission.admit(peer.ip()) else {
        incoming.refuse();
        return;
    };
    let connection = match timeout(shared.limits.handshake_max, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::info!(%peer, %error, "handshake failed"),
        Err(_) => return tracing::info!(%peer, "handshake took too long"),
    };
    drop(handshake);
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shared.draining.cancelled() => break,
            // Finished streams are taken out, so that the set stays as small as the streams that are open.
            Some(_) = streams.join_next() => {}
            stream = connection.accept_bi() => match stream {
                Ok((writer, reader)) => {
                    streams.spawn(stream_task(reader, writer, peer, intake.clone(), shared.clone()));
                }
                // The peer closed the connection or is gone: nobody waits for the replies.
                Err(error) => return tracing::debug!(%peer, %error, "connection closed"),
            },
        }
    }
    while streams.join_next().await.is_some() {}
    // What was written must arrive before the connection closes.
    connection.close(CLOSE_GOING_DOWN, b"the agent is going down");
    drop(admitted);
}

async fn stream_task<I: Intake>(
    reader: quinn::RecvStream,
    mut writer: quinn::SendStream,
    peer: SocketAddr,
    intake: Arc<I>,
    shared: Arc<Shared>,
) {
    let from = Peer { transport: Transport::Quic, address: peer.ip() };
    match serve(reader, &mut writer, from, &*intake, &shared).await {
        // Until the peer has acknowledged all, closing the connection could still lose the last reply.
        Ok(()) => {
            let _ = timeout(shared.limits.transfer_grace, writer.stopped()).await;
        }
        Err(error) => {
            tracing::info!(%peer, %error, "stream closed");
            // Refused only when the stream is closed already.
            let _ = writer.reset(VarInt::from_u32(0));
        }
    }
}
