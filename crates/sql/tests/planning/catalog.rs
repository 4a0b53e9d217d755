//! A project's tables and models as the tests see them: known by name, without files.

use arrow::array::{ArrayRef, Float32Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{Error, Result, Scorer, ScorerInput, ScorerValue};
use sql::{Catalog, Model, StoredTable};
use std::sync::Arc;

/// Knows the table `raw.events`, the files `data/*.parquet`, and a model for every file but `models/missing.onnx`.
pub struct Known;

impl Catalog for Known {
    fn table_schema(&self, table: &str) -> Result<SchemaRef> {
        match table {
            "raw.events" => Ok(events()),
            other => Err(Error::invalid(format!("table \"{other}\" does not exist"))),
        }
    }

    fn files_schema(&self, pattern: &str, _: values::Encoding) -> Result<SchemaRef> {
        match pattern {
            "data/*.parquet" => Ok(events()),
            other => Err(Error::invalid(format!("no file matches \"{other}\""))),
        }
    }

    fn stored_table(&self, table: &str) -> Result<StoredTable> {
        let there = |schema| StoredTable::There { name: table.to_owned(), schema };
        Ok(match table {
            "lake.events" => there(events()),
            "lake.nested" => there(nested()),
            _ => StoredTable::Absent { tables: vec!["lake.events".to_owned(), "lake.nested".to_owned()] },
        })
    }

    fn scorer(&self, model: &Model) -> Result<Arc<dyn Scorer>> {
        let inputs = match model.path.text.as_str() {
            "models/missing.onnx" => return Err(Error::invalid("file \"models/missing.onnx\" does not exist")),
            "models/named.onnx" => {
                ["a", "b"].map(|name| ScorerInput::one(Some(name.to_owned()), ScorerValue::Number)).to_vec()
            }
            "models/two.onnx" => vec![ScorerInput::one(None, ScorerValue::Number); 2],
            _ => vec![ScorerInput::one(None, ScorerValue::Number); model.inputs.as_ref().map_or(0, Vec::len)],
        };
        let whole = model.path.text == "models/whole.onnx";
        Ok(Arc::new(Half { inputs, whole }))
    }
}

fn events() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("user_id", DataType::Int64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("amount", DataType::Float64, true),
        Field::new("_partition", DataType::Int32, true),
    ]))
}

/// What other writers put into tables.
fn nested() -> SchemaRef {
    let number = || Arc::new(Field::new("element", DataType::Int64, true));
    let entry = DataType::Struct(
        vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)].into(),
    );
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("tags", DataType::List(number()), true),
        Field::new("who", DataType::Struct(vec![Field::new("p", DataType::Int64, true)].into()), true),
        Field::new("props", DataType::Map(Arc::new(Field::new("entries", entry, false)), false), true),
        Field::new("opens", DataType::Time64(TimeUnit::Microsecond), true),
    ]))
}

/// A model that gives a half for every row.
#[derive(Debug)]
struct Half {
    inputs: Vec<ScorerInput>,
    // Whether it fails on rows with an input that is NULL.
    whole: bool,
}

impl Scorer for Half {
    fn inputs(&self) -> &[ScorerInput] {
        &self.inputs
    }

    fn output(&self) -> DataType {
        DataType::Float32
    }

    fn version(&self) -> &str {
        "half"
    }

    fn score(&self, inputs: &[ArrayRef]) -> Result<ArrayRef> {
        let rows = inputs.first().map_or(0, |input| input.len());
        let missing = |nulls: Option<NullBuffer>, input: &ArrayRef| NullBuffer::union(nulls.as_ref(), input.nulls());
        let nulls = if self.whole { inputs.iter().fold(None, missing) } else { None };
        Ok(Arc::new(Float32Array::new(vec![0.5; rows].into(), nulls)))
    }
}
