//! DescribeCluster, versions 0 to 2. Asked by admin clients and consoles.
//!
//! Deviations: there are no controllers to ask apart from brokers (endpoint type 2), and no fenced brokers.

use ebb_protocol::{
    error::ResponseError,
    messages::{
        DescribeClusterRequest, DescribeClusterResponse, StrBytes,
        describe_cluster_response::DescribeClusterBroker,
    },
};

use super::{Call, errors::Failure, placement::Placement};

/// The endpoint type of brokers (KIP-919).
const BROKERS: i8 = 1;

pub(super) async fn answer(call: Call, request: DescribeClusterRequest) -> DescribeClusterResponse {
    let response = DescribeClusterResponse::default().with_endpoint_type(request.endpoint_type);
    if request.endpoint_type != BROKERS {
        let failure = Failure::new(
            ResponseError::MismatchedEndpointType,
            "this is an endpoint of brokers; ask for endpoint type 1",
        );
        let code = call.refuse(&failure);
        return response.with_error_code(code).with_error_message(Some(failure.text()));
    }
    let (cluster, placement) = call
        .broker()
        .metastore()
        .read(|state| (state.cluster(), Placement::new(state, call.handlers.transport, call.handlers.agent)));
    let brokers = placement.brokers.iter().map(|broker| {
        DescribeClusterBroker::default()
            .with_broker_id(broker.id)
            .with_host(StrBytes::from_string(broker.endpoint.host.clone()))
            .with_port(broker.endpoint.port.into())
            .with_rack((!broker.zone.is_empty()).then(|| StrBytes::from_string(broker.zone.clone())))
    });
    response
        .with_cluster_id(StrBytes::from_string(cluster.map(|id| id.to_string()).unwrap_or_default()))
        .with_controller_id(placement.controller())
        .with_brokers(brokers.collect())
}
