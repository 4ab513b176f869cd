//! `ebb produce`: sends the records of a file or of standard input.

use ebbtide::{Acks, Client};

use crate::{
    args::ProduceArgs,
    connect::with_client,
    input::{self, Input, Shape},
    output::{self, Failure},
    progress::Progress,
};

pub(crate) async fn run(args: ProduceArgs) -> Result<(), Failure> {
    let acks: Acks = args.acks.parse().map_err(Failure::new)?;
    let shape = Shape { format: args.format, key_separator: args.key_separator.clone() };
    let input = input::read(args.file.clone(), shape)?;
    let records =
        with_client(&args.connection, async |client| send(client, &args, acks, input).await).await?;
    let how = if acks == Acks::None { "sent" } else { "written" };
    output::note(format_args!("{records} records {how} to {}", args.topic));
    Ok(())
}

/// Sends everything and answers how many records that was.
async fn send(client: &Client, args: &ProduceArgs, acks: Acks, mut input: Input) -> Result<u64, Failure> {
    let builder = client.producer().acks(acks).compression(args.compression.into());
    let producer = builder.build().map_err(Failure::new)?;
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
    Ok(records)
}
