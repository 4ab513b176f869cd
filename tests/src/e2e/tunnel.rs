//! `ebb tunnel` as a process.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::ebb::{Ebb, Server};

/// How long a start may take, on a machine that is busy with other tests.
const START_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks at a tunnel that starts.
const POLL: Duration = Duration::from_millis(20);

/// A tunnel to a server. Dropping it kills it.
#[derive(Debug)]
pub struct Tunnel {
    address: SocketAddr,
    log: PathBuf,
    process: Child,
}

impl Tunnel {
    /// Starts a tunnel on a free port.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(ebb: &Ebb, server: &Server<'_>) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = free.expect("there are free ports");
        let log = ebb.home().join(format!("tunnel-{}.log", address.port()));
        let output = File::create(&log).expect("the log can be written");
        let mut command = Command::new(ebb.path());
        let process = ebb
            .settle(command.args(["tunnel", "--to", &server.url(), "--listen", &address.to_string(), "--ca"]))
            .arg(server.certificate())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .expect("ebb can be started");
        let mut tunnel = Self { address, log, process };
        let listening = async {
            while TcpStream::connect(address).is_err() {
                let ended = tunnel.process.try_wait().expect("the process is our child");
                assert!(ended.is_none(), "the tunnel does not start: {}", tunnel.said());
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(START_MAX, listening).await.expect("the tunnel starts in time");
        tunnel
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that it has said.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // Fails only when the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
