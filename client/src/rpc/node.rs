//! A node: one server of the cluster, its connection and the versions it speaks. Reconnects when it is needed again,
//! and not before a growing wait is over after failures.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ebb_protocol::{
    api::Api,
    messages::{ApiVersionsRequest, ApiVersionsResponse, Request, StrBytes},
    random::Random,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    Channel,
    pulse::{Health, Pulse},
    retry,
};
use crate::{
    Error, ErrorCode, ServerAddress,
    transport::{Connection, Dialer},
};

/// The version in which ApiVersions is asked. Every server of Kafka 2.4 or later knows it.
const API_VERSIONS_VERSION: i16 = 3;

/// What nodes share.
#[derive(Debug)]
pub(crate) struct NodeSettings {
    pub(crate) dialer: Arc<dyn Dialer>,
    pub(crate) random: Random,
    pub(crate) client_id: StrBytes,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
}

/// A live connection to a node.
#[derive(Debug)]
pub(crate) struct Link {
    connection: Arc<dyn Connection>,
    pulse: Arc<Pulse>,
    control: Channel,
    versions: BTreeMap<i16, (i16, i16)>,
    settings: Arc<NodeSettings>,
    server: ServerAddress,
}

/// One server.
#[derive(Debug)]
pub(crate) struct Node {
    server: ServerAddress,
    settings: Arc<NodeSettings>,
    slot: tokio::sync::Mutex<Slot>,
    pause: Mutex<Pause>,
    health: Arc<Health>,
}

/// The connection, or how the last attempt at one ended.
#[derive(Debug, Default)]
struct Slot {
    link: Option<Arc<Link>>,
    failed: Option<(Instant, Error)>,
}

/// The wait after failed connects.
#[derive(Default)]
struct Pause {
    delays: Option<Box<dyn Iterator<Item = Duration> + Send>>,
    until: Option<Instant>,
}

impl std::fmt::Debug for Pause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pause").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Node {
    pub(crate) fn new(server: ServerAddress, settings: Arc<NodeSettings>) -> Self {
        Self {
            server,
            settings,
            slot: tokio::sync::Mutex::default(),
            pause: Mutex::default(),
            health: Arc::default(),
        }
    }

    /// Where it is.
    pub(crate) fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// Whether it did not answer a short while ago: somebody else is a better choice.
    pub(crate) fn is_failing(&self) -> bool {
        self.health.is_poor()
    }

    /// The live connection, made now if there is none. All who ask while an attempt is made share it, also its failure:
    /// one after the other they would wait for a server that is gone as often as there are callers.
    pub(crate) async fn link(&self) -> Result<Arc<Link>, Error> {
        let asked_at = Instant::now();
        let mut slot = self.slot.lock().await;
        if let Some(link) = slot.link.as_ref().filter(|link| !link.is_closed()) {
            return Ok(link.clone());
        }
        slot.link = None;
        if let Some((_, error)) = slot.failed.as_ref().filter(|(at, _)| *at > asked_at) {
            return Err(error.clone());
        }
        let until = self.pause.lock().until;
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
        let timeout = self.settings.connect_timeout;
        let connecting = Link::connect(&self.server, &self.settings, self.health.clone());
        let result = tokio::time::timeout(timeout, connecting).await.unwrap_or_else(|_| {
            let text =
                format!("cannot connect to {} within {timeout:?}; check that the server runs", self.server);
            Err(Error::Unreachable(text.into()))
        });
        let mut pause = self.pause.lock();
        match result {
            Ok(link) => {
                *pause = Pause::default();
                self.health.recover();
                slot.failed = None;
                Ok(slot.link.insert(Arc::new(link)).clone())
            }
            Err(error) => {
                self.health.worsen();
                slot.failed = Some((Instant::now(), error.clone()));
                let delays =
                    pause.delays.get_or_insert_with(|| Box::new(retry::delays(&self.settings.random)));
                pause.until = delays.next().map(|delay| Instant::now() + delay);
                Err(error)
            }
        }
    }
}

impl Link {
    async fn connect(
        server: &ServerAddress,
        settings: &Arc<NodeSettings>,
        health: Arc<Health>,
    ) -> Result<Self, Error> {
        let connection = settings.dialer.connect(server).await?;
        let pulse = Arc::new(Pulse::new(connection.clone(), settings.client_id.clone(), health));
        let control = Channel::open(&connection, settings.client_id.clone(), Some(pulse.clone())).await?;
        let what = format!("asking {server} for its versions");
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("ebbtide"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let answer = control.call(&request, API_VERSIONS_VERSION, settings.request_timeout).await;
        // Nothing was changed there, so a lost answer is as good as no connection.
        let answer: ApiVersionsResponse =
            answer.map_err(|error| Error::Unreachable(error.into_error(&what).to_string().into()))?;
        if let Some(code) = ErrorCode::try_from_code(answer.error_code) {
            return Err(Error::from_code(code, &what, None));
        }
        let versions = answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        let versions = versions.collect();
        Ok(Self { connection, pulse, control, versions, settings: settings.clone(), server: server.clone() })
    }

    fn is_closed(&self) -> bool {
        self.connection.is_closed() || self.control.is_closed() || self.pulse.is_lost()
    }

    /// A channel of its own, on a new stream.
    pub(crate) async fn open_channel(&self) -> Result<Channel, Error> {
        Channel::open(&self.connection, self.settings.client_id.clone(), Some(self.pulse.clone())).await
    }

    /// The highest version of a request that both sides know.
    pub(crate) fn version<R: Request>(&self) -> Result<i16, Error> {
        let common = Api::find(R::KEY).and_then(|api| {
            let (min, max) = self.versions.get(&R::KEY)?;
            api.highest_common(*min, *max)
        });
        common.ok_or_else(|| {
            let name = Api::find(R::KEY).map_or_else(|| R::KEY.to_string(), |api| api.key.to_string());
            let message = format!("{} does not serve {name} in a version this client knows", self.server);
            Error::Rejected { message: message.into(), code: ErrorCode::UnsupportedVersion }
        })
    }

    /// Calls on the control channel. `build` makes the request for the version that both sides know.
    pub(crate) async fn call<R: Request>(
        &self,
        what: &str,
        build: impl FnOnce(i16) -> R,
    ) -> Result<R::Response, Error> {
        let version = self.version::<R>()?;
        let request = build(version);
        self.control
            .call(&request, version, self.settings.request_timeout)
            .await
            .map_err(|error| error.into_error(what))
    }
}
