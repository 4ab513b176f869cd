//! Learns columns from values: what a field holds that no column takes gets one. Knows no ids.

use ebb_protocol::columns::{COLUMN_DEPTH_MAX, COLUMN_NAME_BYTES_MAX, COLUMNS_MAX};
use serde_json::{Map, Value};

use super::{ColumnTree, ELEMENT, Kind, Members, Node, ValueReader, fit};

impl ColumnTree {
    /// Adds columns for what a value has and no column takes. A value that cannot be read has nothing to tell. What goes
    /// beyond the limits of a topic gets no column.
    pub fn learn(&mut self, values: &ValueReader, value: &[u8]) {
        if let Ok(object) = values.read(value) {
            let count = self.root.count();
            Learner { left: COLUMNS_MAX.saturating_sub(count) }.fields(&mut self.root, &object, 1);
        }
    }
}

struct Learner {
    /// How many more columns there may be.
    left: usize,
}

impl Learner {
    fn fields(&mut self, members: &mut Members, object: &Map<String, Value>, depth: usize) {
        if depth > COLUMN_DEPTH_MAX {
            return;
        }
        for (key, value) in object.iter().filter(|(key, _)| key.len() <= COLUMN_NAME_BYTES_MAX) {
            let Members { nodes, by_key } = members;
            let mut places = by_key.get(key).into_iter().flatten().copied();
            let is_taken =
                places.any(|place| nodes.get_mut(place).is_some_and(|node| self.absorb(node, value, depth)));
            if is_taken || value.is_null() || self.left == 0 {
                continue;
            }
            self.left -= 1;
            match self.sketch(value, depth) {
                Some(kind) => members.push(Node::wanted(key, kind)),
                None => self.left += 1,
            }
        }
    }

    /// Whether a column takes a value, possibly after it has grown by it.
    fn absorb(&mut self, node: &mut Node, value: &Value, depth: usize) -> bool {
        let is_wanted = node.id.is_none();
        let is_taken = node.kind.takes(value) || is_wanted && self.widen(&mut node.kind, value, depth);
        if !is_taken {
            return false;
        }
        match (&mut node.kind, value) {
            (Kind::Struct(members), Value::Object(object)) => self.fields(members, object, depth + 1),
            (Kind::List(element), Value::Array(values)) => {
                for value in values {
                    self.absorb(element, value, depth + 1);
                }
            }
            _ => {}
        }
        true
    }

    /// Has a column that nobody knows yet take a value of a kind that has the old one in it.
    fn widen(&mut self, kind: &mut Kind, value: &Value, depth: usize) -> bool {
        match (&mut *kind, value) {
            (Kind::Long, Value::Number(_)) if fit::double(value).is_some() => {
                *kind = Kind::Double;
                true
            }
            (Kind::List(element), Value::Array(values)) => {
                let mut grown = element.clone();
                let is_one_kind = values.iter().all(|value| self.absorb(&mut grown, value, depth + 1));
                if is_one_kind {
                    *element = grown;
                }
                is_one_kind
            }
            _ => false,
        }
    }

    /// Has the elements of a new list take one more.
    fn extend(&mut self, element: &mut Option<Node>, value: &Value, depth: usize) -> bool {
        match element {
            _ if value.is_null() => true,
            Some(element) => self.absorb(element, value, depth),
            None if self.left == 0 || depth > COLUMN_DEPTH_MAX => false,
            None => {
                self.left -= 1;
                *element = self.sketch(value, depth).map(|kind| Node::wanted(ELEMENT, kind));
                element.is_some()
            }
        }
    }

    /// A new column's kind. None for what says nothing of it, and for lists of many kinds.
    fn sketch(&mut self, value: &Value, depth: usize) -> Option<Kind> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(_) => Kind::Boolean,
            Value::Number(number) if number.is_i64() => Kind::Long,
            Value::Number(_) => Kind::Double,
            Value::String(_) => Kind::String,
            Value::Object(object) => {
                let mut members = Members::default();
                self.fields(&mut members, object, depth + 1);
                Kind::Struct(members)
            }
            Value::Array(values) => {
                let mut element = None;
                let is_one_kind = values.iter().all(|value| self.extend(&mut element, value, depth + 1));
                Kind::List(Box::new(element.filter(|_| is_one_kind)?))
            }
        })
    }
}

impl Members {
    /// How many columns there are, nested ones counted.
    fn count(&self) -> usize {
        self.nodes.iter().map(Node::count).sum()
    }
}

impl Node {
    pub(super) fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Struct(members) => members.count(),
            Kind::List(element) => element.count(),
            _ => 0,
        }
    }
}
