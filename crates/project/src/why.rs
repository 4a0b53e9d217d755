//! One decision, found in the logs by its id.

use crate::open::Project;
use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use dataflow::{Error, RecordBatches, Result, TimedFiles};

const READ_ROWS: usize = 65_536;

/// The suffix of a decision's log table.
const LOG: &str = "__log";

impl Project {
    /// The log rows whose decision id begins with a text, each with the decision's name. An error says which logs
    /// were looked through when there are none.
    pub fn why(&self, id: &str) -> Result<Vec<(String, RecordBatch)>> {
        let mut looked = Vec::new();
        let mut found = Vec::new();
        if let Some(warehouse) = self.warehouse_if_there()? {
            for table in warehouse.tables()? {
                let Some(decision) = self.decision_of_log(&table) else { continue };
                looked.push(table.clone());
                let files = warehouse.read(&table)?;
                found.extend(rows_of(files.as_ref(), id)?.into_iter().map(|row| (decision.to_owned(), row)));
            }
        }
        if found.is_empty() {
            let looked = if looked.is_empty() {
                "no decision has a log yet".to_owned()
            } else {
                format!("looked in: {}", looked.join(", "))
            };
            return Err(Error::invalid(format!(
                "no decision has an id that begins with \"{id}\" ({looked}); {}",
                self.some_ids(id)
            )));
        }
        Ok(found)
    }
}

impl Project {
    /// The decision whose log a table is. Who writes under names of their own has logs of their own alone.
    fn decision_of_log<'a>(&self, table: &'a str) -> Option<&'a str> {
        let name = table.rsplit('.').next()?;
        let name = match &self.own {
            Some(own) if own.names.tables().any(|own| own == name) => {
                name.strip_prefix(&own.person)?.strip_prefix('_')?
            }
            Some(_) => return None,
            None => name,
        };
        name.strip_suffix(LOG)
    }

    /// Where ids of decisions are found: for the name of a decision in place of an id, its log.
    fn some_ids(&self, id: &str) -> String {
        let decisions = self.statements.decisions();
        match decisions.iter().find(|name| name.eq_ignore_ascii_case(id)) {
            Some(name) => format!(
                "it is the name of a decision: `riverrun query \"SELECT decision_id FROM {name}{LOG}\" -n 5` shows ids"
            ),
            None => "actions on the topic carry it as decision_id".to_owned(),
        }
    }
}

fn rows_of(files: &dyn TimedFiles, id: &str) -> Result<Vec<RecordBatch>> {
    let names: Vec<String> = files.schema().fields().iter().map(|field| field.name().clone()).collect();
    let id_column = names.iter().position(|name| name == "decision_id");
    let Some(id_column) = id_column else {
        return Err(Error::corrupt(format!(
            "table {} is not a decision log: it has no column decision_id",
            files.name()
        )));
    };
    let mut found = Vec::new();
    for file in 0..files.files().len() {
        // The ids alone say whether the file has to be read.
        let mut there = false;
        for rows in files.open(file, files.files()[file].all_groups(), &names[id_column..=id_column], READ_ROWS)? {
            there |= rows?.column(0).as_string::<i32>().iter().flatten().any(|one| one.starts_with(id));
        }
        if !there {
            continue;
        }
        for rows in files.open(file, files.files()[file].all_groups(), &names, READ_ROWS)? {
            let rows = rows?;
            let ids = rows.column(id_column).as_string::<i32>();
            let mask: BooleanArray = ids.iter().map(|one| Some(one.is_some_and(|one| one.starts_with(id)))).collect();
            let some = filter_record_batch(&rows, &mask)?;
            if some.num_rows() > 0 {
                found.push(some);
            }
        }
    }
    Ok(found)
}

impl Project {
    /// Writes the rows of a query as a Parquet file as they come; it is there as a whole or not at all, and gives how
    /// many rows it has. Without a row it has the columns that are planned.
    pub fn write_parquet(&self, path: &std::path::Path, planned: SchemaRef, mut rows: RecordBatches) -> Result<u64> {
        let first = rows.next().transpose()?;
        let schema = first.as_ref().map_or(planned, |first| first.schema());
        connector_local::write_parquet(path, schema, Box::new(first.into_iter().map(Ok).chain(rows)))
    }
}
