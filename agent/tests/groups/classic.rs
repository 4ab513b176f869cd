//! A group of the classic protocol from the first member to the last: joining, assigning, rebalancing, leaving.

use bytes::Bytes;
use ebb_protocol::{
    error::ResponseError,
    messages::{
        DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
        ListGroupsRequest, SyncGroupRequest, describe_groups_response::DescribedGroup,
        join_group_request::JoinGroupRequestProtocol, leave_group_request::MemberIdentity,
        sync_group_request::SyncGroupRequestAssignment,
    },
};

use super::{
    commit, committed,
    common::{Connection, Fixture},
    fetched, group, text,
};

/// A subscription to topic `t` as consumers encode it (ConsumerProtocolSubscription, version 0).
const SUBSCRIPTION: &[u8] = &[0, 0, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff];

fn join(member: &str) -> JoinGroupRequest {
    let range = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(SUBSCRIPTION));
    JoinGroupRequest::default()
        .with_group_id(group("g"))
        .with_member_id(text(member))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![range])
}

/// Joins as consumers do: the first answer gives the member its id.
async fn first_join(client: &mut Connection) -> String {
    let answer = client.call(&join(""), 9).await;
    assert_eq!(answer.error_code, ResponseError::MemberIdRequired.code());
    assert!(answer.member_id.starts_with("test-"), "{}", answer.member_id);
    answer.member_id.to_string()
}

/// Brings what the leader assigns, or nothing, and gives the member's own assignment.
async fn sync(client: &mut Connection, joined: &JoinGroupResponse, given: &[(&str, &str)]) -> Bytes {
    let assignment = |(member, assigned): &(&str, &str)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::copy_from_slice(assigned.as_bytes()))
    };
    let request = SyncGroupRequest::default()
        .with_group_id(group("g"))
        .with_member_id(joined.member_id.clone())
        .with_generation_id(joined.generation_id)
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(given.iter().map(assignment).collect());
    let answer = client.call(&request, 5).await;
    assert_eq!(answer.error_code, 0);
    assert_eq!(answer.protocol_name.as_deref(), Some("range"));
    answer.assignment
}

async fn beat(client: &mut Connection, joined: &JoinGroupResponse) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group("g"))
        .with_member_id(joined.member_id.clone())
        .with_generation_id(joined.generation_id);
    client.call(&request, 4).await.error_code
}

async fn described(client: &mut Connection) -> DescribedGroup {
    let request = DescribeGroupsRequest::default().with_groups(vec![group("g")]);
    let found = client.call(&request, 6).await.groups.remove(0);
    assert_eq!(found.error_code, 0, "{:?}", found.error_message);
    found
}

#[tokio::test]
async fn two_members_share_rebalance_commit_and_leave() {
    let fixture = Fixture::start().await;
    let [mut client, mut other] = fixture.both().await;
    client.create_topic("t", 2, &[]).await;
    let first = first_join(&mut client).await;
    let alone = client.call(&join(&first), 9).await;
    assert_eq!((alone.error_code, &*alone.leader, alone.members.len()), (0, &*first, 1));
    assert_eq!(sync(&mut client, &alone, &[(&first, "both")]).await, "both");
    assert_eq!(beat(&mut client, &alone).await, 0);
    let found = described(&mut client).await;
    assert_eq!(
        (&*found.group_state, &*found.protocol_type, &*found.protocol_data),
        ("Stable", "consumer", "range")
    );
    assert_eq!(found.members[0].member_assignment, "both");
    assert_eq!(&*found.members[0].client_host, "/127.0.0.1");
    assert_eq!(found.members[0].member_metadata, SUBSCRIPTION);

    let second = first_join(&mut other).await;
    other.send(&join(&second), 9).await;
    while beat(&mut client, &alone).await != ResponseError::RebalanceInProgress.code() {
        tokio::task::yield_now().await;
    }
    let led = client.call(&join(&first), 9).await;
    let (_, joined) = other.receive::<JoinGroupRequest>(9).await;
    assert_eq!((led.error_code, joined.error_code), (0, 0));
    assert_eq!(led.generation_id, alone.generation_id + 1);
    assert_eq!((led.generation_id, led.members.len(), joined.members.len()), (joined.generation_id, 2, 0));
    assert_eq!(sync(&mut client, &led, &[(&first, "one"), (&second, "two")]).await, "one");
    assert_eq!(sync(&mut other, &joined, &[]).await, "two");

    let said = |member: &str, generation| {
        commit("g", "t", &[(0, 9)])
            .with_member_id(text(member))
            .with_generation_id_or_member_epoch(generation)
    };
    for (what, request, expect) in [
        ("an old generation", said(&first, alone.generation_id), ResponseError::IllegalGeneration.code()),
        ("a stranger", said("stranger", led.generation_id), ResponseError::UnknownMemberId.code()),
        ("nobody", said("", -1), ResponseError::UnknownMemberId.code()),
        ("a member", said(&second, led.generation_id), 0),
    ] {
        assert_eq!(committed(&mut client, &request, 8).await, [expect], "{what}");
    }
    for member in [&first, &second] {
        let member = MemberIdentity::default().with_member_id(text(member));
        let request = LeaveGroupRequest::default().with_group_id(group("g")).with_members(vec![member]);
        let left = client.call(&request, 5).await;
        assert_eq!((left.error_code, left.members[0].error_code), (0, 0));
    }
    assert_eq!(beat(&mut client, &led).await, ResponseError::UnknownMemberId.code());
    assert_eq!(&*described(&mut client).await.group_state, "Empty");
    assert_eq!(fetched(&mut client, "g", "t").await, 9);
    let listed = client.call(&ListGroupsRequest::default(), 5).await;
    assert_eq!((&*listed.groups[0].group_type, &*listed.groups[0].group_state), ("classic", "Empty"));
}

#[tokio::test]
async fn old_versions_join_at_once() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    for version in 0..4 {
        let request = if version == 0 { join("").with_rebalance_timeout_ms(-1) } else { join("") };
        let joined = client.call(&request, version).await;
        assert_eq!((joined.error_code, joined.members.len()), (0, 1), "version {version}");
        let request = LeaveGroupRequest::default().with_group_id(group("g")).with_member_id(joined.member_id);
        assert_eq!(client.call(&request, 1).await.error_code, 0, "version {version}");
    }
}
