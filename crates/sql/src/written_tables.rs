//! Which tables archives write, and how rows lie in the files of tables that statements write.

use crate::statement::{Archive, Layout, PartitionColumn, PlacedStatement, SortColumn, Statement, Statements};
use dataflow::{PartitionField, SortField, TableLayout};

impl PartitionColumn {
    pub fn field(&self) -> PartitionField {
        PartitionField { column: self.column.text.clone(), transform: self.transform }
    }
}

impl Layout {
    /// The same without places in the text.
    pub fn table_layout(&self) -> TableLayout {
        let sort = |of: &SortColumn| SortField {
            column: of.column.text.clone(),
            descending: of.descending,
            nulls_first: of.nulls_first,
        };
        TableLayout {
            partition_by: self.partition_by.iter().map(PartitionColumn::field).collect(),
            sort_by: self.sort_by.iter().map(sort).collect(),
            properties: self.properties.iter().map(|of| (of.name.text.clone(), of.value.clone())).collect(),
        }
    }
}

impl Statements {
    /// The streams that ARCHIVE statements name, in the order of the text and as the streams write their names.
    pub fn archives(&self) -> Vec<String> {
        let streams = self.streams();
        let archive = |placed: &PlacedStatement| match &placed.statement {
            Statement::Archive(Archive { stream: name, .. }) => {
                let found = streams.iter().find(|stream| stream.eq_ignore_ascii_case(&name.text));
                Some(found.unwrap_or(&name.text).clone())
            }
            _ => None,
        };
        self.statements.iter().filter_map(archive).collect()
    }

    /// How the rows of a table that an INSERT writes lie in its files, by the table's name; nothing is said of others.
    pub fn table_layout(&self, table: &str) -> TableLayout {
        let layout = |placed: &PlacedStatement| match &placed.statement {
            Statement::Insert(insert) if !insert.topic && insert.target.text == table => {
                Some(insert.layout.table_layout())
            }
            _ => None,
        };
        self.statements.iter().find_map(layout).unwrap_or_default()
    }

    /// The same of the table that the archive of a stream writes.
    pub fn archive_layout(&self, stream: &str) -> TableLayout {
        let layout = |placed: &PlacedStatement| match &placed.statement {
            Statement::Archive(archive) if archive.stream.text.eq_ignore_ascii_case(stream) => {
                Some(archive.layout.table_layout())
            }
            _ => None,
        };
        self.statements.iter().find_map(layout).unwrap_or_default()
    }
}
