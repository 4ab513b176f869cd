//! The address of a server as tools and settings write it: `quic://HOST:PORT` or `kafka://HOST:PORT`.
//! Resolves nothing and connects to nothing.

use std::{fmt, str::FromStr};

/// The way to talk to a server. Kafka is the protocol of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// QUIC, a Kafka connection per bidirectional stream. Always encrypted.
    Quic,
    /// Plain TCP, for servers without QUIC.
    Tcp,
}

impl Transport {
    /// The scheme that names this transport in an address.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Tcp => "kafka",
        }
    }

    /// The port when the address has none.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Quic => 9093,
            Self::Tcp => 9092,
        }
    }
}

/// Where a server listens and how to talk to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress {
    /// The transport.
    pub transport: Transport,
    /// A host name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Why a string is no server address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("server {given:?} is no address: write quic://HOST:PORT or kafka://HOST:PORT")]
pub struct InvalidServer {
    given: String,
}

impl FromStr for ServerAddress {
    type Err = InvalidServer;

    fn from_str(given: &str) -> Result<Self, InvalidServer> {
        let invalid = || InvalidServer { given: given.chars().take(200).collect() };
        let (scheme, rest) = given.split_once("://").ok_or_else(invalid)?;
        let transport = match scheme {
            "quic" => Transport::Quic,
            "kafka" => Transport::Tcp,
            _ => return Err(invalid()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(authority).ok_or_else(invalid)?;
        let port = match port {
            Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?,
            None => transport.default_port(),
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(legal) {
            return Err(invalid());
        }
        Ok(Self { transport, host: host.to_owned(), port })
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.transport.scheme();
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let check = |given: &str, expect: Option<&str>| {
            let read = given.parse::<ServerAddress>().ok().map(|address| address.to_string());
            assert_eq!(read.as_deref(), expect, "{given}");
        };
        check("quic://127.0.0.1:9093", Some("quic://127.0.0.1:9093"));
        check("quic://localhost", Some("quic://localhost:9093"));
        check("kafka://broker-1.example/", Some("kafka://broker-1.example:9092"));
        check("kafka://[::1]:19092", Some("kafka://[::1]:19092"));
        check("quic://[::1]", Some("quic://[::1]:9093"));
        check("localhost:9092", None);
        check("http://localhost:9092", None);
        check("quic://", None);
        check("quic://host:0", None);
        check("quic://host:99999", None);
        check("quic://host:1:2", None);
        check("quic://ho st:1", None);
        check("quic://[::1", None);
        check("quic://[::1]x", None);
    }
}
