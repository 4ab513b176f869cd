//! What is swept: the segments and the archive files of a bucket, by their keys. Knows nothing of what becomes of them.

use ebb_metastore::{command::ObjectRef, state::State};
use ebb_protocol::ids::{ArchiveId, SegmentId, Timestamp, TopicId};
use ebb_segment::key;
use object_store::path::Path;

/// An object as a listing finds it. Older ones sort first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Swept {
    minted_at: Timestamp,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Segment(SegmentId),
    Archive(ArchiveId, TopicId),
}

impl Swept {
    /// The object that a key names; `None` for a key of another kind.
    pub(super) fn parse(path: &Path) -> Option<Self> {
        let archive = || key::parse_archive(path).map(|(topic, id)| Self::archive(id, topic));
        key::parse(path).map(Self::segment).or_else(archive)
    }

    /// The object that the state refers to, with the topic that it tells of an archive file; `None` for an entry, which
    /// is the commit log's.
    pub(super) fn of(object: ObjectRef, topic: Option<TopicId>) -> Option<Self> {
        match object {
            ObjectRef::Segment(id) => Some(Self::segment(id)),
            ObjectRef::Archive(id) => topic.map(|topic| Self::archive(id, topic)),
            ObjectRef::Entry(_) => None,
        }
    }

    pub(super) fn segment(id: SegmentId) -> Self {
        Self { minted_at: id.minted_at(), kind: Kind::Segment(id) }
    }

    fn archive(id: ArchiveId, topic: TopicId) -> Self {
        Self { minted_at: id.minted_at(), kind: Kind::Archive(id, topic) }
    }

    /// Where it lies.
    pub(super) fn key(self) -> Path {
        match self.kind {
            Kind::Segment(id) => key::of(id),
            Kind::Archive(id, topic) => key::archive_key(topic, id),
        }
    }

    /// When its id was minted.
    pub(super) fn minted_at(self) -> Timestamp {
        self.minted_at
    }

    pub(super) fn is_archive(self) -> bool {
        matches!(self.kind, Kind::Archive(..))
    }

    /// What the state calls it.
    pub(super) fn object(self) -> ObjectRef {
        match self.kind {
            Kind::Segment(id) => ObjectRef::Segment(id),
            Kind::Archive(id, _) => ObjectRef::Archive(id),
        }
    }

    /// Whether the state neither refers to it nor remembers that it did.
    pub(super) fn is_unknown(self, state: &State) -> bool {
        let object = self.object();
        !state.is_referenced(object) && !state.is_dead(object)
    }

    /// Whether it can be deleted for good: the state does not know it, and `apply` never will.
    pub(super) fn is_orphan(self, state: &State) -> bool {
        self.minted_at < state.sweep_boundary() && self.is_unknown(state)
    }
}
