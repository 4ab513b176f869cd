//! Arrays of typed columns as they grow, row by row. Knows no syntax: values are read by others.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, ListArray, StructArray,
    builder::{
        ArrayBuilder, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, NullBufferBuilder,
        StringBuilder, TimestampMicrosecondBuilder,
    },
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields};
use serde_json::{Map, Value};

use super::{ColumnTree, Kind, Members, Node, TYPED_COLUMN, Typed, ValueReader, fit};
use crate::schema;

/// The typed columns of rows that wait to be written.
#[derive(Debug)]
pub(crate) struct Cells {
    tree: ColumnTree,
    values: ValueReader,
    field: FieldRef,
    root: StructCells,
}

#[derive(Debug)]
struct StructCells {
    members: Members,
    present: NullBufferBuilder,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct ListCells {
    element: Node,
    present: NullBufferBuilder,
    lengths: Vec<usize>,
    values: Column,
}

#[derive(Debug)]
enum Column {
    Boolean(BooleanBuilder),
    Long(Int64Builder),
    Double(Float64Builder),
    String(StringBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Struct(StructCells),
    List(Box<ListCells>),
}

impl Cells {
    pub(crate) fn new(typed: Typed) -> Self {
        let Typed { columns: tree, values } = typed;
        let field = schema::field(13, TYPED_COLUMN, DataType::Struct(fields(&tree.root)), true);
        let root = StructCells::new(&tree.root);
        Self { tree, values, field: Arc::new(field), root }
    }

    /// The column that has all of them in it.
    pub(crate) fn field(&self) -> &FieldRef {
        &self.field
    }

    /// Appends a record's value, which is null in a tombstone. One that does not fit leaves nulls.
    ///
    /// # Errors
    /// Why it does not fit.
    pub(crate) fn push(&mut self, value: Option<&[u8]>) -> Result<(), fit::Unfit> {
        let fits = |object: Map<String, Value>| self.tree.check(&object).map(|()| object);
        let read = value.map(|value| self.values.read(value).and_then(fits)).transpose();
        self.root.push(read.as_ref().ok().and_then(Option::as_ref));
        read.map(drop)
    }

    /// Takes the rows as a column, and leaves none.
    ///
    /// # Errors
    /// None that can be brought about by what was pushed.
    pub(crate) fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        self.root.take()
    }
}

/// The fields of a struct, with their ids.
fn fields(members: &Members) -> Fields {
    members.nodes.iter().map(field).collect()
}

fn field(node: &Node) -> Field {
    let kind = match &node.kind {
        Kind::Boolean => DataType::Boolean,
        Kind::Long => DataType::Int64,
        Kind::Double => DataType::Float64,
        Kind::String => DataType::Utf8,
        Kind::Date => DataType::Date32,
        Kind::Timestamp => schema::timestamp_type(),
        Kind::Struct(members) => DataType::Struct(fields(members)),
        Kind::List(element) => DataType::List(Arc::new(field(element))),
    };
    schema::field(node.id.map_or(0, |id| id.0), &node.name, kind, true)
}

impl StructCells {
    fn new(members: &Members) -> Self {
        let columns = members.nodes.iter().map(|node| Column::new(&node.kind)).collect();
        Self { members: members.clone(), present: NullBufferBuilder::new(0), columns }
    }

    fn push(&mut self, object: Option<&Map<String, Value>>) {
        self.present.append(object.is_some());
        let mut row: Vec<Option<&Value>> = vec![None; self.columns.len()];
        for (key, value) in object.into_iter().flatten() {
            if let Some(cell) = self.members.place(key, value).and_then(|place| row.get_mut(place)) {
                *cell = Some(value);
            }
        }
        for (column, value) in self.columns.iter_mut().zip(row) {
            column.push(value);
        }
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let columns = self.columns.iter_mut().map(Column::take).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(StructArray::try_new(fields(&self.members), columns, self.present.finish())?))
    }
}

impl ListCells {
    fn push(&mut self, values: Option<&Vec<Value>>) {
        self.present.append(values.is_some());
        self.lengths.push(values.map_or(0, Vec::len));
        values.into_iter().flatten().for_each(|value| self.values.push(Some(value)));
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        let field = Arc::new(field(&self.element));
        Ok(Arc::new(ListArray::try_new(field, offsets, self.values.take()?, self.present.finish())?))
    }
}

impl Column {
    fn new(kind: &Kind) -> Self {
        match kind {
            Kind::Boolean => Self::Boolean(BooleanBuilder::new()),
            Kind::Long => Self::Long(Int64Builder::new()),
            Kind::Double => Self::Double(Float64Builder::new()),
            Kind::String => Self::String(StringBuilder::new()),
            Kind::Date => Self::Date(Date32Builder::new()),
            Kind::Timestamp => {
                let builder = TimestampMicrosecondBuilder::new();
                Self::Timestamp(builder.with_data_type(schema::timestamp_type()))
            }
            Kind::Struct(members) => Self::Struct(StructCells::new(members)),
            Kind::List(element) => Self::List(Box::new(ListCells {
                values: Self::new(&element.kind),
                element: (**element).clone(),
                present: NullBufferBuilder::new(0),
                lengths: Vec::new(),
            })),
        }
    }

    fn push(&mut self, value: Option<&Value>) {
        match self {
            Self::Boolean(cells) => cells.append_option(value.and_then(Value::as_bool)),
            Self::Long(cells) => cells.append_option(value.and_then(fit::long)),
            Self::Double(cells) => cells.append_option(value.and_then(fit::double)),
            Self::String(cells) => cells.append_option(value.and_then(Value::as_str)),
            Self::Date(cells) => cells.append_option(value.and_then(fit::date)),
            Self::Timestamp(cells) => cells.append_option(value.and_then(fit::timestamp)),
            Self::Struct(cells) => cells.push(value.and_then(Value::as_object)),
            Self::List(cells) => cells.push(value.and_then(Value::as_array)),
        }
    }

    fn take(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(cells) => ArrayBuilder::finish(cells),
            Self::Long(cells) => ArrayBuilder::finish(cells),
            Self::Double(cells) => ArrayBuilder::finish(cells),
            Self::String(cells) => ArrayBuilder::finish(cells),
            Self::Date(cells) => ArrayBuilder::finish(cells),
            Self::Timestamp(cells) => ArrayBuilder::finish(cells),
            Self::Struct(cells) => cells.take()?,
            Self::List(cells) => cells.take()?,
        })
    }
}
