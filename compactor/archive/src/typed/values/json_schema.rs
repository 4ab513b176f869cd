//! Columns that a JSON Schema wants. Of the schema's vocabulary `type`, `properties`, `items` and `format` count
//! (draft 2020-12, and those before); what only narrows values further does not matter to columns.

use ebb_protocol::columns::{COLUMN_DEPTH_MAX, COLUMN_NAME_BYTES_MAX, COLUMNS_MAX};
use serde_json::{Map, Value};

use super::{
    super::{ColumnTree, ELEMENT, Kind, Members, Node},
    SchemaError,
};

/// The columns that a schema wants.
pub(super) fn columns(text: &str) -> Result<ColumnTree, SchemaError> {
    let syntax = |error: serde_json::Error| SchemaError::Syntax(format!("it is not JSON: {error}"));
    let schema: Value = serde_json::from_str(text).map_err(syntax)?;
    let mut reader = Reader { left: COLUMNS_MAX };
    match reader.kind(&schema, "$", 0)? {
        Some(Kind::Struct(root)) => Ok(ColumnTree { root }),
        _ => Err(SchemaError::Shape("the schema of an object with properties")),
    }
}

struct Reader {
    /// How many more columns there may be.
    left: usize,
}

impl Reader {
    /// What a schema's values are; none when nothing is said of what lies in them.
    fn kind(&mut self, schema: &Value, path: &str, depth: usize) -> Result<Option<Kind>, SchemaError> {
        let untyped = || SchemaError::Type(path.to_owned());
        let schema = schema.as_object().ok_or_else(untyped)?;
        let format = schema.get("format").and_then(Value::as_str);
        Ok(Some(match (type_of(schema).ok_or_else(untyped)?, format) {
            ("boolean", _) => Kind::Boolean,
            ("integer", _) => Kind::Long,
            ("number", _) => Kind::Double,
            ("string", Some("date-time")) => Kind::Timestamp,
            ("string", Some("date")) => Kind::Date,
            ("string", _) => Kind::String,
            ("object", _) => {
                let Some(Value::Object(properties)) = schema.get("properties") else { return Ok(None) };
                let members = self.members(properties, path, depth + 1)?;
                if members.nodes.is_empty() {
                    return Ok(None);
                }
                Kind::Struct(members)
            }
            ("array", _) => {
                let Some(items) = schema.get("items") else { return Ok(None) };
                let Some(node) = self.node(ELEMENT, items, &format!("{path}[]"), depth + 1)? else {
                    return Ok(None);
                };
                Kind::List(Box::new(node))
            }
            _ => return Err(untyped()),
        }))
    }

    fn members(
        &mut self,
        properties: &Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Result<Members, SchemaError> {
        let mut members = Members::default();
        for (key, schema) in properties {
            if let Some(node) = self.node(key, schema, &format!("{path}.{key}"), depth)? {
                members.push(node);
            }
        }
        Ok(members)
    }

    fn node(
        &mut self,
        key: &str,
        schema: &Value,
        path: &str,
        depth: usize,
    ) -> Result<Option<Node>, SchemaError> {
        if depth > COLUMN_DEPTH_MAX || key.len() > COLUMN_NAME_BYTES_MAX || self.left == 0 {
            return Err(SchemaError::Limit(path.to_owned()));
        }
        self.left -= 1;
        Ok(self.kind(schema, path, depth)?.map(|kind| Node::wanted(key, kind)))
    }
}

/// The only type of a schema's values beside null.
fn type_of(schema: &Map<String, Value>) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => {
            let mut names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.next().filter(|_| names.next().is_none())
        }
        _ => None,
    }
}
