//! The conformance suite of commit logs: plain functions that every engine must pass. Each takes an empty log and
//! panics when the engine breaks the contract. Knows no engine.

use std::sync::Arc;

use bytes::Bytes;
use ebb_protocol::ids::{AgentEpoch, AgentId, EntryId, LogPosition, Timestamp};
use futures::future::join_all;

use super::{AppendError, CommitLog, EntryBytes};
use crate::entry::Entry;

const UP: &str = "the engine answers";

/// An entry with the given id, for tests of engines; the body is left out where the engine takes none.
#[must_use]
pub fn entry(id: u64, body: &'static [u8]) -> EntryBytes {
    let entry = Entry {
        id: EntryId(u128::from(id) + 1),
        agent: AgentId(1),
        epoch: AgentEpoch(0),
        number: id,
        time: Timestamp(0),
        hash: None,
        commands: Vec::new(),
    };
    let body: Vec<Bytes> = if body.is_empty() { Vec::new() } else { vec![Bytes::from_static(body)] };
    EntryBytes { id: entry.id, head: entry.encode(body.iter().map(|piece| piece.len() as u64).sum()), body }
}

/// Runs the whole suite; `fresh` makes an empty log each time it is called.
pub async fn run_all(fresh: impl AsyncFn() -> Arc<dyn CommitLog>) {
    reads_what_was_appended(fresh().await).await;
    carries_bodies(fresh().await).await;
    refuses_a_taken_position(fresh().await).await;
    recognises_an_entry_by_its_id(fresh().await).await;
    has_one_winner_a_position(fresh().await).await;
    takes_appends_out_of_order(fresh().await).await;
    finds_the_tail(fresh().await).await;
    truncates_all_but_what_is_kept(fresh().await).await;
}

/// An acknowledged append is seen by every read that starts after it, and the tail reads as nothing.
pub async fn reads_what_was_appended(log: Arc<dyn CommitLog>) {
    for position in (0..20).map(LogPosition) {
        assert_eq!(log.read(position).await.expect(UP), None, "nothing stands at the tail");
        let entry = entry(position.0, b"");
        log.append(position, &entry).await.expect("the position is free");
        assert_eq!(log.read(position).await.expect(UP), Some(entry.head), "position {position}");
    }
}

/// A body follows its head in the entry's object, whatever pieces it came in.
pub async fn carries_bodies(log: Arc<dyn CommitLog>) {
    if log.object(LogPosition(0)).is_none() {
        return;
    }
    let mut entry = entry(0, b"first piece, ");
    entry.body.push(Bytes::from_static(b"second piece"));
    log.append(LogPosition(0), &entry).await.expect("the position is free");
    let stands = log.read(LogPosition(0)).await.expect(UP).expect("it was appended");
    assert!(stands.starts_with(&entry.head));
    assert_eq!(&stands[entry.head.len()..], b"first piece, second piece");
    assert_ne!(log.object(LogPosition(0)), log.object(LogPosition(1)), "each entry has its own object");
}

/// A position holds its first entry for ever.
pub async fn refuses_a_taken_position(log: Arc<dyn CommitLog>) {
    let position = LogPosition(0);
    log.append(position, &entry(1, b"")).await.expect("the position is free");
    assert_eq!(log.append(position, &entry(2, b"")).await, Err(AppendError::Taken(position)));
    assert_eq!(log.read(position).await.expect(UP), Some(entry(1, b"").head), "the first one stays");
}

/// Appending the same entry at the same position again is answered as the first time.
pub async fn recognises_an_entry_by_its_id(log: Arc<dyn CommitLog>) {
    let position = LogPosition(0);
    for _ in 0..3 {
        log.append(position, &entry(1, b"")).await.expect("it is the same entry");
    }
    assert_eq!(log.tail(position).await.expect(UP), position.next(), "it stands there once");
}

/// Of racing appends to one position exactly one wins, and its entry is the one that stands there.
pub async fn has_one_winner_a_position(log: Arc<dyn CommitLog>) {
    for round in 0..8_u64 {
        let position = LogPosition(round);
        let entries: Vec<_> = (0..8).map(|racer| entry(round * 8 + racer, b"")).collect();
        let answers = join_all(entries.iter().map(|entry| log.append(position, entry))).await;
        let mut winners = Vec::new();
        for (entry, answer) in entries.iter().zip(answers) {
            match answer {
                Ok(()) => winners.push(entry.head.clone()),
                Err(error) => assert_eq!(error, AppendError::Taken(position)),
            }
        }
        let stands = log.read(position).await.expect(UP).expect("somebody won");
        assert_eq!(winners, [stands], "position {position}");
    }
}

/// Appends to several positions may be in flight at once and land in any order.
pub async fn takes_appends_out_of_order(log: Arc<dyn CommitLog>) {
    log.append(LogPosition(1), &entry(1, b"")).await.expect("the position is free");
    assert_eq!(log.read(LogPosition(0)).await.expect(UP), None, "the gap reads as nothing");
    assert_eq!(log.tail(LogPosition(0)).await.expect(UP), LogPosition(0), "the gap is the tail");
    log.append(LogPosition(0), &entry(0, b"")).await.expect("the gap can be filled");
    assert_eq!(log.tail(LogPosition(0)).await.expect(UP), LogPosition(2));
}

/// The tail is found over short and long distances, and from the tail itself.
pub async fn finds_the_tail(log: Arc<dyn CommitLog>) {
    assert_eq!(log.tail(LogPosition(0)).await.expect(UP), LogPosition(0));
    for position in 0..30 {
        log.append(LogPosition(position), &entry(position, b"")).await.expect("the position is free");
        for from in [0, position / 2, position, position + 1] {
            let tail = log.tail(LogPosition(from)).await.expect(UP);
            assert_eq!(tail, LogPosition(position + 1), "from {from}");
        }
    }
}

/// Dropped entries are gone, kept ones and those at and above the boundary stay; dropping twice is harmless.
pub async fn truncates_all_but_what_is_kept(log: Arc<dyn CommitLog>) {
    for position in 0..10 {
        log.append(LogPosition(position), &entry(position, b"")).await.expect("the position is free");
    }
    for _ in 0..2 {
        log.truncate(LogPosition(7), &[LogPosition(2), LogPosition(5)]).await.expect(UP);
        for position in 0..10 {
            // An engine may know that a position was dropped, or see nothing there.
            let there = matches!(log.read(LogPosition(position)).await, Ok(Some(_)));
            assert_eq!(there, [2, 5, 7, 8, 9].contains(&position), "position {position}");
        }
    }
    assert_eq!(log.tail(LogPosition(7)).await.expect(UP), LogPosition(10));
    log.append(LogPosition(10), &entry(10, b"")).await.expect("the log goes on");
}
