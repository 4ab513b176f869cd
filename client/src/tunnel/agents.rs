//! The agents that clients have been told of: for each a local listener, and the connection that its streams share.
//! Knows addresses and connections; knows nothing of Kafka's messages.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::relay::{greet, relay};
use crate::{
    Error, ServerAddress,
    transport::{Connection, Dialer, ReadHalf, WriteHalf},
};

/// Agents that have a listener. Beyond that, the one that was not named for longest loses it.
const LISTENERS_MAX: usize = 256;
/// Clients' connections at a time. Others wait in the operating system's queue.
const CONNECTIONS_MAX: usize = 1000;
/// Streams on one connection to an agent. Agents allow 128.
const STREAMS_MAX: usize = 100;
/// Connections that the operating system completes before they are taken.
const BACKLOG: u32 = 1024;
/// How long a connection to an agent may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an agent may take to allow another stream, and to answer on it when its connection is not new.
const STREAM_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an agent is left alone after the first failure to reach it. Each further failure doubles it.
const REDIAL_MIN: Duration = Duration::from_millis(100);
/// The longest that an agent is left alone.
const REDIAL_MAX: Duration = Duration::from_secs(5);
/// Pause after a connection could not be taken: most often there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The agents of the cluster as far as they have been named.
#[derive(Debug)]
pub(super) struct Agents {
    dialer: Arc<dyn Dialer>,
    ip: IpAddr,
    ports: Option<RangeInclusive<u16>>,
    room: Arc<Semaphore>,
    listeners: Mutex<Listeners>,
}

#[derive(Debug, Default)]
struct Listeners {
    open: BTreeMap<ServerAddress, Listener>,
    /// No more are opened: the tunnel is closed.
    stopped: bool,
}

#[derive(Debug)]
struct Listener {
    port: u16,
    named_at: Instant,
    /// Whether it was asked for by address, so that it stays.
    first: bool,
    _accepting: AbortOnDropHandle<()>,
}

impl Agents {
    pub(super) fn new(dialer: Arc<dyn Dialer>, ip: IpAddr, ports: Option<RangeInclusive<u16>>) -> Self {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { dialer, ip, ports, room, listeners: Mutex::default() }
    }

    /// Serves the first agent on a listener that is bound already.
    pub(super) fn start(self: &Arc<Self>, server: ServerAddress, listener: TcpListener, port: u16) {
        let listener = self.listener(server.clone(), listener, port, true);
        self.listeners.lock().open.insert(server, listener);
    }

    /// The local port of an agent that an answer names. Opens its listener when it has none.
    pub(super) fn port(self: &Arc<Self>, server: &ServerAddress) -> Result<u16, Error> {
        let mut listeners = self.listeners.lock();
        if let Some(known) = listeners.open.get_mut(server) {
            known.named_at = Instant::now();
            return Ok(known.port);
        }
        if listeners.stopped {
            return Err(Error::Usage("the tunnel is closed".into()));
        }
        if listeners.open.len() >= LISTENERS_MAX {
            let others = listeners.open.iter().filter(|(_, listener)| !listener.first);
            let oldest =
                others.min_by_key(|(_, listener)| listener.named_at).map(|(server, _)| server.clone());
            oldest.and_then(|server| listeners.open.remove(&server));
        }
        let (listener, port) = self.bind_any(server)?;
        tracing::info!(%server, port, "an agent has a listener");
        let listener = self.listener(server.clone(), listener, port, false);
        listeners.open.insert(server.clone(), listener);
        Ok(port)
    }

    /// Closes all listeners and connections.
    pub(super) fn stop(&self) {
        let open = {
            let mut listeners = self.listeners.lock();
            listeners.stopped = true;
            std::mem::take(&mut listeners.open)
        };
        // Outside the lock: what ends here may be waiting for it.
        drop(open);
    }

    fn listener(
        self: &Arc<Self>,
        server: ServerAddress,
        listener: TcpListener,
        port: u16,
        first: bool,
    ) -> Listener {
        let uplink = Arc::new(Uplink::new(server, self.dialer.clone()));
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, uplink, self.clone())));
        Listener { port, named_at: Instant::now(), first, _accepting: accepting }
    }

    fn bind_any(&self, server: &ServerAddress) -> Result<(TcpListener, u16), Error> {
        let mut last = None;
        for port in self.ports.clone().unwrap_or(0..=0) {
            let bound = bind(SocketAddr::new(self.ip, port));
            match bound.and_then(|listener| Ok((listener.local_addr()?.port(), listener))) {
                Ok((port, listener)) => return Ok((listener, port)),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(|| "the range of ports is empty".to_owned(), |error| error.to_string());
        Err(Error::Usage(format!("no port for {server}: {why}; give a larger range of ports").into()))
    }
}

/// Listens on an address.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a tunnel that ran before must not keep its port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes the connections of one listener; they end with this task.
async fn accept(listener: TcpListener, uplink: Arc<Uplink>, agents: Arc<Agents>) {
    let mut relays = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(room) = agents.room.clone().acquire_owned().await else { return };
        while relays.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, client)) => {
                let (uplink, agents) = (uplink.clone(), agents.clone());
                relays.spawn(async move {
                    if let Err(error) = relay(stream, &uplink, &agents).await {
                        tracing::debug!(%client, server = %uplink.server, %error, "a connection ended");
                    }
                    drop(room);
                });
            }
            Err(error) => {
                tracing::warn!(server = %uplink.server, %error, "cannot take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A stream, and the connection that must be held as long as it is used.
pub(super) type Stream = (Arc<dyn Connection>, ReadHalf, WriteHalf);

/// The way to one agent. Streams share a connection, which lives as long as one of them.
#[derive(Debug)]
pub(super) struct Uplink {
    pub(super) server: ServerAddress,
    dialer: Arc<dyn Dialer>,
    // Held while dialling, so that all who wait get the same connection.
    state: tokio::sync::Mutex<Dial>,
}

#[derive(Debug, Default)]
struct Dial {
    /// Those with streams: at most as many as clients have connections.
    connections: Vec<Weak<dyn Connection>>,
    /// The last failure, and until when it is answered without dialling again.
    failure: Option<(Error, Instant)>,
    delay: Duration,
}

impl Uplink {
    pub(super) fn new(server: ServerAddress, dialer: Arc<dyn Dialer>) -> Self {
        Self { server, dialer, state: tokio::sync::Mutex::default() }
    }

    /// A stream to the agent. An agent that was killed and started again does not know its connections, which shows
    /// only when something is sent. So on a connection that is not new the agent has to answer first: a client must
    /// not take such a connection for an agent that is gone.
    pub(super) async fn stream(&self) -> Result<Stream, Error> {
        let (connection, new) = self.connection().await?;
        let opened = self.open(&connection, !new).await;
        match opened {
            Err(error) if !new => {
                tracing::debug!(server = %self.server, %error, "a connection is stale");
                self.forget(&connection).await;
            }
            opened => return opened.map(|(read, write)| (connection, read, write)),
        }
        let (connection, _) = self.connection().await?;
        let (read, write) = self.open(&connection, false).await?;
        Ok((connection, read, write))
    }

    async fn open(
        &self,
        connection: &Arc<dyn Connection>,
        answers: bool,
    ) -> Result<(ReadHalf, WriteHalf), Error> {
        let opening = async {
            let (mut read, mut write) = connection.open_stream().await?;
            if answers {
                greet(&mut read, &mut write).await?;
            }
            Ok((read, write))
        };
        tokio::time::timeout(STREAM_TIMEOUT, opening).await.unwrap_or_else(|_| {
            let text = format!("{} gave no stream within {STREAM_TIMEOUT:?}", self.server);
            Err(Error::Unreachable(text.into()))
        })
    }

    async fn forget(&self, connection: &Arc<dyn Connection>) {
        let stale = Arc::downgrade(connection);
        let mut dial = self.state.lock().await;
        dial.connections.retain(|known| !std::ptr::addr_eq(known.as_ptr(), stale.as_ptr()));
    }

    /// A connection to the agent with room for a stream, and whether it is new. Whoever holds it counts as one stream.
    /// After a failure the agent is left alone for a growing time: until then clients, which try again by themselves,
    /// get the same error.
    async fn connection(&self) -> Result<(Arc<dyn Connection>, bool), Error> {
        let mut dial = self.state.lock().await;
        dial.connections.retain(|connection| connection.upgrade().is_some_and(|c| !c.is_closed()));
        let mut with_room = dial.connections.iter().filter(|c| c.strong_count() < STREAMS_MAX);
        if let Some(connection) = with_room.next().and_then(Weak::upgrade) {
            return Ok((connection, false));
        }
        if let Some((error, _)) = dial.failure.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Err(error.clone());
        }
        match self.dial().await {
            Ok(connection) => {
                dial.connections.push(Arc::downgrade(&connection));
                dial.failure = None;
                dial.delay = Duration::ZERO;
                Ok((connection, true))
            }
            Err(error) => {
                dial.delay = (dial.delay * 2).clamp(REDIAL_MIN, REDIAL_MAX);
                tracing::warn!(server = %self.server, %error, pause = ?dial.delay, "cannot reach an agent");
                dial.failure = Some((error.clone(), Instant::now() + dial.delay));
                Err(error)
            }
        }
    }

    /// A new connection.
    pub(super) async fn dial(&self) -> Result<Arc<dyn Connection>, Error> {
        let dialled = tokio::time::timeout(CONNECT_TIMEOUT, self.dialer.connect(&self.server)).await;
        dialled.unwrap_or_else(|_| {
            let text = format!(
                "cannot connect to {}: no answer within {CONNECT_TIMEOUT:?}; check that the server runs",
                self.server
            );
            Err(Error::Unreachable(text.into()))
        })
    }
}
