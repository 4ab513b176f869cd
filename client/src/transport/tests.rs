//! Both transports over loopback: streams carry bytes, trust is checked, and errors name the remedy.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use quinn::crypto::rustls::QuicServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::transport::tls::ALPN;

/// A QUIC server for `localhost` that echoes, and its certificate.
fn quic_echo() -> (SocketAddr, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("tls 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .expect("a sound certificate");
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let config = QuicServerConfig::try_from(tls).expect("a quic suite");
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let endpoint = quinn::Endpoint::server(config, ([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = endpoint.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                while let Ok((mut write, mut read)) = connection.accept_bi().await {
                    tokio::spawn(async move { tokio::io::copy(&mut read, &mut write).await });
                }
            });
        }
    });
    (address, certified.cert.pem())
}

fn server(transport: crate::Transport, port: u16) -> ServerAddress {
    ServerAddress { transport, host: "localhost".to_owned(), port }
}

fn dialer(ca: &Path) -> QuicDialer {
    QuicDialer::new(Trust { ca_files: vec![ca.to_owned()], dev: false })
}

/// Sends `bytes` bytes through a stream and reads them back.
async fn echo(connection: &dyn Connection, bytes: usize) {
    let (mut read, mut write) = connection.open_stream().await.expect("a stream");
    let sent: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8).collect();
    let writing = async {
        write.write_all(&sent).await.expect("written");
        write.flush().await.expect("flushed");
    };
    let mut received = vec![0; bytes];
    let reading = async { read.read_exact(&mut received).await.expect("read") };
    tokio::join!(writing, reading);
    assert_eq!(sent, received);
}

#[tokio::test]
async fn quic_streams_carry_bytes_to_a_trusted_server() {
    let (address, pem) = quic_echo();
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, pem).expect("written");
    let dialer = dialer(&ca);
    let connection = dialer.connect(&server(crate::Transport::Quic, address.port())).await.expect("trusted");
    tokio::join!(echo(&*connection, 5), echo(&*connection, 3_000_000));
    assert!(!connection.is_closed());
    dialer.close().await;
    assert!(connection.is_closed());
    assert!(connection.open_stream().await.is_err());
}

#[tokio::test]
async fn quic_servers_that_are_not_trusted_are_denied() {
    let (address, _) = quic_echo();
    let (_, other) = quic_echo();
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, other).expect("written");
    let denied = dialer(&ca).connect(&server(crate::Transport::Quic, address.port())).await;
    let denied = denied.expect_err("another certificate");
    assert!(matches!(denied, Error::Denied(_)), "{denied}");
    assert!(denied.has_no_side_effects() && !denied.is_retriable());

    std::fs::write(&ca, "nothing").expect("written");
    let wrong = dialer(&ca).connect(&server(crate::Transport::Quic, address.port())).await;
    assert!(matches!(wrong, Err(Error::Usage(_))), "{wrong:?}");
}

#[tokio::test]
async fn tcp_streams_are_connections_of_their_own() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.into_split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    let server = server(crate::Transport::Tcp, address.port());
    let connection = TcpDialer.connect(&server).await.expect("somebody listens");
    tokio::join!(echo(&*connection, 5), echo(&*connection, 3_000_000));

    accepting.abort();
    let _ = accepting.await;
    let refused = tokio::time::timeout(Duration::from_secs(5), TcpDialer.connect(&server)).await;
    let refused = refused.expect("refused at once").expect_err("nobody listens");
    assert!(matches!(refused, Error::Unreachable(_)) && refused.is_retriable(), "{refused}");
}
