//! Keeps the cache warm: puts the objects that this agent writes, and the bodies of entries that pass by, into it.
//! Holds nothing but the cache, because the metastore holds it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ebb_metastore::{BodySink, command::ObjectRef};
use ebb_protocol::ids::LogPosition;

use super::{BlockCache, BlockKey, ObjectSink};

/// Puts whole objects into the cache.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Warmer {
    cache: Arc<dyn BlockCache>,
    block_bytes: usize,
}

impl Warmer {
    pub(in crate::broker) fn new(cache: Arc<dyn BlockCache>, block_bytes: u64) -> Self {
        Self { cache, block_bytes: usize::try_from(block_bytes).unwrap_or(usize::MAX).max(1) }
    }
}

impl ObjectSink for Warmer {
    /// Copies the bytes: slices would keep the request buffers they point into alive, which the cache cannot count.
    fn written(&self, object: ObjectRef, pieces: &[Bytes]) {
        let mut left: usize = pieces.iter().map(Bytes::len).sum();
        let mut block = BytesMut::with_capacity(left.min(self.block_bytes));
        let mut index = 0;
        for piece in pieces {
            let mut piece = piece.as_ref();
            while !piece.is_empty() {
                let (part, rest) = piece.split_at(piece.len().min(self.block_bytes - block.len()));
                block.extend_from_slice(part);
                piece = rest;
                left -= part.len();
                if block.len() == self.block_bytes || left == 0 {
                    let next = BytesMut::with_capacity(left.min(self.block_bytes));
                    let full = std::mem::replace(&mut block, next).freeze();
                    self.cache.insert(BlockKey { object, index }, full);
                    index += 1;
                }
            }
        }
    }
}

impl BodySink for Warmer {
    fn entry(&self, position: LogPosition, pieces: &[Bytes]) {
        self.written(ObjectRef::Entry(position), pieces);
    }
}
