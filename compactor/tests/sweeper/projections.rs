//! What the catalog puts for readers of Iceberg, of which nothing is kept.

use tokio::time::sleep;

use crate::support::{HOUR, World};

#[tokio::test(start_paused = true)]
async fn metadata_of_the_day_before_yesterday_is_deleted() {
    let world = World::new(1);
    let node = world.node(0).await;
    // The world begins late on this day, with 100 minutes left.
    let today = node.now().0 / (24 * 60 * 60 * 1_000);
    for day in [today - 40, today - 2, today - 1, today] {
        world.bucket.put_at(&format!("iceberg/{day}/topic/manifest.avro")).await;
    }
    world.bucket.put_at("iceberg/notes.txt").await;
    let left = async |days: &[i64]| {
        let mut expected: Vec<_> =
            days.iter().map(|day| format!("iceberg/{day}/topic/manifest.avro")).collect();
        expected.push("iceberg/notes.txt".to_owned());
        assert_eq!(world.bucket.keys("iceberg").await, expected);
    };
    let sweeper = node.sweeper();
    sleep(HOUR).await;
    left(&[today - 1, today]).await;
    assert_eq!(sweeper.counts().projections_deleted, 2);
    sleep(12 * HOUR).await;
    left(&[today - 1, today]).await;
    node.create_topic(1).await;
    sleep(HOUR).await;
    left(&[today]).await;
    sweeper.shutdown().await;
}
