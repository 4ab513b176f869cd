//! Certificates and the rustls configuration for QUIC. Knows nothing of sockets.

/// File name of a generated certificate, in PEM.
pub const DEV_CERTIFICATE: &str = "dev-certificate.pem";

/// File name of a generated certificate's private key, in PEM.
pub const DEV_KEY: &str = "dev-key.pem";
