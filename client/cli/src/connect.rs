//! Connects a tool to an agent as the command line says.

use ebbtide::{Client, Compression};

use crate::{
    args::{Codec, Connection},
    output::Failure,
};

/// Connects, does some work, and closes the connections whatever came of it: an agent would keep them for a while
/// otherwise, since a QUIC peer that vanishes is only noticed by its silence.
pub(crate) async fn with_client<T>(
    connection: &Connection,
    work: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let client = connect(connection).await?;
    let result = work(&client).await;
    client.close().await;
    result
}

async fn connect(connection: &Connection) -> Result<Client, Failure> {
    let mut builder = Client::builder().server(&connection.server).client_id("ebb");
    if let Some(ca) = &connection.ca {
        builder = builder.ca(ca);
    }
    builder.connect().await.map_err(Failure::new)
}

impl From<Codec> for Compression {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Gzip => Self::Gzip,
            Codec::Snappy => Self::Snappy,
            Codec::Lz4 => Self::Lz4,
            Codec::Zstd => Self::Zstd,
        }
    }
}
