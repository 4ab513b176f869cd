//! Listeners: TCP and QUIC, both into the one connection loop. They know sockets and limits on connections, and
//! nothing of requests.

pub mod tls;
