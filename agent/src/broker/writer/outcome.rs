//! What the metastore's answer to a commit means for each batch of the segment.

use ebb_metastore::{
    MetastoreError,
    outcome::{BatchOutcome, Outcome, Refusal},
};
use ebb_protocol::planted::{Bug, is_planted};
use ebb_segment::store::StoreError;

use super::Answers;
use crate::broker::{Appended, ProduceError};

/// The answers to `count` batches, in arrival order, from the outcomes of the one command that committed them.
/// `order` gives, run by run, the batches' places in arrival order.
pub(super) fn answers(
    outcomes: Result<Vec<Outcome>, MetastoreError>,
    order: &[Vec<usize>],
    count: usize,
) -> Answers {
    let placed = match outcomes.map(|all| all.into_iter().next()) {
        Ok(Some(Outcome::Committed { runs })) => runs,
        Ok(Some(Outcome::Refused(refusal))) => return vec![Err(refused(&refusal)); count],
        Ok(other) => {
            let why = format!("the metastore answered a commit with {other:?}");
            return vec![Err(ProduceError::TimedOut(why)); count];
        }
        Err(error) => return vec![Err(failed(error)); count],
    };
    let unanswered = || Err(ProduceError::TimedOut("the metastore did not answer for this batch".to_owned()));
    let mut answers: Answers = (0..count).map(|_| unanswered()).collect();
    for (members, outcomes) in order.iter().zip(&placed) {
        for (&index, outcome) in members.iter().zip(outcomes) {
            if let Some(answer) = answers.get_mut(index) {
                *answer = batch(*outcome);
            }
        }
    }
    answers
}

fn batch(outcome: BatchOutcome) -> Result<Appended, ProduceError> {
    match outcome {
        // To its producer, a batch that was appended before has been appended.
        BatchOutcome::Appended { base, log_start } | BatchOutcome::Duplicate { base, log_start } => {
            Ok(Appended { base, log_start })
        }
        BatchOutcome::Refused(refusal) => Err(ProduceError::Refused(refusal)),
    }
}

/// The whole commit was refused.
fn refused(refusal: &Refusal) -> ProduceError {
    match refusal {
        Refusal::StaleAgent => ProduceError::Closed,
        // Its id was minted too long ago: the agent must have slept. The object may be gone, a new one may not.
        Refusal::SegmentTooOld => ProduceError::Storage(StoreError::Unavailable(refusal.to_string())),
        // Everything else cannot happen to a segment that is committed once; do not claim that it was not appended.
        _ => ProduceError::TimedOut(refusal.to_string()),
    }
}

/// The commit has no outcome.
fn failed(error: MetastoreError) -> ProduceError {
    match error {
        MetastoreError::Unavailable(why) => ProduceError::Storage(StoreError::Unavailable(why)),
        MetastoreError::Indeterminate(why) if is_planted(Bug::UnknownIsFailed) => {
            ProduceError::Storage(StoreError::Unavailable(why))
        }
        MetastoreError::Indeterminate(why) => ProduceError::TimedOut(why),
        // The entry may stand in the log already.
        _ => ProduceError::TimedOut(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use ebb_metastore::outcome::BatchRefusal;
    use ebb_protocol::ids::Offset;

    use super::*;

    const LOG_START: Offset = Offset(3);

    fn appended(base: i64) -> Result<Appended, ProduceError> {
        Ok(Appended { base: Offset(base), log_start: LOG_START })
    }

    #[test]
    fn outcomes_find_their_batches() {
        let place = |base| BatchOutcome::Appended { base: Offset(base), log_start: LOG_START };
        let again = BatchOutcome::Duplicate { base: Offset(7), log_start: LOG_START };
        let refusal = BatchRefusal::OutOfOrderSequence;
        let runs = vec![vec![place(10), again], vec![BatchOutcome::Refused(refusal), place(20)]];
        let found = answers(Ok(vec![Outcome::Committed { runs }]), &[vec![1, 3], vec![0, 2]], 4);
        let expect = [Err(ProduceError::Refused(refusal)), appended(10), appended(20), appended(7)];
        assert_eq!(found, expect);
    }

    #[test]
    fn every_batch_gets_an_answer() {
        let order = [vec![0], vec![1]];
        let check = |outcomes: Result<Vec<Outcome>, MetastoreError>, definite: bool| {
            let found = answers(outcomes.clone(), &order, 2);
            assert_eq!(found.len(), 2, "{outcomes:?}");
            let unsure = |answer: &Result<_, _>| matches!(answer, Err(ProduceError::TimedOut(_)));
            assert_eq!(found.iter().all(unsure), !definite, "{outcomes:?}: {found:?}");
        };
        check(Err(MetastoreError::Unavailable("down".to_owned())), true);
        check(Err(MetastoreError::Indeterminate("slow".to_owned())), false);
        check(Err(MetastoreError::Fenced), false);
        check(Ok(vec![Outcome::Refused(Refusal::StaleAgent)]), true);
        check(Ok(vec![Outcome::Refused(Refusal::SegmentTooOld)]), true);
        check(Ok(vec![Outcome::Refused(Refusal::SegmentCommitted)]), false);
        check(Ok(vec![Outcome::Done]), false);
        check(Ok(Vec::new()), false);
        check(Ok(vec![Outcome::Committed { runs: Vec::new() }]), false);
    }
}
