//! Who coordinates a group, and calls to that agent. The answer is kept until it proves wrong: groups move when agents
//! come and go.

use std::sync::Arc;

use ebb_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse, Request, StrBytes};

use crate::{
    Error, ErrorCode, ServerAddress,
    cluster::Cluster,
    rpc::{Effect, Link, Node},
};

/// How many groups' coordinators are kept. Beyond that all are forgotten and asked for anew.
const COORDINATORS_MAX: usize = 10_000;
/// The first version of FindCoordinator that asks for several.
const BATCHED_VERSION: i16 = 4;

impl Cluster {
    /// The agent that coordinates a group.
    pub(crate) async fn coordinator(&self, group: &str) -> Result<Arc<Node>, Error> {
        let known = self.coordinators.lock().get(group).cloned();
        if let Some(server) = known {
            return Ok(self.node(&server));
        }
        let link = self.any().await?;
        let what = format!("finding the coordinator of group {group:?}");
        let key = StrBytes::from_string(group.to_owned());
        let build = |version| {
            let request = FindCoordinatorRequest::default();
            if version >= BATCHED_VERSION {
                request.with_coordinator_keys(vec![key])
            } else {
                request.with_key(key)
            }
        };
        let answer: FindCoordinatorResponse = link.call(&what, build).await?;
        let (code, reason, host, port) = match answer.coordinators.first() {
            Some(found) => (found.error_code, &found.error_message, &found.host, found.port),
            None => (answer.error_code, &answer.error_message, &answer.host, answer.port),
        };
        if let Some(code) = ErrorCode::try_from_code(code) {
            return Err(Error::from_code(code, &what, reason.as_deref()));
        }
        let port = u16::try_from(port).map_err(|_| Error::Corrupt(format!("{what}: port {port}").into()))?;
        let server = ServerAddress { transport: self.transport(), host: host.to_string(), port };
        let mut coordinators = self.coordinators.lock();
        if coordinators.len() >= COORDINATORS_MAX {
            coordinators.clear();
        }
        coordinators.insert(group.into(), server.clone());
        drop(coordinators);
        Ok(self.node(&server))
    }

    /// A connection to the agent that coordinates a group.
    pub(crate) async fn coordinator_link(&self, group: &str, what: &str) -> Result<Arc<Link>, Error> {
        let coordinator = self.coordinator(group).await?;
        if coordinator.is_failing() && self.has_several() {
            // The others put it out soon, and then say who follows it.
            let text = format!("{what}: the coordinator {} does not answer", coordinator.server());
            return Err(Error::Unreachable(text.into()));
        }
        coordinator.link().await
    }

    /// After an error that another coordinator might not give, it is looked up anew.
    pub(crate) fn doubt_coordinator(&self, group: &str, error: &Error) {
        if error.is_retriable() {
            self.coordinators.lock().remove(group);
        }
    }

    /// Calls a group's coordinator once.
    pub(crate) async fn call_coordinator_once<R: Request, T>(
        &self,
        group: &str,
        what: &str,
        build: impl FnOnce(i16) -> R,
        judge: impl FnOnce(R::Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let called = async {
            let link = self.coordinator_link(group, what).await?;
            judge(link.call(what, build).await?)
        };
        called.await.inspect_err(|error| self.doubt_coordinator(group, error))
    }

    /// Calls a group's coordinator, again if that can help.
    pub(crate) async fn call_coordinator<R: Request, T>(
        &self,
        effect: Effect,
        group: &str,
        what: &str,
        build: impl Fn(i16) -> R,
        judge: impl Fn(R::Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.retry.run(effect, || self.call_coordinator_once(group, what, &build, &judge)).await
    }
}
