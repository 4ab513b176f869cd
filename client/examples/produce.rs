//! Sends ten records and prints where they are: `cargo run -p ebbtide --example produce -- [SERVER] [TOPIC]`.

use ebbtide::{Client, Compression, Error, Record};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "quic://127.0.0.1:9093".to_owned());
    let topic = arguments.next().unwrap_or_else(|| "greetings".to_owned());

    let client = Client::builder().server(&server).connect().await?;
    let producer = client.producer().compression(Compression::Lz4).build()?;

    // `send` takes a record in; its delivery resolves when the record is durable.
    let mut deliveries = Vec::new();
    for number in 0..10 {
        let record = Record::new(format!("hello {number}")).key(format!("key {}", number % 3));
        deliveries.push(producer.send(&topic, record).await?);
    }
    for delivery in deliveries {
        let written = delivery.await?;
        println!("partition {} offset {:?}", written.partition, written.offset);
    }
    producer.close().await?;
    client.close().await;
    Ok(())
}
