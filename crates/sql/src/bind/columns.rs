//! The columns of a project: every value that a row can carry has a number, which it keeps from view to view.

use crate::expression::{ColumnId, Place, Tree, print};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// What is known of a column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// What it is called where it comes about, for people: no name is looked up by it.
    pub name: Arc<str>,
    pub data_type: DataType,
    /// Whether the SQL gives it a name; otherwise it is called after the expression that it holds.
    pub named: bool,
}

/// All columns, by their ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns(Vec<Column>);

impl Columns {
    pub fn add(&mut self, name: &str, data_type: DataType) -> ColumnId {
        self.push(Column { name: name.into(), data_type, named: true })
    }

    /// A column for a part of an expression, called after it.
    pub fn add_part(&mut self, text: &str, data_type: DataType) -> ColumnId {
        self.push(Column { name: text.into(), data_type, named: false })
    }

    fn push(&mut self, column: Column) -> ColumnId {
        self.0.push(column);
        ColumnId(self.0.len() - 1)
    }

    pub fn get(&self, id: ColumnId) -> &Column {
        &self.0[id.0]
    }

    pub fn name(&self, id: ColumnId) -> &str {
        &self.0[id.0].name
    }

    /// Names of columns, as a list.
    pub fn names(&self, ids: &[ColumnId]) -> String {
        ids.iter().map(|&id| self.name(id)).collect::<Vec<_>>().join(", ")
    }

    /// An expression for people.
    pub fn text(&self, tree: &Tree) -> String {
        print(tree, &|place| match place {
            Place::Column(id) => self.name(id).to_owned(),
            beside => beside.name().to_owned(),
        })
    }
}
