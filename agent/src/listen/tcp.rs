//! Kafka over TCP: accepts connections and hands each to the connection loop. Plaintext, so loopback only unless the
//! operator says otherwise. Knows nothing of requests.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{
    ListenError,
    admission::{Admission, Admitted},
    full::Full,
};
use crate::{
    config::ListenerConfig,
    connection::{Intake, Peer, Shared, serve},
    metrics::Transport,
};

const WHAT: &str = "Kafka over TCP";

/// Connections that the kernel may hold for us.
const BACKLOG: u32 = 1_024;

/// A peer that is silent for this long is asked by the kernel whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// After an accept failed for want of descriptors or memory, the next one waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the listener.
///
/// # Errors
/// [`ListenError`] names the address and the remedy.
pub(crate) fn bind(config: &ListenerConfig, insecure_plaintext: bool) -> Result<TcpListener, ListenError> {
    let address = config.address;
    if !address.ip().is_loopback() && !insecure_plaintext {
        return Err(ListenError::Plaintext(address));
    }
    listen(address).map_err(|e| ListenError::from_io(WHAT, address, e))
}

/// Binds and listens so that a restarted agent gets its port back at once.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until the agent drains. Every connection is a task of its own.
pub(crate) async fn run<I: Intake + 'static>(listener: TcpListener, intake: Arc<I>, shared: Arc<Shared>) {
    let admission = Admission::new(Transport::Kafka, &shared.limits, shared.metrics.clone());
    let full = Full::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.draining.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(admitted) = admission.admit(peer.ip()) else {
                    full.turn_away(stream, &shared);
                    continue;
                };
                shared.spawn(connection(stream, peer, admitted, intake.clone(), shared.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection<I: Intake>(
    stream: TcpStream,
    peer: SocketAddr,
    admitted: Admitted,
    intake: Arc<I>,
    shared: Arc<Shared>,
) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    let set = stream.set_nodelay(true).and(SockRef::from(&stream).set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        tracing::debug!(%peer, %error, "socket options were not set");
    }
    let (reader, writer) = stream.into_split();
    let from = Peer { transport: Transport::Kafka, address: peer.ip() };
    if let Err(error) = serve(reader, writer, from, &*intake, &shared).await {
        tracing::info!(%peer, %error, "connection closed");
    }
    drop(admitted);
}
