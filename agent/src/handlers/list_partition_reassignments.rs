//! ListPartitionReassignments, version 0 (KIP-455). Tools ask for it to see which partitions are on the move.
//!
//! Deviation: none ever is, since a partition lies on no broker.

use ebb_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use super::Call;

pub(super) async fn answer(
    _call: Call,
    _request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
