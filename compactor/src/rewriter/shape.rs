//! How the next file of a topic is laid out, and which typed columns it has. Knows the topic's configuration and the
//! columns of its table; must not know how they are written.

use ebb_archive::{Codec, ColumnTree, SchemaError, Settings, Typed, ValueReader};
use ebb_metastore::{
    command::FileColumns,
    state::{
        State, Table,
        config::{ArchiveCodec, ArchiveLayout},
    },
};
use ebb_protocol::{
    batch::{DECOMPRESSED_BYTES_MAX, RecordBatch},
    columns::TypedColumns,
    ids::TopicId,
    values::ValueFormat,
};

/// Typed columns times row groups of a file. Every partition has row groups of its own, and each takes about a hundred
/// bytes of the footer for each column, which all readers read. A file with more is written without typed columns.
const TYPED_CHUNKS_MAX: usize = 100_000;
/// The level of zstd where nobody says one.
const ZSTD_LEVEL: u8 = 1;

/// What the state says of a topic's files: how they are to be laid out, their typed columns, and how the values are
/// written that these hold.
pub(super) struct Wanted {
    layout: ArchiveLayout,
    columns: TypedColumns,
    values: Option<ValueFormat>,
}

/// A topic's next file, as it is planned.
pub(super) struct Shape {
    layout: ArchiveLayout,
    known: TypedColumns,
    wanted: ColumnTree,
    values: ValueReader,
    learns: bool,
}

impl Wanted {
    pub(super) fn of(state: &State, topic: TopicId) -> Self {
        let settings = state.settings(topic);
        let layout = settings.map(|settings| settings.archive_layout).unwrap_or_default();
        let values = settings.and_then(|settings| settings.values.clone());
        // Nobody asks for the columns of a topic that has none.
        let table = values.as_ref().and_then(|_| state.table(topic));
        Self { layout, columns: table.map(Table::columns).cloned().unwrap_or_default(), values }
    }

    /// The columns of a file of new values: what the topic's schema wants, or what it has and what the values add.
    pub(super) fn for_values(self) -> Shape {
        let Some((values, wanted)) = self.reader() else { return Shape::none(self.layout) };
        let learns = wanted.is_none();
        let wanted = wanted.unwrap_or_else(|| ColumnTree::new(&self.columns));
        Shape { layout: self.layout, known: self.columns, wanted, values, learns }
    }

    /// The columns of a file that takes the place of others: all that the topic has, whatever is wanted of new values.
    pub(super) fn for_files(self) -> Shape {
        let Some((values, _)) = self.reader() else { return Shape::none(self.layout) };
        let wanted = ColumnTree::new(&self.columns);
        Shape { layout: self.layout, known: self.columns, wanted, values, learns: false }
    }

    /// A schema was checked before it became the topic's. One that cannot be used all the same gives no columns.
    fn reader(&self) -> Option<(ValueReader, Option<ColumnTree>)> {
        let read =
            |error: &SchemaError| tracing::warn!(%error, "a topic's archive.value.schema cannot be used");
        ValueReader::new(self.values.as_ref()?).inspect_err(read).ok()
    }
}

impl Shape {
    fn none(layout: ArchiveLayout) -> Self {
        let (known, wanted) = (TypedColumns::default(), ColumnTree::default());
        Self { layout, known, wanted, values: ValueReader::default(), learns: false }
    }

    /// How the file is laid out: as the topic says, and else as files are in general.
    pub(super) fn layout(&self, general: Settings) -> Settings {
        let level = self.layout.zstd_level;
        let zstd = match general.codec {
            Codec::Zstd(general) => Codec::Zstd(level.unwrap_or(general)),
            _ => Codec::Zstd(level.unwrap_or(ZSTD_LEVEL)),
        };
        let codec = match self.layout.codec {
            Some(ArchiveCodec::None) => Codec::None,
            Some(ArchiveCodec::Lz4) => Codec::Lz4,
            Some(ArchiveCodec::Zstd) => zstd,
            None if matches!(general.codec, Codec::Zstd(_)) => zstd,
            None => general.codec,
        };
        Settings {
            codec,
            row_group_bytes: self.layout.row_group_bytes.unwrap_or(general.row_group_bytes),
            page_bytes: self.layout.page_bytes.unwrap_or(general.page_bytes),
            ..general
        }
    }

    /// Whether the values say what columns there are.
    pub(super) fn learns(&self) -> bool {
        self.learns
    }

    /// Adds columns for what a batch's values have. What cannot be read has nothing to tell.
    pub(super) fn learn(&mut self, batch: &RecordBatch) {
        let records = batch.decode(DECOMPRESSED_BYTES_MAX).into_iter().flatten().flatten();
        for value in records.filter_map(|record| record.value) {
            self.wanted.learn(&self.values, &value);
        }
    }

    /// The columns of a file with so many row groups at least, and what is published of them.
    pub(super) fn settle(self, row_groups: usize) -> (Typed, FileColumns) {
        if self.wanted.is_empty() || self.wanted.leaves().saturating_mul(row_groups) > TYPED_CHUNKS_MAX {
            return (Typed::default(), FileColumns::default());
        }
        let (tree, columns) = self.wanted.settle(&self.known);
        let added = columns.behind(self.known.len()).to_vec();
        let known = u32::try_from(self.known.len()).expect("the number of columns is limited");
        (Typed { columns: tree, values: self.values }, FileColumns { known, added })
    }
}

#[cfg(test)]
mod tests {
    use ebb_metastore::state::config::{ConfigKey, TOPIC_CONFIGS};

    use super::*;

    #[test]
    fn the_defaults_that_topics_are_described_with_are_those_of_files() {
        let default = |name| ConfigKey::find(TOPIC_CONFIGS, name).expect("a key").default;
        let layout = Settings::default();
        assert_eq!(default("archive.row.group.bytes"), layout.row_group_bytes.to_string());
        assert_eq!(default("archive.page.bytes"), layout.page_bytes.to_string());
        assert_eq!(default("archive.compression.type"), "zstd");
        let level: u8 = default("archive.compression.zstd.level").parse().expect("a level");
        assert_eq!((layout.codec, level), (Codec::Zstd(level), ZSTD_LEVEL));
    }

    #[test]
    fn a_level_alone_changes_no_codec() {
        let of = |codec, zstd_level| {
            let layout = ArchiveLayout { codec, zstd_level, ..ArchiveLayout::default() };
            let layout = Shape::none(layout);
            move |general| layout.layout(Settings { codec: general, ..Settings::default() }).codec
        };
        assert_eq!(of(None, Some(3))(Codec::Zstd(1)), Codec::Zstd(3));
        assert_eq!(of(None, Some(3))(Codec::Lz4), Codec::Lz4);
        assert_eq!(of(Some(ArchiveCodec::Zstd), None)(Codec::Zstd(5)), Codec::Zstd(5));
        assert_eq!(of(Some(ArchiveCodec::Zstd), None)(Codec::None), Codec::Zstd(ZSTD_LEVEL));
        assert_eq!(of(Some(ArchiveCodec::None), Some(9))(Codec::Zstd(1)), Codec::None);
    }
}
