//! Gives wanted columns their ids: those of columns that the topic has, or new ones. Knows no values.

use ebb_protocol::columns::{ColumnError, ColumnId, TYPED_ROOT, TypedColumn, TypedColumns};

use super::{ColumnTree, ELEMENT, Kind, Members, Node};

impl ColumnTree {
    /// Gives each column its id, and the topic's columns with those that are new among them. What goes beyond the limits
    /// of a topic is left out.
    #[must_use]
    pub fn settle(self, known: &TypedColumns) -> (Self, TypedColumns) {
        let mut columns = known.clone();
        let root = members(self.root, TYPED_ROOT, &mut columns);
        (Self { root }, columns)
    }
}

fn members(wanted: Members, parent: ColumnId, columns: &mut TypedColumns) -> Members {
    let settled = wanted.nodes.into_iter().filter_map(|node| {
        let before = columns.len();
        let settled = settle(node, parent, columns);
        if settled.is_none() {
            // It would be a column without values: the ids that it took are free again.
            *columns = columns.first(before);
        }
        settled
    });
    settled.collect()
}

/// A column with its id and those of all in it; none when there is nothing in it.
fn settle(mut node: Node, parent: ColumnId, columns: &mut TypedColumns) -> Option<Node> {
    if node.id.is_none() {
        let known = same(columns, parent, &node.key, &node.kind);
        let id = known.map_or_else(|| add(&node, parent, columns).ok(), Some)?;
        node.id = Some(id);
        node.name = columns.get(id)?.name.clone();
    }
    let id = node.id?;
    node.kind = match node.kind {
        Kind::Struct(wanted) => Kind::Struct(members(wanted, id, columns)),
        Kind::List(element) => settle(*element, id, columns).map(|element| Kind::List(Box::new(element)))?,
        leaf => leaf,
    };
    Some(node).filter(|node| node.leaves() > 0)
}

/// The topic's column that holds a key as this kind. Lists are told apart by their elements.
fn same(columns: &TypedColumns, parent: ColumnId, key: &str, kind: &Kind) -> Option<ColumnId> {
    let found = columns.iter().filter(|(_, column)| {
        column.parent == parent && column.key == key && column.kind == kind.column_kind()
    });
    let mut found = found.map(|(id, _)| id);
    match kind {
        Kind::List(element) => found.find(|id| same(columns, *id, ELEMENT, &element.kind).is_some()),
        _ => found.next(),
    }
}

fn add(node: &Node, parent: ColumnId, columns: &mut TypedColumns) -> Result<ColumnId, ColumnError> {
    let (key, name) = (node.key.clone(), columns.name_for(parent, &node.key));
    columns.add(TypedColumn { parent, key, name, kind: node.kind.column_kind() })
}
