//! Requests that do not hold, each with Kafka's code.

use ebb_agent::config::AgentConfig;
use ebb_protocol::{
    error::ResponseError,
    messages::{
        ConsumerGroupHeartbeatRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
        SyncGroupRequest, leave_group_request::MemberIdentity,
    },
};

use super::{
    commit, committed,
    common::Fixture,
    consumer::{beat, joins},
    group, text,
};

#[tokio::test]
async fn commits_that_do_not_hold_get_kafkas_codes() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let valid = || commit("g", "t", &[(0, 1)]);
    let long = "m".repeat(4_097);
    let mut wordy = valid();
    wordy.topics[0].partitions[0].committed_metadata = Some(text(&long));
    let unknown = ResponseError::UnknownTopicOrPartition;
    for (what, request, version, expect) in [
        ("an unknown topic", commit("g", "missing", &[(0, 1)]), 8, unknown),
        ("an unknown partition", commit("g", "t", &[(1, 1)]), 8, unknown),
        ("an invalid name", commit("g", "not/a/name", &[(0, 1)]), 8, unknown),
        ("too long metadata", wordy, 8, ResponseError::OffsetMetadataTooLarge),
        (
            "a generation of an unknown group",
            valid().with_generation_id_or_member_epoch(3).with_member_id(text("m")),
            8,
            ResponseError::IllegalGeneration,
        ),
        (
            "an epoch of an unknown group",
            valid().with_generation_id_or_member_epoch(3).with_member_id(text("m")),
            9,
            ResponseError::GroupIdNotFound,
        ),
    ] {
        assert_eq!(committed(&mut client, &request, version).await, [expect.code()], "{what}");
    }
    // One bad partition does not keep the others from being committed, and an empty group id is a group like others.
    assert_eq!(committed(&mut client, &commit("", "t", &[(0, 5), (7, 1)]), 8).await, [0, unknown.code()]);
    assert_eq!(super::fetched(&mut client, "", "t").await, 5);
}

#[tokio::test]
async fn members_of_consumer_groups_that_do_not_hold_get_kafkas_codes() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let joined = client.call(&joins("g", "member", "t"), 1).await;
    assert_eq!(joined.error_code, 0, "{:?}", joined.error_message);
    let epoch = joined.member_epoch;
    let request = |member: &str, epoch: i32| beat("g", member, epoch);
    for (what, request, expect) in [
        ("an empty group", joins("", "m", "t"), ResponseError::InvalidGroupId),
        ("an empty member", joins("g", "", "t"), ResponseError::InvalidRequest),
        ("an unknown member", request("stranger", 1), ResponseError::UnknownMemberId),
        ("an epoch to come", request("member", epoch + 7), ResponseError::FencedMemberEpoch),
        ("a member of an unknown group", beat("missing", "m", 1), ResponseError::GroupIdNotFound),
        (
            "an unknown assignor",
            joins("g", "other", "t").with_server_assignor(Some(text("lucky"))),
            ResponseError::UnsupportedAssignor,
        ),
        (
            "a regular expression that is none",
            joins("g", "other", "t").with_subscribed_topic_regex(Some(text("a(b"))),
            ResponseError::InvalidRegularExpression,
        ),
        (
            "no rebalance time-out",
            joins("g", "other", "t").with_rebalance_timeout_ms(-1),
            ResponseError::InvalidRequest,
        ),
    ] {
        let answer = client.call::<ConsumerGroupHeartbeatRequest>(&request, 1).await;
        assert_eq!(answer.error_code, expect.code(), "{what}: {:?}", answer.error_message);
        assert!(answer.error_message.is_some(), "{what}");
    }
    for (what, member, epoch, version, expect) in [
        ("nobody", "", -1, 9, ResponseError::UnknownMemberId),
        ("a stranger", "stranger", 1, 9, ResponseError::UnknownMemberId),
        ("a stale epoch", "member", epoch - 1, 9, ResponseError::StaleMemberEpoch),
        ("a stale epoch as a generation", "member", epoch - 1, 8, ResponseError::UnsupportedVersion),
    ] {
        let request = commit("g", "t", &[(0, 1)])
            .with_member_id(text(member))
            .with_generation_id_or_member_epoch(epoch);
        assert_eq!(committed(&mut client, &request, version).await, [expect.code()], "{what}");
    }
    let request =
        commit("g", "t", &[(0, 1)]).with_member_id(text("member")).with_generation_id_or_member_epoch(epoch);
    assert_eq!(committed(&mut client, &request, 9).await, [0]);
}

#[tokio::test]
async fn members_of_classic_groups_that_do_not_hold_get_kafkas_codes() {
    let fixture = Fixture::with(|_: &mut AgentConfig| {}).await;
    let mut client = fixture.tcp().await;
    let invalid = ResponseError::InvalidGroupId.code();
    let unknown = ResponseError::UnknownMemberId.code();
    for version in 0..=9 {
        let request = JoinGroupRequest::default().with_protocol_type(text("consumer"));
        assert_eq!(client.call(&request, version).await.error_code, invalid, "JoinGroup {version}");
    }
    for (name, expect) in [("", invalid), ("missing", unknown)] {
        let named = group(name);
        for version in 0..=5 {
            let request = SyncGroupRequest::default().with_group_id(named.clone()).with_member_id(text("m"));
            let request = match version {
                5 => {
                    request.with_protocol_name(Some(text("range"))).with_protocol_type(Some(text("consumer")))
                }
                _ => request,
            };
            assert_eq!(client.call(&request, version).await.error_code, expect, "SyncGroup {version}");
        }
        for version in 0..=4 {
            let request = HeartbeatRequest::default().with_group_id(named.clone()).with_member_id(text("m"));
            assert_eq!(client.call(&request, version).await.error_code, expect, "Heartbeat {version}");
        }
        for version in 0..=2 {
            let request = LeaveGroupRequest::default().with_group_id(named.clone()).with_member_id(text("m"));
            assert_eq!(client.call(&request, version).await.error_code, expect, "LeaveGroup {version}");
        }
        for version in 3..=5 {
            let member = MemberIdentity::default().with_member_id(text("m"));
            let request =
                LeaveGroupRequest::default().with_group_id(named.clone()).with_members(vec![member]);
            let response = client.call(&request, version).await;
            let code = response.members.first().map_or(response.error_code, |member| member.error_code);
            assert_eq!(code, expect, "LeaveGroup {version}");
        }
    }
}
