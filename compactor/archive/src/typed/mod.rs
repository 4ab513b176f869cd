//! Typed columns beside the raw value: what a topic's values have in common, as columns that analysts can compute with.
//! Values come in, arrays go out. Must not know how columns of records are written.
//!
//! A column takes the values of one kind. When a field of the values turns out to be of another kind, it gets a second
//! column, `name_2`: nobody's column changes under them. A value that does not fit at all has no typed columns, and
//! `value_error` says why.

mod cells;
mod fit;
mod learn;
mod settle;
mod values;

use std::collections::BTreeMap;

use ebb_protocol::columns::{ColumnId, ColumnKind, TYPED_ROOT, TypedColumn, TypedColumns};

pub(crate) use self::cells::Cells;
pub use self::{
    fit::Unfit,
    values::{SchemaError, ValueReader},
};

/// The name of the column that has the typed ones in it.
pub(crate) const TYPED_COLUMN: &str = "v";
/// The name of a list's element in Parquet and Iceberg.
const ELEMENT: &str = "element";

/// Typed columns as values are read into them: those of a topic, or those that are wanted and have no ids yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnTree {
    root: Members,
}

/// The typed columns of a file, and how the values are read that they hold.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    /// The columns, with their ids.
    pub columns: ColumnTree,
    /// Reads the values.
    pub values: ValueReader,
}

/// The columns of a struct.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Members {
    nodes: Vec<Node>,
    /// Those that hold a key of the value, one for each kind.
    by_key: BTreeMap<String, Vec<usize>>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    key: String,
    /// Empty while it has no id.
    name: String,
    /// None while it is only wanted.
    id: Option<ColumnId>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Boolean,
    Long,
    Double,
    String,
    Date,
    Timestamp,
    Struct(Members),
    /// With its element.
    List(Box<Node>),
}

impl ColumnTree {
    /// The columns of a topic.
    #[must_use]
    pub fn new(columns: &TypedColumns) -> Self {
        Self { root: members(&columns.by_parent(), TYPED_ROOT) }
    }

    /// Whether there is no column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.nodes.is_empty()
    }

    /// How many columns Parquet makes of them.
    #[must_use]
    pub fn leaves(&self) -> usize {
        self.root.nodes.iter().map(Node::leaves).sum()
    }
}

type ByParent<'a> = BTreeMap<ColumnId, Vec<(ColumnId, &'a TypedColumn)>>;

fn members(columns: &ByParent<'_>, parent: ColumnId) -> Members {
    let mut members = Members::default();
    for (id, column) in columns.get(&parent).into_iter().flatten() {
        let kind = match column.kind {
            ColumnKind::Boolean => Kind::Boolean,
            ColumnKind::Long => Kind::Long,
            ColumnKind::Double => Kind::Double,
            ColumnKind::String => Kind::String,
            ColumnKind::Date => Kind::Date,
            ColumnKind::Timestamp => Kind::Timestamp,
            ColumnKind::Struct => Kind::Struct(self::members(columns, *id)),
            ColumnKind::List => match self::members(columns, *id).nodes.into_iter().next() {
                Some(element) => Kind::List(Box::new(element)),
                None => continue,
            },
        };
        // Parquet has no structs and lists that hold nothing.
        if kind.leaves() > 0 {
            let (key, name) = (column.key.clone(), column.name.clone());
            members.push(Node { key, name, id: Some(*id), kind });
        }
    }
    members
}

impl Members {
    fn push(&mut self, node: Node) {
        self.by_key.entry(node.key.clone()).or_default().push(self.nodes.len());
        self.nodes.push(node);
    }
}

impl FromIterator<Node> for Members {
    fn from_iter<I: IntoIterator<Item = Node>>(nodes: I) -> Self {
        let mut members = Self::default();
        nodes.into_iter().for_each(|node| members.push(node));
        members
    }
}

impl Node {
    /// One that is wanted.
    fn wanted(key: &str, kind: Kind) -> Self {
        Self { key: key.to_owned(), name: String::new(), id: None, kind }
    }

    fn leaves(&self) -> usize {
        self.kind.leaves()
    }
}

impl Kind {
    fn leaves(&self) -> usize {
        match self {
            Self::Struct(members) => members.nodes.iter().map(Node::leaves).sum(),
            Self::List(element) => element.leaves(),
            _ => 1,
        }
    }

    /// What the state calls it.
    fn column_kind(&self) -> ColumnKind {
        match self {
            Self::Boolean => ColumnKind::Boolean,
            Self::Long => ColumnKind::Long,
            Self::Double => ColumnKind::Double,
            Self::String => ColumnKind::String,
            Self::Date => ColumnKind::Date,
            Self::Timestamp => ColumnKind::Timestamp,
            Self::Struct(_) => ColumnKind::Struct,
            Self::List(_) => ColumnKind::List,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Long => "a 64-bit integer",
            Self::Double => "a number",
            Self::String => "a string",
            Self::Date => "a date as 2025-12-31",
            Self::Timestamp => "a time as 2025-12-31T23:59:59Z",
            Self::Struct(_) => "an object",
            Self::List(_) => "a list of one kind",
        }
    }
}
