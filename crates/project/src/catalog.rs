//! What planning asks of a project: schemas of tables and files, and loaded models.

use crate::load::within;
use crate::near_path::with_near_path;
use crate::open::Project;
use crate::query::read_schema;
use arrow::datatypes::SchemaRef;
use connector_local::Files;
use dataflow::{Error, Result, Scorer};
use model::{ModelFile, OutputSelector};
use sql::{StoredTable, near_or_all, statement};
use std::sync::Arc;
use values::Encoding;

impl sql::Catalog for Project {
    fn table_schema(&self, table: &str) -> Result<SchemaRef> {
        match self.warehouse_if_there()? {
            Some(warehouse) if warehouse.exists(table)? => {
                let schema = warehouse.schema(table)?;
                self.lock.columns(table, &schema)?;
                Ok(schema)
            }
            there => {
                let tables = there.map(|warehouse| warehouse.tables()).transpose()?.unwrap_or_default();
                let known = tables.iter().map(String::as_str);
                Err(Error::invalid(format!(
                    "table {table} does not exist in {}; {}",
                    self.tables_place(),
                    near_or_all(table, known, "its tables are", "it has no table yet")
                )))
            }
        }
    }

    fn files_schema(&self, pattern: &str, encoding: Encoding) -> Result<SchemaRef> {
        let root = &self.folder.root;
        let schema = with_near_path(Files::inferred_schema(pattern, root, encoding), root, pattern)?;
        self.lock.columns(pattern, &schema)?;
        Ok(schema)
    }

    fn stored_table(&self, table: &str) -> Result<StoredTable> {
        let Some(warehouse) = self.warehouse_if_there()? else { return Ok(StoredTable::Absent { tables: Vec::new() }) };
        let table = self.own_table(table).unwrap_or(table);
        // A catalog of many tables is listed only for a name that it does not have as it is written.
        if self.has_catalog() && warehouse.exists(table)? {
            return Ok(StoredTable::There { name: table.to_owned(), schema: read_schema(&warehouse.schema(table)?) });
        }
        let tables = warehouse.tables()?;
        // A table of the default namespace is known by its last part alone.
        let names = |known: &String| [known.clone(), known.rsplit('.').next().unwrap_or_default().to_owned()];
        let names: Vec<String> = tables.iter().flat_map(names).collect();
        let exact = names.iter().filter(|name| *name == table);
        for name in exact.chain(names.iter().filter(|name| name.eq_ignore_ascii_case(table))) {
            if warehouse.exists(name)? {
                return Ok(StoredTable::There { name: name.clone(), schema: read_schema(&warehouse.schema(name)?) });
            }
        }
        // As a query writes them.
        let written = |table: String| table.strip_prefix("default.").map_or(table.clone(), str::to_owned);
        Ok(StoredTable::Absent { tables: tables.into_iter().map(written).collect() })
    }

    fn scorer(&self, model: &statement::Model) -> Result<Arc<dyn Scorer>> {
        let path = within(&self.folder.root, &model.path.text);
        let file = with_near_path(ModelFile::read(&model.name.text, &path), &self.folder.root, &model.path.text)?;
        let loaded = self.load_model(file)?;
        let selector = match &model.output {
            statement::ModelOutput::Only => OutputSelector::Only,
            statement::ModelOutput::Named(name) if name.text.eq_ignore_ascii_case("label") => OutputSelector::Label,
            statement::ModelOutput::Named(name) if name.text.eq_ignore_ascii_case("value") => OutputSelector::Value,
            statement::ModelOutput::Named(name) => OutputSelector::Probability { label: name.text.clone() },
            statement::ModelOutput::ValueOf(target) => OutputSelector::ValueOf { target: target.text.clone() },
            statement::ModelOutput::ProbabilityOf(label) => OutputSelector::Probability { label: label.text.clone() },
        };
        Ok(Arc::new(loaded.select(&selector)?))
    }
}
