//! `ebb group`: lists, describes and deletes groups, and sets where they go on reading.

use std::collections::BTreeMap;

use ebbtide::{
    Admin, Error, Isolation, Offset, PartitionIndex, Start,
    admin::{GroupDescription, GroupOffset, GroupProtocol, ListedGroup, OffsetSpec},
};
use serde::Serialize;

use crate::{args::GroupCommand, connect::with_client, consume, output, output::Failure};

pub(crate) async fn run(command: GroupCommand) -> Result<(), Failure> {
    with_client(command.connection(), async |client| perform(&client.admin(), &command).await).await
}

async fn perform(admin: &Admin, command: &GroupCommand) -> Result<(), Failure> {
    match command {
        GroupCommand::List { json, .. } => list(admin, *json).await,
        GroupCommand::Describe { group, json, .. } => describe(admin, group, *json).await,
        GroupCommand::ResetOffsets { group, topic, partition, to, dry_run, json, .. } => {
            let offsets = reset(admin, group, topic, partition, position(to)?, *dry_run).await?;
            if *json { output::json(&offsets) } else { table(&offsets) }
        }
        GroupCommand::Delete { group, .. } => {
            admin.delete_group(group).await.map_err(Failure::new)?;
            output::line(format_args!("deleted group {group}"))
        }
    }
}

async fn list(admin: &Admin, json: bool) -> Result<(), Failure> {
    let groups = admin.list_groups().await.map_err(Failure::new)?;
    if json {
        return output::json(&groups.iter().map(Listed::from).collect::<Vec<_>>());
    }
    for group in groups.iter().map(Listed::from) {
        output::line(format_args!("{}\t{}\t{}", group.group, group.protocol.unwrap_or("-"), group.state))?;
    }
    Ok(())
}

async fn describe(admin: &Admin, group: &str, json: bool) -> Result<(), Failure> {
    let described = admin.describe_group(group).await.map_err(Failure::new)?;
    let committed = admin.group_offsets(group).await.map_err(Failure::new)?;
    let ends = ends(admin, &committed).await?;
    let described = Described::new(described, &committed, &ends);
    if json {
        return output::json(&described);
    }
    output::line(format_args!("group\t{}\nprotocol\t{}", described.group, described.protocol))?;
    output::line(format_args!("state\t{}\nassignor\t{}", described.state, described.assignor))?;
    output::line("member\tclient\thost\tpartitions")?;
    for member in &described.members {
        let partitions: Vec<String> =
            member.partitions.iter().map(|place| format!("{}:{}", place.topic, place.partition)).collect();
        let Member { member, client, host, .. } = member;
        output::line(format_args!("{member}\t{client}\t{host}\t{}", partitions.join(" ")))?;
    }
    output::line("topic\tpartition\toffset\tend\tlag")?;
    for Committed { topic, partition, offset, end, lag } in &described.offsets {
        let text = |number: &Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        output::line(format_args!("{topic}\t{partition}\t{offset}\t{}\t{}", text(end), text(lag)))?;
    }
    Ok(())
}

/// The ends of the partitions that a group has offsets of, as far as their topics still exist.
async fn ends(
    admin: &Admin,
    committed: &[GroupOffset],
) -> Result<BTreeMap<(String, PartitionIndex), Offset>, Failure> {
    let mut topics = BTreeMap::<&str, Vec<PartitionIndex>>::new();
    for offset in committed {
        topics.entry(&offset.topic).or_default().push(offset.partition);
    }
    let mut ends = BTreeMap::new();
    for (topic, partitions) in topics {
        let isolation = Isolation::ReadUncommitted;
        match admin.list_offsets(topic, &partitions, OffsetSpec::Latest, isolation).await {
            Ok(listed) => ends.extend(
                listed
                    .iter()
                    .filter_map(|listed| Some(((topic.to_owned(), listed.partition), listed.offset?))),
            ),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(Failure::new(error)),
        }
    }
    Ok(ends)
}

fn position(text: &str) -> Result<Start, Failure> {
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        _ => consume::start(text).map_err(|_| {
            Failure::new(format!(
                "{text:?} is no position: use earliest, latest, an offset, or 2026-01-31T12:00:00Z"
            ))
        }),
    }
}

/// Sets a group's offsets and answers them. An offset outside the log becomes its nearest end.
async fn reset(
    admin: &Admin,
    group: &str,
    topic: &str,
    partitions: &[i32],
    to: Start,
    dry_run: bool,
) -> Result<Vec<Reset>, Failure> {
    let partitions: Vec<PartitionIndex> = if partitions.is_empty() {
        let described = admin.describe_topic(topic).await.map_err(Failure::new)?;
        described.partitions.iter().map(|partition| partition.index).collect()
    } else {
        partitions.iter().copied().map(PartitionIndex).collect()
    };
    let look = |spec| admin.list_offsets(topic, &partitions, spec, Isolation::ReadUncommitted);
    let starts = look(OffsetSpec::Earliest).await.map_err(Failure::new)?;
    let ends = look(OffsetSpec::Latest).await.map_err(Failure::new)?;
    let wanted: Vec<Option<Offset>> = match to {
        Start::Earliest => starts.iter().map(|listed| listed.offset).collect(),
        Start::Latest => ends.iter().map(|listed| listed.offset).collect(),
        Start::Offset(offset) => vec![Some(offset); partitions.len()],
        Start::Timestamp(time) => {
            let found = look(OffsetSpec::Timestamp(time)).await.map_err(Failure::new)?;
            found.iter().map(|listed| listed.offset).collect()
        }
    };
    let mut offsets = Vec::new();
    for ((partition, wanted), (start, end)) in partitions.iter().zip(wanted).zip(starts.iter().zip(&ends)) {
        let (start, end) = (start.offset.unwrap_or_default(), end.offset.unwrap_or_default());
        // No record is as late as that: go on with the next one.
        let offset = wanted.unwrap_or(end).max(start).min(end);
        offsets.push((topic.to_owned(), *partition, offset));
    }
    if !dry_run {
        admin.alter_group_offsets(group, &offsets).await.map_err(Failure::new)?;
    }
    let reset = |(topic, partition, offset): (String, PartitionIndex, Offset)| Reset {
        topic,
        partition: partition.0,
        offset: offset.0,
    };
    Ok(offsets.into_iter().map(reset).collect())
}

fn table(offsets: &[Reset]) -> Result<(), Failure> {
    output::line("topic\tpartition\toffset")?;
    for Reset { topic, partition, offset } in offsets {
        output::line(format_args!("{topic}\t{partition}\t{offset}"))?;
    }
    Ok(())
}

fn protocol_name(protocol: GroupProtocol) -> &'static str {
    match protocol {
        GroupProtocol::Classic => "classic",
        GroupProtocol::Consumer => "consumer",
    }
}

/// A group in a listing.
#[derive(Serialize)]
struct Listed {
    group: String,
    protocol: Option<&'static str>,
    state: String,
}

impl From<&ListedGroup> for Listed {
    fn from(group: &ListedGroup) -> Self {
        let protocol = group.protocol.map(protocol_name);
        Self { group: group.id.clone(), protocol, state: group.state.clone() }
    }
}

/// A group in full.
#[derive(Serialize)]
struct Described {
    group: String,
    protocol: &'static str,
    state: String,
    assignor: String,
    members: Vec<Member>,
    offsets: Vec<Committed>,
}

/// A member of a group.
#[derive(Serialize)]
struct Member {
    member: String,
    instance: Option<String>,
    rack: Option<String>,
    client: String,
    host: String,
    partitions: Vec<Place>,
}

/// A partition of a topic.
#[derive(Serialize)]
struct Place {
    topic: String,
    partition: i32,
}

/// What a group has committed for a partition, and how far that is from the end.
#[derive(Serialize)]
struct Committed {
    topic: String,
    partition: i32,
    offset: i64,
    end: Option<i64>,
    lag: Option<i64>,
}

/// Where a group will go on.
#[derive(Serialize)]
struct Reset {
    topic: String,
    partition: i32,
    offset: i64,
}

impl Described {
    fn new(
        group: GroupDescription,
        committed: &[GroupOffset],
        ends: &BTreeMap<(String, PartitionIndex), Offset>,
    ) -> Self {
        let place = |(topic, partition): (String, PartitionIndex)| Place { topic, partition: partition.0 };
        let members = group.members.into_iter().map(|member| Member {
            member: member.id,
            instance: member.instance_id,
            rack: member.rack,
            client: member.client_id,
            host: member.client_host,
            partitions: member.assignment.into_iter().map(place).collect(),
        });
        let offsets = committed.iter().map(|committed| {
            let end = ends.get(&(committed.topic.clone(), committed.partition)).map(|end| end.0);
            Committed {
                topic: committed.topic.clone(),
                partition: committed.partition.0,
                offset: committed.offset.0,
                end,
                lag: end.map(|end| end.saturating_sub(committed.offset.0).max(0)),
            }
        });
        Self {
            group: group.id,
            protocol: protocol_name(group.protocol),
            state: group.state,
            assignor: group.assignor,
            members: members.collect(),
            offsets: offsets.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_word_an_offset_or_a_time() {
        assert_eq!(position("earliest").expect("a word"), Start::Earliest);
        assert_eq!(position("latest").expect("a word"), Start::Latest);
        assert_eq!(position("7").expect("an offset"), Start::Offset(Offset(7)));
        for wrong in ["sometime", "-7", ""] {
            let refused = position(wrong).expect_err(wrong).to_string();
            assert!(refused.contains("earliest"), "{refused}");
        }
    }
}
