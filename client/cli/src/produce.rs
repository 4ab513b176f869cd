//! `ebb produce`: sends the records of a file or of standard input.

use ebbtide::Acks;

use crate::{
    args::ProduceArgs,
    connect::connect,
    input::{self, Shape},
    output::{self, Failure},
    progress::Progress,
};

pub(crate) async fn run(args: ProduceArgs) -> Result<(), Failure> {
    let shape = Shape { format: args.format, key_separator: args.key_separator };
    let mut input = input::read(args.file, shape)?;
    let acks: Acks = args.acks.parse().map_err(Failure::new)?;
    let client = connect(&args.connection).await?;
    let producer =
        client.producer().acks(acks).compression(args.compression.into()).build().map_err(Failure::new)?;
    let mut progress = Progress::bytes(input.size);
    let mut records = 0_u64;
    while let Some(chunk) = input.chunks.recv().await {
        let chunk = chunk?;
        records += chunk.records.len() as u64;
        for record in chunk.records {
            // The delivery's outcome comes with the flush below; nobody waits for single records here.
            drop(producer.send(&args.topic, record).await.map_err(Failure::with(&args.topic))?);
        }
        progress.add(chunk.bytes);
    }
    producer.close().await.map_err(Failure::with(&args.topic))?;
    progress.finish();
    let how = if acks == Acks::None { "sent" } else { "written" };
    output::note(format_args!("{records} records {how} to {}", args.topic));
    Ok(())
}
