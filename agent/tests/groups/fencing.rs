//! Members that are not who they say they are, or not any more: each with Kafka's code, in both protocols. And topics
//! that go, and leaders that never assign.

use bytes::Bytes;
use ebb_protocol::{
    error::ResponseError,
    messages::{
        DeleteTopicsRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
        SyncGroupRequest, join_group_request::JoinGroupRequestProtocol, leave_group_request::MemberIdentity,
        sync_group_request::SyncGroupRequestAssignment,
    },
};

use super::{
    commit, committed,
    common::{Connection, Fixture, topic_name},
    consumer::{beat, joins},
    fetched, group, text,
};

/// Who a request says that it comes from.
#[derive(Clone, Copy)]
struct Said<'a> {
    member: &'a str,
    instance: Option<&'a str>,
    generation: i32,
}

fn join(member: &str, instance: Option<&str>, rebalance_timeout_ms: i32) -> JoinGroupRequest {
    let range = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"metadata"));
    JoinGroupRequest::default()
        .with_group_id(group("g"))
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(rebalance_timeout_ms)
        .with_protocol_type(text("opaque"))
        .with_protocols(vec![range])
}

fn sync(said: Said<'_>, given: &[&str]) -> SyncGroupRequest {
    let assignment = |member: &&str| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::from_static(b"all"))
    };
    SyncGroupRequest::default()
        .with_group_id(group("g"))
        .with_member_id(text(said.member))
        .with_group_instance_id(said.instance.map(text))
        .with_generation_id(said.generation)
        .with_assignments(given.iter().map(assignment).collect())
}

fn heartbeat(said: Said<'_>) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group("g"))
        .with_member_id(text(said.member))
        .with_group_instance_id(said.instance.map(text))
        .with_generation_id(said.generation)
}

/// The codes of a Heartbeat, a SyncGroup and an OffsetCommit that say so.
async fn codes(client: &mut Connection, said: Said<'_>) -> [i16; 3] {
    let beat = client.call(&heartbeat(said), 4).await.error_code;
    let sync = client.call(&sync(said, &[]), 4).await.error_code;
    let request = commit("g", "t", &[(0, 1)])
        .with_member_id(text(said.member))
        .with_group_instance_id(said.instance.map(text))
        .with_generation_id_or_member_epoch(said.generation);
    [beat, sync, committed(client, &request, 8).await[0]]
}

#[tokio::test]
async fn classic_members_are_told_apart() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let joined = client.call(&join("", Some("i"), 10_000), 9).await;
    assert_eq!(joined.error_code, 0);
    let (old, generation) = (joined.member_id.to_string(), joined.generation_id);
    let first = Said { member: &old, instance: Some("i"), generation };
    assert_eq!(client.call(&sync(first, &[&old]), 4).await.assignment, "all");

    // The static member comes back under the same instance id.
    let again = client.call(&join("", Some("i"), 10_000), 9).await;
    assert_eq!((again.error_code, again.generation_id), (0, generation), "it does not rebalance the group");
    let new = again.member_id.to_string();
    assert_ne!(new, old);
    let member = Said { member: &new, instance: Some("i"), generation };
    assert_eq!(codes(&mut client, member).await, [0; 3]);
    for (what, said, expect) in [
        ("replaced", first, ResponseError::FencedInstanceId),
        ("unknown", Said { member: "stranger", instance: None, generation }, ResponseError::UnknownMemberId),
        ("unknown instance", Said { instance: Some("j"), ..member }, ResponseError::UnknownMemberId),
        ("replaced, without instance", Said { instance: None, ..first }, ResponseError::UnknownMemberId),
        ("behind", Said { generation: generation - 1, ..member }, ResponseError::IllegalGeneration),
        ("ahead", Said { generation: generation + 1, ..member }, ResponseError::IllegalGeneration),
    ] {
        assert_eq!(codes(&mut client, said).await, [expect.code(); 3], "{what}");
    }
    let leaving =
        MemberIdentity::default().with_member_id(text(&old)).with_group_instance_id(Some(text("i")));
    let request = LeaveGroupRequest::default().with_group_id(group("g")).with_members(vec![leaving]);
    let left = client.call(&request, 5).await;
    assert_eq!(left.members[0].error_code, ResponseError::FencedInstanceId.code());
    assert_eq!(codes(&mut client, member).await, [0; 3], "it is still there");

    // Kafka does not look at the offset itself either.
    let negative = commit("g", "t", &[(0, -7)])
        .with_member_id(text(&new))
        .with_group_instance_id(Some(text("i")))
        .with_generation_id_or_member_epoch(generation);
    assert_eq!(committed(&mut client, &negative, 8).await, [0]);
    assert_eq!(fetched(&mut client, "g", "t").await, -7);
}

#[tokio::test]
async fn a_leader_that_never_assigns_is_replaced() {
    let fixture = Fixture::start().await;
    let [mut client, mut other] = fixture.both().await;
    client.send(&join("", None, 1_000), 3).await;
    other.send(&join("", None, 1_000), 3).await;
    let (_, first): (_, JoinGroupResponse) = client.receive::<JoinGroupRequest>(3).await;
    let (_, second) = other.receive::<JoinGroupRequest>(3).await;
    assert_eq!((first.error_code, second.error_code), (0, 0));
    assert_eq!((&first.leader, first.generation_id), (&second.leader, second.generation_id));
    let leads = first.leader == first.member_id;
    let (leader, mut follower, followed) =
        if leads { (first, other, second) } else { (second, client, first) };
    let said = Said { member: &followed.member_id, instance: None, generation: followed.generation_id };
    let waited = follower.call(&sync(said, &[]), 4).await;
    assert_eq!(waited.error_code, ResponseError::RebalanceInProgress.code());
    let alone = follower.call(&join(&followed.member_id, None, 1_000), 9).await;
    assert_eq!((alone.error_code, &alone.leader, alone.members.len()), (0, &followed.member_id, 1));
    let gone = Said { member: &leader.member_id, instance: None, generation: leader.generation_id };
    let expect = ResponseError::UnknownMemberId.code();
    assert_eq!(follower.call(&heartbeat(gone), 4).await.error_code, expect);
}

#[tokio::test]
async fn members_that_wait_do_not_keep_others_from_being_heard() {
    let fixture = Fixture::with(|config| {
        config.limits.frame_bytes_max = 4 << 10;
        config.limits.requests_bytes_max = 4 << 10;
    })
    .await;
    let mut client = fixture.tcp().await;
    let joined = client.call(&join("", None, 10_000), 3).await;
    assert_eq!(joined.error_code, 0);
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let mut other = fixture.tcp().await;
        let mut request = join("", None, 10_000);
        request.protocols[0].metadata = Bytes::from(vec![7; 1_000]);
        other.send(&request, 3).await;
        waiting.push(other);
    }
    let said = Said { member: &joined.member_id, instance: None, generation: joined.generation_id };
    let expect = ResponseError::RebalanceInProgress.code();
    while client.call(&heartbeat(said), 4).await.error_code != expect {
        tokio::task::yield_now().await;
    }
    let mut newcomer = fixture.tcp().await;
    assert_eq!(newcomer.call(&heartbeat(said), 4).await.error_code, expect);
    let led = client.call(&join(&joined.member_id, None, 10_000), 3).await;
    assert_eq!((led.error_code, &led.leader), (0, &joined.member_id));
}

#[tokio::test]
async fn consumers_are_told_apart() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 1, &[]).await;
    let instance = || Some(text("i"));
    let joined = client.call(&joins("g", "a", "t").with_instance_id(instance()), 1).await;
    assert_eq!(joined.error_code, 0, "{:?}", joined.error_message);
    let second = joins("g", "b", "t").with_instance_id(instance());
    let unreleased = ResponseError::UnreleasedInstanceId.code();
    assert_eq!(client.call(&second, 1).await.error_code, unreleased);
    assert_eq!(client.call(&beat("g", "a", -2).with_instance_id(instance()), 1).await.error_code, 0);
    let taken = client.call(&second, 1).await;
    assert_eq!(taken.error_code, 0, "{:?}", taken.error_message);
    let epoch = taken.member_epoch;
    let hostile = |regex: &str| joins("g", "c", "t").with_subscribed_topic_regex(Some(text(regex)));
    let invalid = ResponseError::InvalidRegularExpression;
    for (what, request, expect) in [
        ("replaced", beat("g", "a", epoch).with_instance_id(instance()), ResponseError::FencedInstanceId),
        ("unknown", beat("g", "stranger", epoch), ResponseError::UnknownMemberId),
        ("ahead", beat("g", "b", epoch + 1).with_instance_id(instance()), ResponseError::FencedMemberEpoch),
        ("an expression that is huge", hostile("((a{1000}){1000}){1000}"), invalid),
        ("an expression that looks back", hostile(r"(a)\1"), invalid),
    ] {
        let answer = client.call(&request, 1).await;
        assert_eq!(answer.error_code, expect.code(), "{what}: {:?}", answer.error_message);
    }
    for (what, member, said, expect) in [
        ("replaced", "a", epoch, ResponseError::UnknownMemberId.code()),
        ("ahead", "b", epoch + 1, ResponseError::StaleMemberEpoch.code()),
        ("a member", "b", epoch, 0),
    ] {
        let request =
            commit("g", "t", &[(0, 1)]).with_member_id(text(member)).with_generation_id_or_member_epoch(said);
        assert_eq!(committed(&mut client, &request, 9).await, [expect], "{what}");
    }
}

#[tokio::test]
async fn a_subscription_outlives_its_topic() {
    let fixture = Fixture::start().await;
    let mut client = fixture.tcp().await;
    client.create_topic("t", 2, &[]).await;
    let joined = client.call(&joins("g", "m", "t"), 1).await;
    let owned = joined.assignment.expect("it gets its partitions").topic_partitions;
    assert_eq!((joined.error_code, owned.len()), (0, 1));
    let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("t")]);
    assert_eq!(client.call(&request, 5).await.responses[0].error_code, 0);
    let mut epoch = joined.member_epoch;
    let left = loop {
        let answer = client.call(&beat("g", "m", epoch), 1).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        epoch = answer.member_epoch;
        if let Some(assignment) = answer.assignment {
            break assignment.topic_partitions;
        }
    };
    assert!(left.is_empty(), "{left:?}");
    let said =
        commit("g", "t", &[(0, 1)]).with_member_id(text("m")).with_generation_id_or_member_epoch(epoch);
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    assert_eq!(committed(&mut client, &said, 9).await, [unknown]);
    client.create_topic("t", 1, &[]).await;
    let back = loop {
        let answer = client.call(&beat("g", "m", epoch).with_topic_partitions(Some(Vec::new())), 1).await;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        epoch = answer.member_epoch;
        if let Some(assignment) = answer.assignment.filter(|it| !it.topic_partitions.is_empty()) {
            break assignment.topic_partitions;
        }
    };
    assert_ne!(back[0].topic_id, owned[0].topic_id, "the new topic is another one");
}
