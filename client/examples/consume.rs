//! Prints a topic's records from the beginning, and goes on with new ones:
//! `cargo run -p ebbtide --example consume -- [SERVER] [TOPIC]`.

use std::pin::pin;

use ebbtide::{Client, Error, Start};
use futures::TryStreamExt;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "quic://127.0.0.1:9093".to_owned());
    let topic = arguments.next().unwrap_or_else(|| "greetings".to_owned());

    let client = Client::builder().server(&server).connect().await?;
    let mut consumer = client.consumer().build()?;
    consumer.assign_topic(&topic, Start::Earliest).await?;

    let mut records = pin!(consumer.records());
    while let Some(record) = records.try_next().await? {
        let value = record.value.unwrap_or_default();
        println!("{} {} {}", record.partition, record.offset, String::from_utf8_lossy(&value));
    }
    Ok(())
}
