//! Reads a topic together with all others that run this: `cargo run -p ebbtide --example group -- [SERVER] [TOPIC]
//! [GROUP] [again]`. With `again` it reads every partition that it gets from the start. Ctrl-C leaves the group.

use ebbtide::{Client, Error, Rebalance, Start};
use tokio::sync::mpsc;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "quic://127.0.0.1:9093".to_owned());
    let topic = arguments.next().unwrap_or_else(|| "greetings".to_owned());
    let group = arguments.next().unwrap_or_else(|| "readers".to_owned());
    let again = arguments.next().is_some_and(|word| word == "again");

    let client = Client::builder().server(&server).connect().await?;
    // Rebalances are told where nobody may wait, so they are passed on to the loop below.
    let (tell, mut changes) = mpsc::unbounded_channel();
    let tell = move |change: &Rebalance| drop(tell.send(change.clone()));
    let mut consumer = client.consumer().group(&group).on_rebalance(tell).build()?;
    consumer.subscribe(&[&topic]);
    loop {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => break,
            Some(change) = changes.recv() => {
                println!("{change:?}");
                let Rebalance::Assigned(partitions) = change else { continue };
                for (topic, partition) in partitions.into_iter().filter(|_| again) {
                    consumer.seek(&topic, partition, Start::Earliest).await?;
                }
            }
            // Asking for the next record says that the one before may be committed.
            record = consumer.next_record() => {
                let record = record?;
                let value = record.value.unwrap_or_default();
                println!("{} {} {}", record.partition, record.offset, String::from_utf8_lossy(&value));
            }
        }
    }
    // Commits what was read, and leaves, so that others take over at once.
    consumer.close().await?;
    client.close().await;
    Ok(())
}
