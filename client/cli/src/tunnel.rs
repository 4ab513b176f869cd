//! `ebb tunnel`: gives Kafka clients of this machine the transport QUIC.

use ebbtide::tunnel::{Tunnel, TunnelSettings};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::TunnelArgs,
    output::{self, Failure},
};

/// Carries connections until a signal asks to stop.
pub(crate) async fn run(args: TunnelArgs) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::with("signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::with("signals"))?;
    let to = args.to.clone();
    let settings = TunnelSettings {
        to: args.to,
        listen: args.listen,
        ports: args.port_range,
        ca_files: args.ca.into_iter().collect(),
        trust_dev: true,
    };
    let tunnel = Tunnel::open(settings).await.map_err(Failure::new)?;
    output::note(format_args!("Kafka clients that connect to {} reach {to}", tunnel.address()));
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tunnel.close().await;
    Ok(())
}
