//! What planning asks of the project: schemas of tables and files, and models.

use crate::statement::Model;
use arrow::datatypes::SchemaRef;
use dataflow::{Result, Scorer};
use std::sync::Arc;
use values::Encoding;

/// What is stored under the name of a table.
#[derive(Clone, Debug)]
pub enum StoredTable {
    /// The table, with its own name.
    There {
        /// Its name, as a job wrote it.
        name: String,
        /// Its columns.
        schema: SchemaRef,
    },
    /// There is none of the name.
    Absent {
        /// The tables that there are.
        tables: Vec<String>,
    },
}

/// What planning asks of the project. Schemas are asked for only where a stream declares no columns.
pub trait Catalog {
    /// The schema of a table.
    fn table_schema(&self, table: &str) -> Result<SchemaRef>;
    /// The schema of the files that match a pattern.
    fn files_schema(&self, pattern: &str, encoding: Encoding) -> Result<SchemaRef>;
    /// The table that a job has written of a name, in any case of letters.
    fn stored_table(&self, table: &str) -> Result<StoredTable>;
    /// A model, loaded, with its output chosen.
    fn scorer(&self, model: &Model) -> Result<Arc<dyn Scorer>>;
}
