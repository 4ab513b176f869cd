//! Kafka over QUIC: one connection per server, a bidirectional stream per Kafka connection.
//! Knows quinn and its limits; knows nothing of Kafka.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use quinn::{
    ClientConfig, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TokioRuntime,
    TransportConfig, VarInt, crypto::rustls::QuicClientConfig,
};

use super::{Connection, Dialer, ReadHalf, WriteHalf, resolve, tls::Trust};
use crate::{Error, ServerAddress};

/// Bytes that a server may have in flight to us on one stream: enough for loopback at memory speed, and for
/// 1 Gbit/s over 100 ms.
const STREAM_WINDOW_BYTES: u32 = 16 << 20;
/// Bytes that a server may have in flight to us on all streams of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
/// Bytes of ours that a connection keeps until the server has acknowledged them.
const SEND_WINDOW_BYTES: u64 = 64 << 20;
/// The socket buffer asked for; the operating system may give less. A burst must fit, or it is lost.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// An idle connection is dropped after this time (servers do the same) and costs nothing until then: no keep-alive
/// is sent. It is longer than any request may go unanswered, so a connection with a request in flight is never
/// dropped for idleness.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for a connection with streams of others on it, which may wait for an answer without end: keep-alives
/// are sent, and silence this long means that the server or the way to it is lost.
const IDLE_TIMEOUT_SHARED: Duration = Duration::from_secs(20);
/// How often a connection with streams of others on it shows that it lives. Four in a row may be lost.
const KEEP_ALIVE_SHARED: Duration = Duration::from_secs(5);
/// How long closing waits for the servers to hear of it.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// The code with which a client closes its connections.
const CLOSED_BY_CLIENT: VarInt = VarInt::from_u32(0);
/// The largest UDP payload. Loopback carries it whole, which saves most of the per-packet work.
const UDP_PAYLOAD_BYTES_MAX: u16 = 65_527;
/// The largest UDP payload that is tried on a network: jumbo frames.
const NETWORK_PAYLOAD_BYTES_MAX: u16 = 8_952;

/// Dials over QUIC from one socket per address family.
#[derive(Debug)]
pub(crate) struct QuicDialer {
    trust: Trust,
    liveness: Liveness,
    endpoints: Mutex<Endpoints>,
}

/// How a connection finds out that its server is gone.
#[derive(Debug, Clone, Copy)]
struct Liveness {
    idle_timeout: Duration,
    keep_alive: Option<Duration>,
}

#[derive(Debug, Default)]
struct Endpoints {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
}

impl QuicDialer {
    /// Connections for requests of this process, each of which has a time-out.
    pub(crate) fn new(trust: Trust) -> Self {
        let liveness = Liveness { idle_timeout: IDLE_TIMEOUT, keep_alive: None };
        Self { trust, liveness, endpoints: Mutex::default() }
    }

    /// Connections for streams of other processes, whose time-outs are not known here.
    pub(crate) fn shared(trust: Trust) -> Self {
        let liveness = Liveness { idle_timeout: IDLE_TIMEOUT_SHARED, keep_alive: Some(KEEP_ALIVE_SHARED) };
        Self { trust, liveness, endpoints: Mutex::default() }
    }

    fn endpoint(&self, remote: SocketAddr) -> Result<Endpoint, Error> {
        let mut endpoints = self.endpoints.lock();
        let (slot, local) = match remote {
            SocketAddr::V4(_) => (&mut endpoints.v4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
            SocketAddr::V6(_) => (&mut endpoints.v6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
        };
        if let Some(endpoint) = slot {
            return Ok(endpoint.clone());
        }
        let endpoint = bind(local)
            .map_err(|error| Error::Unreachable(format!("cannot open a udp socket: {error}").into()))?;
        Ok(slot.insert(endpoint).clone())
    }
}

fn bind(local: IpAddr) -> std::io::Result<Endpoint> {
    let address = SocketAddr::new(local, 0);
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    // Best effort: the operating system caps them.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&address.into())?;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(UDP_PAYLOAD_BYTES_MAX).map_err(std::io::Error::other)?;
    Endpoint::new(config, None, socket.into(), Arc::new(TokioRuntime))
}

fn transport_config(remote: SocketAddr, liveness: Liveness) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    let loopback = remote.ip().is_loopback();
    mtu.upper_bound(if loopback { UDP_PAYLOAD_BYTES_MAX } else { NETWORK_PAYLOAD_BYTES_MAX });
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .max_idle_timeout(IdleTimeout::try_from(liveness.idle_timeout).ok())
        .keep_alive_interval(liveness.keep_alive)
        .mtu_discovery_config(Some(mtu))
        // Servers open no streams and send no datagrams.
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None);
    config
}

#[async_trait::async_trait]
impl Dialer for QuicDialer {
    async fn connect(&self, server: &ServerAddress) -> Result<Arc<dyn Connection>, Error> {
        let tls = QuicClientConfig::try_from(self.trust.config(server)?)
            .map_err(|error| Error::Usage(format!("tls: {error}").into()))?;
        let tls = Arc::new(tls);
        let mut last = None;
        for remote in resolve(server).await? {
            let mut config = ClientConfig::new(tls.clone());
            config.transport_config(Arc::new(transport_config(remote, self.liveness)));
            let connecting = self
                .endpoint(remote)?
                .connect_with(config, remote, &server.host)
                .map_err(|error| Error::Usage(format!("cannot connect to {server}: {error}").into()))?;
            match connecting.await {
                Ok(connection) => return Ok(Arc::new(QuicConnection { connection, server: server.clone() })),
                Err(error) => last = Some(explain(server, &error)),
            }
        }
        Err(last.unwrap_or_else(|| Error::Unreachable(format!("{server} has no address").into())))
    }

    async fn close(&self) {
        let endpoints = std::mem::take(&mut *self.endpoints.lock());
        for endpoint in endpoints.v4.into_iter().chain(endpoints.v6) {
            endpoint.close(CLOSED_BY_CLIENT, b"closed by the client");
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, endpoint.wait_idle()).await;
        }
    }
}

/// TLS alerts arrive as QUIC transport errors 0x100 to 0x1ff (RFC 9001, section 4.8).
fn is_tls_alert(code: quinn::TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}

fn explain(server: &ServerAddress, error: &ConnectionError) -> Error {
    match error {
        ConnectionError::TransportError(cause) if is_tls_alert(cause.code) => {
            let why = "name its authority (ca), or use the address and user that started ebb dev";
            Error::Denied(format!("cannot trust {server}: {}; {why}", cause.reason).into())
        }
        error => Error::Unreachable(
            format!("cannot connect to {server}: {error}; check that the server runs").into(),
        ),
    }
}

/// A QUIC connection; dropping it closes it.
#[derive(Debug)]
struct QuicConnection {
    connection: quinn::Connection,
    server: ServerAddress,
}

#[async_trait::async_trait]
impl Connection for QuicConnection {
    async fn open_stream(&self) -> Result<(ReadHalf, WriteHalf), Error> {
        let (write, read) = self.connection.open_bi().await.map_err(|error| {
            Error::Unreachable(format!("lost the connection to {}: {error}", self.server).into())
        })?;
        Ok((Box::new(read), Box::new(write)))
    }

    fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }
}

impl Drop for QuicConnection {
    fn drop(&mut self) {
        self.connection.close(CLOSED_BY_CLIENT, b"closed by the client");
    }
}
