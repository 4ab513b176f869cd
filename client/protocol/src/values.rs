//! How the values of a topic are written, as its configuration says. Plain data; knows nothing of how values are read.

/// How a topic's values are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueFormat {
    /// `archive.value.format`
    pub syntax: ValueSyntax,
    /// `archive.value.framing`
    pub framing: ValueFraming,
    /// `archive.value.schema`: a JSON Schema, an Avro schema, or a `.proto` file. Empty if none is given.
    pub schema: String,
    /// `archive.value.message`: which message of the `.proto` file the values are; empty for the first one.
    pub message: String,
}

/// The syntax of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ValueSyntax {
    /// JSON objects.
    #[default]
    Json,
    /// Avro records in binary encoding.
    Avro,
    /// Protobuf messages.
    Protobuf,
}

impl ValueSyntax {
    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Avro => "Avro",
            Self::Protobuf => "Protobuf",
        }
    }
}

/// What stands before each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ValueFraming {
    /// Nothing.
    #[default]
    None,
    /// What the serializers of Confluent's schema registry put there: a zero byte, the schema's id in four bytes, and in
    /// Protobuf the path of the message.
    Confluent,
}
