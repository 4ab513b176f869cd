//! Creates a topic and describes what there is: `cargo run -p ebbtide --example admin -- [SERVER] [TOPIC]`.

use ebbtide::{
    Client, Error, ErrorCode, Isolation,
    admin::{NewTopic, OffsetSpec},
};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "quic://127.0.0.1:9093".to_owned());
    let topic = arguments.next().unwrap_or_else(|| "greetings".to_owned());

    let admin = Client::builder().server(&server).connect().await?.admin();
    match admin.create_topic(&NewTopic::new(&topic, 3).config("retention.ms", "86400000")).await {
        Ok(id) => println!("created {topic}, id {id}"),
        Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => println!("{topic} is there"),
        Err(error) => return Err(error),
    }
    let cluster = admin.describe_cluster().await?;
    println!("cluster {} has {} agents", cluster.id, cluster.brokers.len());
    for topic in admin.list_topics().await? {
        let partitions: Vec<_> = topic.partitions.iter().map(|partition| partition.index).collect();
        let isolation = Isolation::ReadUncommitted;
        for end in admin.list_offsets(&topic.name, &partitions, OffsetSpec::Latest, isolation).await? {
            println!("{} partition {} ends at {:?}", topic.name, end.partition, end.offset);
        }
    }
    Ok(())
}
