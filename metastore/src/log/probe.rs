//! The probe of a store's conditional create, which the bucket engine's safety rests on. Some stores ignore the
//! condition, and some let two racing puts win; both would lose acknowledged records, so both are refused.

use std::sync::Arc;

use ebb_protocol::{ids::IdSource, random::Random};
use futures::future::join_all;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path};
use tokio::time::timeout;

use super::retry::{RetryConfig, one_line};

/// Remembers that the store passed, so that later starts pay one small read.
const MARKER: &str = "probe/conditional-create-1";
const RACERS: usize = 8;
const ROUNDS: usize = 2;
/// A round may end without an answer, for instance when the store was slow; then it is run again on a fresh key.
const ROUNDS_MAX: usize = 6;

/// Why a store was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The store does not do what the bucket engine needs.
    #[error(
        "the object store does not guarantee that a conditional create (If-None-Match: *) has exactly one winner: \
         {0}; use a store that does, or keep the commit log elsewhere"
    )]
    NoExclusiveCreate(String),
    /// The store could not be asked.
    #[error(
        "the object store cannot be probed: {0}; check its address, the credentials and the bucket policy"
    )]
    Unavailable(String),
}

/// Proves that of several racing conditional creates of one key exactly one wins and that a later one fails. The
/// result is remembered in the store by a marker object.
///
/// # Errors
/// See [`ProbeError`].
pub async fn probe(store: &Arc<dyn ObjectStore>, ids: &IdSource, random: &Random) -> Result<(), ProbeError> {
    let retry = RetryConfig::default();
    let marker = Path::from(MARKER);
    match retry.run(random, || store.head(&marker)).await {
        Ok(_) => return Ok(()),
        Err(failure) if failure.is_missing() => {}
        Err(failure) => return Err(ProbeError::Unavailable(failure.to_string())),
    }
    let mut proved = 0;
    let mut doubt = String::new();
    for _ in 0..ROUNDS_MAX {
        match round(store, ids, &retry).await? {
            Round::Exclusive => proved += 1,
            Round::Unclear(why) => doubt = why,
        }
        if proved == ROUNDS {
            let put = || store.put(&marker, PutPayload::from_static(b"passed\n"));
            retry.run(random, put).await.map_err(|failure| ProbeError::Unavailable(failure.to_string()))?;
            return Ok(());
        }
    }
    Err(ProbeError::Unavailable(doubt))
}

enum Round {
    Exclusive,
    Unclear(String),
}

async fn round(
    store: &Arc<dyn ObjectStore>,
    ids: &IdSource,
    retry: &RetryConfig,
) -> Result<Round, ProbeError> {
    let key = Path::from(format!("probe/{}", ids.entry()));
    let body = |racer: usize| format!("{key} {racer}");
    let create = async |racer: usize| {
        let put = store.put_opts(&key, body(racer).into(), PutMode::Create.into());
        timeout(retry.attempt_deadline, put).await
    };
    let answers = join_all((0..RACERS).map(create)).await;
    let late = create(RACERS).await;
    let stands = timeout(retry.attempt_deadline, async { store.get(&key).await?.bytes().await }).await;
    // What cannot be deleted only leaves a small object behind.
    let _ = timeout(retry.attempt_deadline, store.delete(&key)).await;

    let mut winners = Vec::new();
    for (racer, answer) in answers.iter().chain([&late]).enumerate() {
        match answer {
            Ok(Ok(_)) => winners.push(racer),
            Ok(Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => {}
            Ok(Err(error @ (Error::NotImplemented { .. } | Error::NotSupported { .. }))) => {
                return Err(ProbeError::NoExclusiveCreate(one_line(error)));
            }
            Ok(Err(error)) => return Ok(Round::Unclear(one_line(error))),
            Err(_) => return Ok(Round::Unclear("it did not answer in time".to_owned())),
        }
    }
    let wrong = |what: String| Err(ProbeError::NoExclusiveCreate(what));
    match (winners.as_slice(), stands) {
        (&[RACERS], _) => Ok(Round::Unclear("of several racing creates none won".to_owned())),
        (&[winner], Ok(Ok(found))) if found == body(winner) => Ok(Round::Exclusive),
        (&[_], Ok(Ok(_))) => wrong("the object's content is not the winner's".to_owned()),
        (_, Ok(Err(error))) => Ok(Round::Unclear(one_line(&error))),
        (_, Err(_)) => Ok(Round::Unclear("it did not answer in time".to_owned())),
        ([], _) => Ok(Round::Unclear("of several racing creates none won".to_owned())),
        (many, _) if many.ends_with(&[RACERS]) => {
            wrong("a second create of the same key succeeded".to_owned())
        }
        (many, _) => wrong(format!("{} of {RACERS} racing creates won", many.len())),
    }
}

#[cfg(test)]
mod tests {
    use ebb_protocol::clock::SystemClock;
    use object_store::memory::InMemory;

    use super::*;
    use crate::log::faulty::{Faults, FaultyStore};

    fn ids() -> IdSource {
        IdSource::new(Arc::new(SystemClock), Random::from_seed(3))
    }

    #[tokio::test(start_paused = true)]
    async fn a_sound_store_passes_and_is_asked_once() {
        let faulty = Arc::new(FaultyStore::new(InMemory::new(), 1, Faults::default()));
        let store: Arc<dyn ObjectStore> = faulty.clone();
        probe(&store, &ids(), &Random::from_seed(1)).await.expect("memory creates exclusively");
        let puts = faulty.puts();
        probe(&store, &ids(), &Random::from_seed(1)).await.expect("the marker stands");
        assert_eq!(faulty.puts(), puts, "the second probe writes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_ignores_the_condition_is_refused() {
        let faults = Faults { ignore_create: 1.0, ..Faults::default() };
        let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::new(InMemory::new(), 1, faults));
        let refused = probe(&store, &ids(), &Random::from_seed(1)).await;
        assert!(matches!(refused, Err(ProbeError::NoExclusiveCreate(_))), "{refused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_sometimes_lets_two_win_is_refused() {
        for seed in 0..20 {
            let faults = Faults { ignore_create: 0.3, ..Faults::default() };
            let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::new(InMemory::new(), seed, faults));
            let refused = probe(&store, &ids(), &Random::from_seed(1)).await;
            assert!(matches!(refused, Err(ProbeError::NoExclusiveCreate(_))), "seed {seed}: {refused:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn conflicts_and_lost_answers_prove_nothing_wrong() {
        for seed in 0..20 {
            let faults = Faults { conflict: 0.2, ..Faults::default() };
            let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::new(InMemory::new(), seed, faults));
            probe(&store, &ids(), &Random::from_seed(1)).await.expect("a conflict is not a second winner");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unreachable_store_is_not_blamed() {
        let faults = Faults { before: 1.0, ..Faults::default() };
        let store: Arc<dyn ObjectStore> = Arc::new(FaultyStore::new(InMemory::new(), 1, faults));
        let refused = probe(&store, &ids(), &Random::from_seed(1)).await;
        assert!(matches!(refused, Err(ProbeError::Unavailable(_))), "{refused:?}");
    }
}
