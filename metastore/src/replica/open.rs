//! Opening a replica: the newest snapshot, the entries behind it, and the founding of a cluster where there is none.

use std::{sync::Arc, time::Duration};

use ebb_protocol::{
    clock::SharedClock,
    ids::{AgentEpoch, AgentId, IdSource, LogPosition},
    random::Random,
};
use object_store::ObjectStore;

use super::{
    entries::{READS_MAX, read_ahead, read_sound},
    error::OpenError,
    flight::OwnEntry,
    snapshots::Snapshots,
    vigil::{Moment, Vigil},
};
use crate::{
    command::Command,
    entry::Entry,
    log::{AppendError, CommitLog},
    state::State,
};

/// Reads in flight at first: few, because most replicas that open have little to read.
const READS_FIRST: u64 = 4;

/// Reads again after a read failed although positions behind it could be read.
const ATTEMPTS: u32 = 3;

/// A replica at the tail of the log.
pub(super) struct Opened {
    pub(super) state: State,
    /// The agent's next number.
    pub(super) number: u64,
    /// The position of the snapshot that was loaded; 0 without one.
    pub(super) snapshot: LogPosition,
    /// When the listing of the snapshots began: what was acknowledged before is in the state.
    pub(super) since: Moment,
}

/// Brings a replica to the tail of the log.
pub(super) async fn open(
    agent: AgentId,
    log: &Arc<dyn CommitLog>,
    snapshots: &Snapshots,
    clock: &SharedClock,
    ids: &IdSource,
    truncation_grace: Duration,
) -> Result<Opened, OpenError> {
    let since = Moment::now(clock);
    let vigil = Vigil::new(clock.clone(), truncation_grace, since);
    let (snapshot, mut state) = snapshots.newest().await?.unwrap_or_default();
    replay(log, &mut state).await?;
    if state.cluster().is_none() && snapshots.log_stands(log).await? {
        // Somebody may have founded it just now. If not, the beginning of a log is lost and so is its snapshot.
        replay(log, &mut state).await?;
        if state.cluster().is_none() {
            let why = "it has entries, and neither their beginning nor a snapshot".to_owned();
            return Err(OpenError::Damaged("the commit log".to_owned(), why));
        }
    }
    let mut number = 0;
    while state.cluster().is_none() {
        let entry = Entry {
            id: ids.entry(),
            agent,
            epoch: AgentEpoch(0),
            number,
            time: clock.now(),
            hash: None,
            commands: vec![Command::CreateCluster { cluster: ids.cluster() }],
        };
        let own = OwnEntry::new(entry, Vec::new());
        match log.append(state.position(), &own.bytes).await {
            // The log that was not there may have been founded, and its beginning dropped, while this process slept.
            Ok(()) if vigil.is_stale() => {
                let why = "it took so long that what was read may be old; start again".to_owned();
                return Err(OpenError::Unavailable(why));
            }
            Ok(()) => {
                state.apply(state.position(), &own.entry, own.body);
                number += 1;
            }
            Err(AppendError::Taken(_)) => replay(log, &mut state).await?,
            Err(AppendError::Unavailable(why)) => return Err(OpenError::Unavailable(why)),
        }
    }
    Ok(Opened { state, number, snapshot, since })
}

/// Reads the state at the tail of the log without changing anything, for tools that only look. `None` when there is
/// no cluster.
///
/// # Errors
/// See [`OpenError`].
pub async fn load(
    log: &Arc<dyn CommitLog>,
    store: Arc<dyn ObjectStore>,
    random: Random,
) -> Result<Option<State>, OpenError> {
    let newest = Snapshots::new(store, random).newest().await?;
    let mut state = newest.map_or_else(State::default, |(_, state)| state);
    replay(log, &mut state).await?;
    Ok(state.cluster().is_some().then_some(state))
}

/// Applies all entries from the state's position to the tail.
async fn replay(log: &Arc<dyn CommitLog>, state: &mut State) -> Result<(), OpenError> {
    let mut window = READS_FIRST;
    let mut attempts = ATTEMPTS;
    loop {
        let read = read_ahead(log.clone(), state.position(), window).await;
        for bytes in read {
            let position = state.position();
            match bytes {
                Ok(Some(bytes)) => {
                    let (entry, body, _) = read_sound(log, position, bytes).await?;
                    check_hash(state, &entry)?;
                    state.apply(position, &entry, body);
                }
                Ok(None) => return Ok(()),
                Err(error) if attempts == 0 => return Err(OpenError::Unavailable(error.to_string())),
                Err(_) => {
                    attempts -= 1;
                    break;
                }
            }
        }
        window = (window * 2).min(READS_MAX);
    }
}

fn check_hash(state: &State, entry: &Entry) -> Result<(), OpenError> {
    let Some(hash) = entry.hash else { return Ok(()) };
    state
        .check_hash(hash)
        .map_err(|diverged| OpenError::Damaged("the metastore".to_owned(), diverged.to_string()))
}
