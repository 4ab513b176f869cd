//! ConsumerGroupDescribe, versions 0 and 1: groups of KIP-848 with their members and assignments. Asked by tools, which
//! ask DescribeGroups when the group is not one of KIP-848. One that is named twice is answered once. Authorized
//! operations are not told.

use ebb_coordinator::{
    Description,
    consumer::{ConsumerDescription, ConsumerState},
};
use ebb_metastore::{
    command::{ConsumerMember, Partitions},
    state::State,
};
use ebb_protocol::{
    error::ResponseError,
    ids::MemberId,
    messages::{
        ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName,
        consumer_group_describe_response::{Assignment, DescribedGroup, Member, TopicPartitions},
    },
};
use tokio::task::coop::consume_budget;

use super::{
    Call,
    errors::Failure,
    groups::{Room, each_once, group_id, indices, text},
};

/// Members tell their protocol from this version on.
const MEMBER_TYPES: i16 = 1;

/// What an assigned topic takes in the answer besides its partitions: its id and a name of common length.
const TOPIC_BYTES: usize = 64;

/// A member that speaks the classic protocol, and one of KIP-848.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

pub(super) async fn answer(
    call: Call,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let looked = call.handlers.groups.look_at_tail().await;
    let mut room = Room::new();
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for group in each_once(request.group_ids, |group| group) {
        consume_budget().await;
        let found = looked.clone().map_err(Failure::from).and_then(|()| find(&call, &group, &mut room));
        groups.push(match found {
            Ok(found) => describe(&call, group, found),
            Err(failure) => DescribedGroup::default()
                .with_group_id(group)
                .with_error_code(call.refuse(&failure))
                .with_error_message(Some(failure.text())),
        });
    }
    ConsumerGroupDescribeResponse::default().with_groups(groups)
}

fn find(call: &Call, group: &GroupId, room: &mut Room) -> Result<ConsumerDescription, Failure> {
    room.take(0)?;
    match call.handlers.groups.describe(&group_id(group))? {
        Some(Description::Consumer(found)) => {
            room.take(found.members.iter().map(|(id, member)| bytes(id, member)).sum())?;
            Ok(found)
        }
        Some(_) => {
            let message = format!("group {} is not one of KIP-848", group.0);
            Err(Failure::new(ResponseError::GroupIdNotFound, message))
        }
        None => Err(ebb_coordinator::GroupError::UnknownGroup.into()),
    }
}

/// Bytes of a member in the answer, about: both assignments name their topics.
fn bytes(id: &MemberId, member: &ConsumerMember) -> usize {
    let names: usize = member.topics.iter().map(|topic| topic.len()).sum();
    let topic = |partitions: &Vec<_>| TOPIC_BYTES + 4 * partitions.len();
    let assigned: usize = member.assigned.values().chain(member.target.values()).map(topic).sum();
    let regex = member.regex.as_ref().map_or(0, |regex| regex.len());
    id.as_str().len() + member.client_id.len() + names + regex + assigned
}

fn describe(call: &Call, group: GroupId, found: ConsumerDescription) -> DescribedGroup {
    let members = call.broker().metastore().read(|state| {
        found.members.iter().map(|(id, member)| describe_member(state, call.version, id, member)).collect()
    });
    DescribedGroup::default()
        .with_group_id(group)
        .with_group_state(text(state_name(found.state)))
        .with_group_epoch(found.epoch)
        .with_assignment_epoch(found.assignment_epoch)
        .with_assignor_name(text(found.assignor))
        .with_members(members)
}

/// Kafka's name of a state.
pub(super) fn state_name(state: ConsumerState) -> &'static str {
    match state {
        ConsumerState::Empty => "Empty",
        ConsumerState::Assigning => "Assigning",
        ConsumerState::Reconciling => "Reconciling",
        ConsumerState::Stable => "Stable",
    }
}

fn describe_member(state: &State, version: i16, id: &MemberId, member: &ConsumerMember) -> Member {
    let topics = member.topics.iter().map(|topic| TopicName(text(&**topic)));
    let described = Member::default()
        .with_member_id(text(id.as_str()))
        .with_instance_id(member.instance.as_deref().map(text))
        .with_rack_id(member.rack.as_deref().map(text))
        .with_member_epoch(member.epoch)
        .with_client_id(text(&*member.client_id))
        .with_client_host(text(&*member.client_host))
        .with_subscribed_topic_names(topics.collect())
        .with_subscribed_topic_regex(member.regex.as_deref().map(text))
        .with_assignment(assignment(state, &member.assigned))
        .with_target_assignment(assignment(state, &member.target));
    match (version >= MEMBER_TYPES, &member.classic) {
        (true, Some(_)) => described.with_member_type(CLASSIC_MEMBER),
        (true, None) => described.with_member_type(CONSUMER_MEMBER),
        (false, _) => described,
    }
}

/// Partitions with the names of their topics; topics that are gone are left out.
fn assignment(state: &State, partitions: &Partitions) -> Assignment {
    let topics = partitions.iter().filter_map(|(topic, partitions)| {
        let name = TopicName(text(state.topic_name(*topic)?.as_str()));
        let topic = TopicPartitions::default().with_topic_id(topic.0).with_topic_name(name);
        Some(topic.with_partitions(indices(partitions)))
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
