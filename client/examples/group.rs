//! Reads a topic together with all others that run this: `cargo run -p ebbtide --example group -- [SERVER] [TOPIC]
//! [GROUP]`. Ctrl-C leaves the group.

use ebbtide::{Client, Error, Rebalance};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "quic://127.0.0.1:9093".to_owned());
    let topic = arguments.next().unwrap_or_else(|| "greetings".to_owned());
    let group = arguments.next().unwrap_or_else(|| "readers".to_owned());

    let client = Client::builder().server(&server).connect().await?;
    let tell = |change: &Rebalance| println!("{change:?}");
    let mut consumer = client.consumer().group(&group).on_rebalance(tell).build()?;
    consumer.subscribe(&[&topic]);
    loop {
        let record = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => break,
            record = consumer.next_record() => record?,
        };
        let value = record.value.unwrap_or_default();
        println!("{} {} {}", record.partition, record.offset, String::from_utf8_lossy(&value));
    }
    consumer.close().await?;
    client.close().await;
    Ok(())
}
