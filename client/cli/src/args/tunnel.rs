//! `ebb tunnel` as data: what may be typed, with its help.

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf};

use clap::Args;
use ebbtide::ServerAddress;

use super::SERVER_DEFAULT;

/// `ebb tunnel`.
#[derive(Debug, Args)]
pub(crate) struct TunnelArgs {
    /// An agent of the cluster: quic://HOST:PORT
    #[arg(long, env = "EBB_SERVER", default_value = SERVER_DEFAULT, value_name = "URL")]
    pub(crate) to: ServerAddress,
    /// Where Kafka clients of this machine connect
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Ports for the cluster's other agents, each of which gets a listener; any free ones when absent
    #[arg(long, value_name = "FIRST-LAST", value_parser = ports)]
    pub(crate) port_range: Option<RangeInclusive<u16>>,
    /// PEM file with the certificates to trust; a loopback agent's development certificate is trusted by itself
    #[arg(long, env = "EBB_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    text.split_once('-')
        .and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?))
        .filter(|range| !range.is_empty() && *range.start() != 0)
        .ok_or_else(|| format!("{text:?} is no FIRST-LAST"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_has_a_first_and_a_last() {
        assert_eq!(ports("9100-9199"), Ok(9100..=9199));
        assert_eq!(ports("9100-9100"), Ok(9100..=9100));
        for wrong in ["", "9100", "9199-9100", "0-5", "1-70000", "a-b"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }
}
