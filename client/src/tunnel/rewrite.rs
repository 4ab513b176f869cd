//! The answers that name agents, and how other addresses are put into them: Metadata, FindCoordinator and
//! DescribeCluster. Produce and Fetch could name agents when a partition has moved, which it cannot here: every agent
//! takes every partition, so agents leave that out. Pure: no I/O.

use std::net::IpAddr;

use bytes::Bytes;
use ebb_protocol::{
    api::{Api, ApiKey},
    messages::{
        DescribeClusterRequest, FindCoordinatorRequest, MetadataRequest, Request, StrBytes, decode_response,
        encode_response,
    },
};

use crate::Error;

/// A request whose answer names agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    api: &'static Api,
    version: i16,
}

impl Question {
    /// `None` when the answer names no agent.
    pub(super) fn new(api_key: i16, version: i16) -> Option<Self> {
        let api = Api::find(api_key)?;
        let names = matches!(api.key, ApiKey::Metadata | ApiKey::DescribeCluster | ApiKey::FindCoordinator);
        names.then_some(Self { api, version })
    }
}

/// Where clients reach the agent that an answer names by host and port.
pub(super) type Local<'a> = &'a mut dyn FnMut(&str, u16) -> Result<(IpAddr, u16), Error>;

/// The answer's frame (without its length in, with it out) with every agent's address replaced by its local one.
///
/// # Errors
/// [`Error::Corrupt`] when the answer cannot be read or has a version that is not known here, and the errors of
/// `local`.
pub(super) fn rewrite(
    question: Question,
    correlation: i32,
    frame: &Bytes,
    local: Local<'_>,
) -> Result<Bytes, Error> {
    match question.api.key {
        ApiKey::Metadata => changed::<MetadataRequest>(question, correlation, frame, |response| {
            response.brokers.iter_mut().try_for_each(|b| replace(&mut b.host, &mut b.port, local))
        }),
        ApiKey::FindCoordinator => {
            changed::<FindCoordinatorRequest>(question, correlation, frame, |response| {
                // Up to version 3 the answer is one agent, later a list.
                replace(&mut response.host, &mut response.port, local)?;
                let mut found = response.coordinators.iter_mut();
                found.try_for_each(|c| replace(&mut c.host, &mut c.port, local))
            })
        }
        _ => changed::<DescribeClusterRequest>(question, correlation, frame, |response| {
            response.brokers.iter_mut().try_for_each(|b| replace(&mut b.host, &mut b.port, local))
        }),
    }
}

fn changed<R: Request>(
    question: Question,
    correlation: i32,
    frame: &Bytes,
    change: impl FnOnce(&mut R::Response) -> Result<(), Error>,
) -> Result<Bytes, Error> {
    let Question { api, version } = question;
    let corrupt = |error: &dyn std::fmt::Display| {
        Error::Corrupt(format!("the agent's answer to {} version {version}: {error}", api.key).into())
    };
    let mut response = decode_response::<R>(frame, version).map_err(|error| corrupt(&error))?;
    change(&mut response)?;
    encode_response::<R>(&response, version, correlation).map_err(|error| corrupt(&error))
}

/// An answer that names nobody, as with an error, has no host or no port; it stays so.
fn replace(host: &mut StrBytes, port: &mut i32, local: Local<'_>) -> Result<(), Error> {
    let Some(given) = u16::try_from(*port).ok().filter(|port| *port != 0 && !host.is_empty()) else {
        return Ok(());
    };
    let (local_host, local_port) = local(host, given)?;
    *host = StrBytes::from_string(local_host.to_string());
    *port = local_port.into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use ebb_protocol::{
        frame::{FRAME_LENGTH_BYTES, response_correlation_id},
        messages::{
            BrokerId, DescribeClusterResponse, FindCoordinatorResponse, MetadataResponse,
            describe_cluster_response::DescribeClusterBroker, find_coordinator_response::Coordinator,
            metadata_response::MetadataResponseBroker,
        },
    };

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn text(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    /// Rewrites the answer in every version: ports move up by 1000. Compares it with what is expected.
    fn check<R: Request>(response: impl Fn(i16) -> R::Response, expect: impl Fn(i16) -> R::Response)
    where
        R::Response: PartialEq,
    {
        let api = Api::find(R::KEY).expect("it is in the table");
        for version in api.min..=api.max {
            let frame = encode_response::<R>(&response(version), version, 7).expect("it fits");
            let question = Question::new(R::KEY, version).expect("it names agents");
            let mut local = |_: &str, port: u16| Ok((LOCAL, port + 1000));
            let rewritten = rewrite(question, 7, &frame.slice(FRAME_LENGTH_BYTES..), &mut local);
            let rewritten = rewritten.expect("it can be rewritten");
            let expected = encode_response::<R>(&expect(version), version, 7).expect("it fits");
            assert_eq!(rewritten, expected, "{} version {version}", api.key);
            assert_eq!(response_correlation_id(&rewritten.slice(FRAME_LENGTH_BYTES..)), Ok(7));
        }
    }

    #[test]
    fn metadata_names_local_addresses_in_every_version() {
        let response = |version: i16, host: &'static str, port| {
            let broker = |id, host, port| {
                let rack = (version >= 1).then(|| text("zone"));
                MetadataResponseBroker::default()
                    .with_node_id(BrokerId(id))
                    .with_host(host)
                    .with_port(port)
                    .with_rack(rack)
            };
            MetadataResponse::default()
                .with_brokers(vec![broker(1, text(host), port), broker(2, text(host), port + 1)])
                .with_controller_id(BrokerId(if version == 0 { -1 } else { 2 }))
                .with_cluster_id((version >= 2).then(|| text("cluster")))
        };
        check::<MetadataRequest>(|v| response(v, "agent.example", 9093), |v| response(v, "127.0.0.1", 10093));
    }

    #[test]
    fn clusters_name_local_addresses_in_every_version() {
        let response = |host: &'static str, port| {
            let broker = DescribeClusterBroker::default()
                .with_broker_id(BrokerId(1))
                .with_host(text(host))
                .with_port(port);
            DescribeClusterResponse::default().with_cluster_id(text("cluster")).with_brokers(vec![broker])
        };
        check::<DescribeClusterRequest>(|_| response("::1", 9093), |_| response("127.0.0.1", 10093));
    }

    #[test]
    fn coordinators_are_named_by_local_addresses_in_every_version() {
        let response = |version: i16, host: &'static str, port| {
            if version < 4 {
                return FindCoordinatorResponse::default()
                    .with_node_id(BrokerId(1))
                    .with_host(text(host))
                    .with_port(port);
            }
            let found = Coordinator::default().with_key(text("group")).with_node_id(BrokerId(1));
            let unknown = found.clone().with_error_code(15).with_port(-1);
            let found = found.with_host(text(host)).with_port(port);
            FindCoordinatorResponse::default().with_coordinators(vec![found, unknown])
        };
        check::<FindCoordinatorRequest>(
            |v| response(v, "agent.example", 9093),
            |v| response(v, "127.0.0.1", 10093),
        );
    }

    #[test]
    fn answers_that_name_nobody_stay_and_others_are_left_alone() {
        let broker = || MetadataResponseBroker::default().with_port(-1);
        let response = |_| MetadataResponse::default().with_brokers(vec![broker()]);
        let response = |version| response(version).with_controller_id(BrokerId(-1));
        check::<MetadataRequest>(response, response);
        assert_eq!(Question::new(ApiKey::Fetch.code(), 13), None);
        assert_eq!(Question::new(9999, 0), None);
    }

    #[test]
    fn answers_that_cannot_be_read_or_served_are_errors() {
        let question = |version| Question::new(ApiKey::Metadata.code(), version).expect("it names agents");
        let frame = Bytes::from_static(b"\x00\x00\x00\x07\x00\x00");
        let mut local = |_: &str, port| Ok((LOCAL, port));
        for version in [0, 12, 99] {
            let failed = rewrite(question(version), 7, &frame, &mut local).expect_err("it is cut short");
            assert!(matches!(failed, Error::Corrupt(_)), "{version}: {failed}");
        }
        let broker = MetadataResponseBroker::default().with_host(text("a")).with_port(1);
        let response = MetadataResponse::default().with_brokers(vec![broker]);
        let frame = encode_response::<MetadataRequest>(&response, 12, 7).expect("it fits");
        let mut local = |_: &str, _| Err(Error::Usage("no port".into()));
        let failed = rewrite(question(12), 7, &frame.slice(FRAME_LENGTH_BYTES..), &mut local);
        assert!(matches!(failed, Err(Error::Usage(_))), "{failed:?}");
    }
}
