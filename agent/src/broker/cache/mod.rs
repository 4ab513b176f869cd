//! The block cache: blocks of objects, kept near, so that each object is read from the store about once.
//! Knows nothing of batches and offsets; losing everything in it loses nothing.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use ebb_metastore::command::ObjectRef;

/// Names one block of an object: bytes `index * block size` up to the next block, or up to the object's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockKey {
    /// The object. Objects never change, and their ids are never used again, so a block can not grow stale.
    pub object: ObjectRef,
    /// The block's number in it, counted from 0.
    pub index: u32,
}

/// A cache of blocks.
///
/// # Contract
/// - `get` gives the bytes last inserted under exactly this key, or `None`. It may forget any block at any time.
/// - Bytes that may have changed while they were kept outside memory are given as `None`, never as a block and
///   never as an error: an implementation checks its own checksum.
/// - After `remove` returns, `get` does not give the block until it is inserted again.
/// - Its size is bounded in bytes. `insert` never waits; under pressure it forgets.
#[async_trait]
pub trait BlockCache: Send + Sync + fmt::Debug {
    /// The block, when it is here.
    async fn get(&self, key: BlockKey) -> Option<Bytes>;

    /// Keeps a block.
    fn insert(&self, key: BlockKey, block: Bytes);

    /// Forgets a block, because its bytes turned out to be damaged.
    fn remove(&self, key: BlockKey);

    /// Writes down what a later start may use, and stops background work.
    async fn close(&self);
}

/// Takes an object that this agent has written, so that its first readers need no GET.
pub trait ObjectSink: Send + Sync + fmt::Debug {
    /// The object exists in the store and its whole bytes are `pieces`, one after the other. Called before anybody
    /// can learn of the object's batches.
    fn written(&self, object: ObjectRef, pieces: &[Bytes]);
}
