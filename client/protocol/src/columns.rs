//! The typed columns of a topic's values: names, types and field ids, in the order in which they came. Plain data that
//! the state keeps, the archive writes and the catalog shows. Knows nothing of how values are read.
//!
//! Columns are added and never change, go or come back under another id (Iceberg's schema evolution), so the first `n`
//! of them are the schema of everything that was written when there were `n`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Columns of one topic, nested ones counted.
pub const COLUMNS_MAX: usize = 500;
/// The longest name of a column, in bytes.
pub const COLUMN_NAME_BYTES_MAX: usize = 255;
/// How deep columns may lie in each other, the first level counted as 1.
pub const COLUMN_DEPTH_MAX: usize = 8;
/// The field id of the column `v`, which has all typed columns in it.
pub const TYPED_ROOT: ColumnId = ColumnId(13);
/// The field id of the first typed column. Those before belong to the columns that every archive file has.
const FIRST_ID: u32 = 19;

/// A typed column's field id, as Iceberg and Parquet know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ColumnId(pub u32);

/// What a typed column holds. Every column may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ColumnKind {
    /// True or false.
    Boolean,
    /// A 64-bit integer.
    Long,
    /// A 64-bit floating-point number.
    Double,
    /// Text.
    String,
    /// A day.
    Date,
    /// A moment in UTC, in microseconds.
    Timestamp,
    /// Columns of their own.
    Struct,
    /// Elements of one kind, which are its only child.
    List,
}

/// A typed column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypedColumn {
    /// The struct or list that it lies in; [`TYPED_ROOT`] on the first level.
    pub parent: ColumnId,
    /// The field of the value that it holds; of no meaning for the element of a list.
    pub key: String,
    /// Its name for those who query. The key, unless another column of the parent has that name: engines do not tell
    /// names apart by case.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// Why a column cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// There are too many.
    #[error("a topic has at most {COLUMNS_MAX} typed columns")]
    TooMany,
    /// It lies in too many others.
    #[error("typed columns lie at most {COLUMN_DEPTH_MAX} deep in each other")]
    TooDeep,
    /// What it should lie in is no struct and no list, or a list that has its element.
    #[error("nothing can lie in column {}", .0.0)]
    Parent(ColumnId),
    /// Its name is empty, too long, or taken.
    #[error("a column cannot be named {0:?} there")]
    Name(String),
}

/// The typed columns of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TypedColumns {
    columns: Vec<TypedColumn>,
}

impl TypedColumns {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The first `count` of them, as the whole was when there were no more.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        Self { columns: self.columns.iter().take(count).cloned().collect() }
    }

    /// Those behind the first `count`.
    #[must_use]
    pub fn behind(&self, count: usize) -> &[TypedColumn] {
        self.columns.get(count..).unwrap_or_default()
    }

    /// The column of this id.
    #[must_use]
    pub fn get(&self, id: ColumnId) -> Option<&TypedColumn> {
        self.columns.get(usize::try_from(id.0.checked_sub(FIRST_ID)?).ok()?)
    }

    /// The largest field id in use, counting those that every archive file has.
    #[must_use]
    pub fn last_id(&self) -> ColumnId {
        id_of(self.columns.len()).map_or(ColumnId(u32::MAX), |next| ColumnId(next.0 - 1))
    }

    /// All columns with their ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (ColumnId, &TypedColumn)> {
        (FIRST_ID..).map(ColumnId).zip(&self.columns)
    }

    /// Each parent's columns, in order.
    #[must_use]
    pub fn by_parent(&self) -> BTreeMap<ColumnId, Vec<(ColumnId, &TypedColumn)>> {
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, column) in self.iter() {
            found.entry(column.parent).or_default().push((id, column));
        }
        found
    }

    /// The column of a parent that holds a key of the value as this kind.
    #[must_use]
    pub fn find(&self, parent: ColumnId, key: &str, kind: ColumnKind) -> Option<ColumnId> {
        let fits = |column: &TypedColumn| column.parent == parent && column.kind == kind && column.key == key;
        self.iter().find(|(_, column)| fits(column)).map(|(id, _)| id)
    }

    /// A name for a key of the value that no other column of the parent has: the key, or the key and a number.
    #[must_use]
    pub fn name_for(&self, parent: ColumnId, key: &str) -> String {
        let mut end = key.len().min(COLUMN_NAME_BYTES_MAX - 8);
        while !key.is_char_boundary(end) {
            end -= 1;
        }
        let stem = key.get(..end).filter(|stem| !stem.is_empty()).unwrap_or("_");
        let numbered = (2..).map(|number| format!("{stem}_{number}"));
        let mut names = std::iter::once(stem.to_owned()).chain(numbered);
        names.find(|name| !self.has_name(parent, name)).expect("there are more numbers than columns")
    }

    /// Adds a column. Its id follows that of the last one.
    ///
    /// # Errors
    /// Any [`ColumnError`]; then nothing has changed.
    pub fn add(&mut self, column: TypedColumn) -> Result<ColumnId, ColumnError> {
        let id = id_of(self.columns.len()).filter(|_| self.columns.len() < COLUMNS_MAX);
        let id = id.ok_or(ColumnError::TooMany)?;
        let holder = match column.parent {
            TYPED_ROOT => ColumnKind::Struct,
            parent => self.get(parent).ok_or(ColumnError::Parent(parent))?.kind,
        };
        let has_child = || self.columns.iter().any(|other| other.parent == column.parent);
        match holder {
            ColumnKind::Struct => {}
            ColumnKind::List if !has_child() => {}
            _ => return Err(ColumnError::Parent(column.parent)),
        }
        if self.depth(column.parent) >= COLUMN_DEPTH_MAX {
            return Err(ColumnError::TooDeep);
        }
        let fits = (1..=COLUMN_NAME_BYTES_MAX).contains(&column.name.len())
            && column.key.len() <= COLUMN_NAME_BYTES_MAX
            && !self.has_name(column.parent, &column.name);
        if !fits {
            return Err(ColumnError::Name(column.name));
        }
        self.columns.push(column);
        Ok(id)
    }

    fn has_name(&self, parent: ColumnId, name: &str) -> bool {
        let name = name.to_lowercase();
        self.columns.iter().any(|column| column.parent == parent && column.name.to_lowercase() == name)
    }

    /// How many columns lie around what lies in this one.
    fn depth(&self, mut id: ColumnId) -> usize {
        let mut depth = 0;
        while let Some(column) = self.get(id) {
            (id, depth) = (column.parent, depth + 1);
        }
        depth
    }
}

/// The id of the column with this index.
fn id_of(index: usize) -> Option<ColumnId> {
    u32::try_from(index).ok()?.checked_add(FIRST_ID).map(ColumnId)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(parent: ColumnId, name: &str, kind: ColumnKind) -> TypedColumn {
        TypedColumn { parent, key: name.to_owned(), name: name.to_owned(), kind }
    }

    #[test]
    fn ids_follow_each_other_and_prefixes_are_older_schemas() {
        let mut columns = TypedColumns::default();
        assert_eq!(columns.last_id(), ColumnId(18));
        let a = columns.add(column(TYPED_ROOT, "a", ColumnKind::Struct)).expect("it fits");
        let older = columns.clone();
        let b = columns.add(column(a, "a", ColumnKind::Long)).expect("names are those of a parent");
        assert_eq!((a, b, columns.last_id()), (ColumnId(19), ColumnId(20), ColumnId(20)));
        assert_eq!((columns.first(1), columns.behind(1).len()), (older, 1));
        assert_eq!(columns.find(a, "a", ColumnKind::Long), Some(b));
        assert_eq!(columns.find(a, "a", ColumnKind::Double), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut columns = TypedColumns::default();
        let list = columns.add(column(TYPED_ROOT, "list", ColumnKind::List)).expect("it fits");
        let element = columns.add(column(list, "element", ColumnKind::Long)).expect("it fits");
        let mut check =
            |column: TypedColumn, expect: ColumnError| assert_eq!(columns.add(column), Err(expect));
        check(column(list, "more", ColumnKind::Long), ColumnError::Parent(list));
        check(column(element, "in", ColumnKind::Long), ColumnError::Parent(element));
        check(column(ColumnId(99), "in", ColumnKind::Long), ColumnError::Parent(ColumnId(99)));
        check(column(TYPED_ROOT, "LIST", ColumnKind::Long), ColumnError::Name("LIST".to_owned()));
        check(column(TYPED_ROOT, "", ColumnKind::Long), ColumnError::Name(String::new()));
    }

    #[test]
    fn their_number_and_depth_are_limited() {
        let mut columns = TypedColumns::default();
        let mut parent = TYPED_ROOT;
        for _ in 0..COLUMN_DEPTH_MAX {
            parent = columns.add(column(parent, "in", ColumnKind::Struct)).expect("it is not too deep");
        }
        assert_eq!(columns.add(column(parent, "in", ColumnKind::Long)), Err(ColumnError::TooDeep));
        for number in columns.len()..COLUMNS_MAX {
            let name = number.to_string();
            columns.add(column(TYPED_ROOT, &name, ColumnKind::Long)).expect("there are not too many");
        }
        assert_eq!(columns.add(column(TYPED_ROOT, "more", ColumnKind::Long)), Err(ColumnError::TooMany));
    }

    #[test]
    fn names_are_told_apart_without_case() {
        let mut columns = TypedColumns::default();
        columns.add(column(TYPED_ROOT, "id", ColumnKind::Long)).expect("it fits");
        assert_eq!(columns.name_for(TYPED_ROOT, "ID"), "ID_2");
        assert_eq!(columns.name_for(TYPED_ROOT, "other"), "other");
        assert_eq!(columns.name_for(TYPED_ROOT, ""), "_");
        assert!(columns.name_for(TYPED_ROOT, &"ä".repeat(200)).len() <= COLUMN_NAME_BYTES_MAX);
    }
}
