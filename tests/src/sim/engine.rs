//! The memory engine behind the same wire as the bucket: appends and reads are slow and fail before or after.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use ebb_metastore::log::{AppendError, CommitLog, EntryBytes, ReadError, memory::MemoryLog};
use ebb_protocol::ids::LogPosition;
use object_store::path::Path;
use tokio::time::{Duration, timeout};

use super::{faults::Fault, probes::Probe, wire::Wire, witness::Witness};

/// A database gives up on a request after this long.
const PATIENCE: Duration = Duration::from_secs(5);

/// The memory engine as one run of an agent sees it.
#[derive(Clone, Debug)]
pub(super) struct FaultyLog {
    pub(super) log: MemoryLog,
    pub(super) wire: Arc<Wire>,
    pub(super) witness: Arc<Witness>,
}

impl FaultyLog {
    /// Whether the request gets through.
    async fn begin(&self) -> bool {
        let wire = &self.wire;
        wire.gate.pass().await;
        wire.travel().await;
        if wire.strikes(Fault::Hung, |rates| rates.hang) {
            tokio::time::sleep(PATIENCE).await;
            return false;
        }
        !wire.strikes(Fault::FailedBefore, |rates| rates.before)
    }

    async fn append_once(&self, position: LogPosition, entry: &EntryBytes) -> Result<(), AppendError> {
        if !self.begin().await {
            return Err(AppendError::Unavailable("no connection".to_owned()));
        }
        let (log, witness, entry) = (self.log.clone(), self.witness.clone(), entry.clone());
        let done = async move {
            let answer = log.append(position, &entry).await;
            if answer.is_ok() {
                let mut bytes = BytesMut::from(entry.head.as_ref());
                entry.body.iter().for_each(|piece| bytes.extend_from_slice(piece));
                witness.entry(position, &bytes.freeze());
            }
            answer
        };
        let answer = self.wire.elsewhere(done, Probe::CrashMidAppend).await;
        if self.wire.strikes(Fault::FailedAfter, |rates| rates.after) {
            if answer.is_ok() {
                self.wire.world.probe(Probe::CommitAnswerLost);
            }
            return Err(AppendError::Unavailable("the connection broke".to_owned()));
        }
        if let Err(AppendError::Taken(_)) = answer {
            self.wire.world.probe(Probe::PositionTaken);
        }
        answer
    }
}

#[async_trait]
impl CommitLog for FaultyLog {
    async fn append(&self, position: LogPosition, entry: &EntryBytes) -> Result<(), AppendError> {
        let wire = &self.wire;
        wire.doomed(false);
        let answer = self.append_once(position, entry).await;
        wire.world.call(format_args!("{} append {position} {answer:?}", wire.name));
        wire.doomed(true);
        wire.gate.pass().await;
        answer
    }

    async fn read(&self, position: LogPosition) -> Result<Option<Bytes>, ReadError> {
        let wire = &self.wire;
        let answer = if self.begin().await {
            self.log.read(position).await
        } else {
            Err(ReadError::Unavailable("no connection".to_owned()))
        };
        wire.world.call(format_args!("{} read {position} {}", wire.name, answer.is_ok()));
        wire.gate.pass().await;
        answer
    }

    async fn tail(&self, from: LogPosition) -> Result<LogPosition, ReadError> {
        if !self.begin().await {
            return Err(ReadError::Unavailable("no connection".to_owned()));
        }
        self.log.tail(from).await
    }

    async fn truncate(&self, below: LogPosition, keep: &[LogPosition]) -> Result<(), ReadError> {
        if !timeout(PATIENCE, self.begin()).await.unwrap_or(false) {
            return Err(ReadError::Unavailable("no connection".to_owned()));
        }
        self.wire.world.probe(Probe::LogTruncated);
        self.wire.world.call(format_args!("{} truncate {below}", self.wire.name));
        self.log.truncate(below, keep).await
    }

    fn object(&self, position: LogPosition) -> Option<Path> {
        self.log.object(position)
    }
}
