//! A tunnel: Kafka clients of this machine connect to it over TCP, and each connection travels on a stream of its own
//! in a QUIC connection to the agent. So clients that know nothing of QUIC get its encryption, and connections that
//! survive a change of address.
//!
//! An agent tells its QUIC clients the QUIC addresses of all agents, which a Kafka client would dial over TCP. So the
//! tunnel opens a local listener for every agent that an answer names, and puts that listener's address into the
//! answer. It understands the answers that name agents (`rewrite`) and copies all else through (`relay`).

mod agents;
mod relay;
mod rewrite;

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, sync::Arc};

use self::agents::{Agents, Uplink};
use crate::{
    Error, ServerAddress, Transport,
    transport::{Dialer, QuicDialer, Trust},
};

/// Where a tunnel leads and where it begins.
#[derive(Debug, Clone)]
pub struct TunnelSettings {
    /// The agent to start from; the others of the cluster are learned from it. Its transport must be QUIC.
    pub to: ServerAddress,
    /// Where clients connect to reach that agent. Port 0 takes a free one. The listeners of the other agents have the
    /// same IP address.
    pub listen: SocketAddr,
    /// The ports of the other agents' listeners; any free ones when there is no range.
    pub ports: Option<RangeInclusive<u16>>,
    /// PEM files with certificates of authorities to trust, instead of the operating system's.
    pub ca_files: Vec<PathBuf>,
    /// Whether to trust the certificate that `ebb dev` on this machine left for its own address.
    pub trust_dev: bool,
}

/// An open tunnel. Dropping it closes its listeners and connections.
#[derive(Debug)]
pub struct Tunnel {
    agents: Arc<Agents>,
    dialer: Arc<dyn Dialer>,
    address: SocketAddr,
}

impl Tunnel {
    /// Opens a tunnel: binds the first listener and makes sure that the agent can be reached. Later on, a connection
    /// to an agent that is lost is made anew when a client asks for it.
    ///
    /// # Errors
    /// [`Error::Usage`] for a wrong setting or an address that cannot be bound, [`Error::Unreachable`] when the agent
    /// does not answer, [`Error::Denied`] when its certificate is not trusted.
    pub async fn open(settings: TunnelSettings) -> Result<Self, Error> {
        if settings.to.transport != Transport::Quic {
            let text = format!("a tunnel leads to quic://HOST:PORT, not to {}", settings.to);
            return Err(Error::Usage(text.into()));
        }
        let trust = Trust { ca_files: settings.ca_files.clone(), dev: settings.trust_dev };
        Self::over(settings, Arc::new(QuicDialer::shared(trust))).await
    }

    /// Opens a tunnel whose streams come from `dialer`.
    async fn over(settings: TunnelSettings, dialer: Arc<dyn Dialer>) -> Result<Self, Error> {
        let TunnelSettings { to, listen, ports, .. } = settings;
        let listener = agents::bind(listen).map_err(|error| {
            Error::Usage(format!("cannot listen on {listen}: {error}; choose another address").into())
        })?;
        let address = listener.local_addr().map_err(|error| {
            Error::Usage(format!("cannot listen on {listen}: {error}; choose another address").into())
        })?;
        // Nobody uses this connection: it shows at once whether the address and the certificate are right.
        drop(Uplink::new(to.clone(), dialer.clone()).dial().await?);
        let agents = Arc::new(Agents::new(dialer.clone(), address.ip(), ports));
        agents.start(to, listener, address.port());
        Ok(Self { agents, dialer, address })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the tunnel and tells the agents.
    pub async fn close(self) {
        self.agents.stop();
        self.dialer.close().await;
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.agents.stop();
    }
}

#[cfg(test)]
mod tests;
