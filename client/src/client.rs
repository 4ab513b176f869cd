//! The client: settings, and the connections and metadata that producers, consumers and admins share.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ebb_protocol::{clock::SharedClock, random::Random};

use crate::{Admin, Error, consumer::ConsumerBuilder, producer::ProducerBuilder, transport::Dialer};

/// A handle on a cluster. Clones share connections and metadata.
#[derive(Debug, Clone)]
pub struct Client {}

impl Client {
    /// A builder with the defaults: `quic://127.0.0.1:9093`, trusting this machine's development server.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        todo!()
    }

    /// A builder for a producer.
    #[must_use]
    pub fn producer(&self) -> ProducerBuilder {
        todo!()
    }

    /// A builder for a consumer.
    #[must_use]
    pub fn consumer(&self) -> ConsumerBuilder {
        todo!()
    }

    /// The administrative calls.
    #[must_use]
    pub fn admin(&self) -> Admin {
        todo!()
    }
}

/// Settings of a [`Client`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ClientBuilder {}

impl ClientBuilder {
    /// A server to start from: `quic://HOST:PORT` or `kafka://HOST:PORT`. May be given several times, with one
    /// transport; the first that answers is used, and the others of the cluster are learned from it.
    pub fn server(self, server: &str) -> Self {
        todo!("{server}")
    }

    /// A PEM file with certificates of authorities to trust, instead of the operating system's. May be repeated.
    pub fn ca(self, file: impl Into<PathBuf>) -> Self {
        todo!("{}", file.into().display())
    }

    /// Whether to trust the certificate that `ebb dev` on this machine left for its own address. On by default;
    /// it has no effect for addresses of other machines.
    pub fn trust_dev(self, trust: bool) -> Self {
        todo!("{trust}")
    }

    /// The name that servers see in their logs. Default: `ebbtide`.
    pub fn client_id(self, id: &str) -> Self {
        todo!("{id}")
    }

    /// How long opening a connection may take. Default: 10 s.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        todo!("{timeout:?}")
    }

    /// How long one request may go unanswered before its stream is given up. Default: 30 s.
    pub fn request_timeout(self, timeout: Duration) -> Self {
        todo!("{timeout:?}")
    }

    /// How long a call may take in all, with retries. Default: 60 s.
    pub fn call_timeout(self, timeout: Duration) -> Self {
        todo!("{timeout:?}")
    }

    /// How old cached metadata may grow before it is read again. Default: 5 min.
    pub fn metadata_age_max(self, age: Duration) -> Self {
        todo!("{age:?}")
    }

    /// Takes the wall clock from here, for tests.
    pub fn clock(self, clock: SharedClock) -> Self {
        let _ = clock;
        todo!()
    }

    /// Takes randomness from here, for tests.
    pub fn random(self, random: Random) -> Self {
        todo!("{random:?}")
    }

    /// Connects through this dialer, for tests and simulations.
    pub fn dialer(self, dialer: Arc<dyn Dialer>) -> Self {
        todo!("{dialer:?}")
    }

    /// Connects to the first server that answers.
    ///
    /// # Errors
    /// [`Error::Usage`] for a wrong setting, [`Error::Unreachable`] when no server answers, [`Error::Denied`] when
    /// the server's certificate is not trusted.
    #[expect(clippy::unused_async, reason = "the body follows")]
    pub async fn connect(self) -> Result<Client, Error> {
        todo!()
    }
}
