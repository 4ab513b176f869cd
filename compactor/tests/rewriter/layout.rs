//! Archive files are laid out as their topic says.

use ebb_archive::{Footer, Tail};
use ebb_compactor::{Member, rewriter::Done};
use ebb_metastore::state::State;
use ebb_protocol::{
    batch::{BatchBuilder, Compression, RecordBatch},
    ids::TopicId,
};
use ebb_segment::key;
use object_store::ObjectStoreExt;

use crate::support::{World, configure};

/// Values that become a tenth when they are compressed, and another part of it at a higher level.
fn batch(world: &World) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for number in 0..2_000_u64 {
        let value: String =
            (0..40).map(|word| format!("flight {} ", (number * 7 + word * word) % 90)).collect();
        builder.append(world.now(), Some(b"k"), Some(value.as_bytes()), &[]).expect("a small record");
    }
    builder.finish(Compression::None, None).expect("there are records")
}

/// The size of a topic's only file in bytes, and its row groups.
async fn laid_out(world: &World, member: &Member, topic: TopicId) -> (u64, usize) {
    let file = |state: &State| state.table(topic)?.files().next().map(|(id, file)| (id, file.clone()));
    let (id, file) = member.metastore().read(file).expect("there is one");
    let found = world.bucket.get(&key::archive_key(topic, id)).await.expect("it is in the bucket");
    let bytes = found.bytes().await.expect("memory does not fail");
    let tail = Tail { bytes: file.tail_bytes, checksum: file.tail_checksum };
    let end = bytes.slice(bytes.len() - tail.bytes as usize..);
    let footer = Footer::decode(file.bytes, tail, end).expect("a sound footer");
    (file.bytes, footer.groups().len())
}

#[tokio::test(start_paused = true)]
async fn a_topic_says_how_its_files_are_laid_out() {
    let mut world = World::new(800);
    world.config.window_bytes = 1 << 30;
    let member = world.member().await;
    let settings: [&[(&str, &str)]; 5] = [
        &[],
        &[("archive.compression.type", "none")],
        &[("archive.compression.type", "lz4")],
        &[("archive.compression.zstd.level", "19")],
        &[("archive.compression.type", "none"), ("archive.row.group.bytes", "1048576")],
    ];
    let mut topics = Vec::new();
    for (number, settings) in (1..).zip(settings) {
        let topic = world.create_topic(&member, number).await;
        for (key, value) in settings {
            configure(&member, topic, key, value).await;
        }
        for _ in 0..4 {
            world.commit_batch(&member, topic, batch(&world)).await;
        }
        topics.push(topic);
    }
    assert_eq!(world.rewriter(&member).pass(true).await.expect("nothing is disturbed"), Done::Window);
    let mut found = Vec::new();
    for topic in topics {
        assert!(world.all_archived(&member, topic).await);
        found.push(laid_out(&world, &member, topic).await);
    }
    let [(zstd, one), (none, _), (lz4, _), (high, _), (_, many)] = found[..] else { panic!("{found:?}") };
    assert!(high < zstd && zstd < lz4 && lz4 < none, "{found:?}");
    assert!(one == 1 && many == 2, "{found:?}");
}
