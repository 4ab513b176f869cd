//! Connects a tool to an agent as the command line says.

use ebbtide::{Client, Compression};

use crate::{
    args::{Codec, Connection},
    output::Failure,
};

/// Connects to the agent.
pub(crate) async fn connect(connection: &Connection) -> Result<Client, Failure> {
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
