//! Rows with expected scores that a model's file carries, so that a model that scores otherwise here is refused.

use crate::node::Checked;
use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;
use serde_json::Value;
use std::sync::Arc;

/// The most sample rows that a file may carry.
const SAMPLE_ROWS_MAX: usize = 10_000;

/// How far a score may be from the one that the file expects: as a share of it, and as a number where it is below 1.
pub const SAMPLE_TOLERANCE: f64 = 1e-5;

/// Sample rows by column, and what the chosen output gives for each.
#[derive(Clone, Debug)]
pub struct Samples {
    pub columns: Vec<ArrayRef>,
    /// None where the model is expected to fail.
    pub scores: Vec<Option<f64>>,
    /// The output that the scores are of; the one that is chosen if the file does not say.
    pub output: Option<String>,
}

/// Reads the names of the inputs from their metadata, a JSON list.
pub fn read_input_names(text: &str) -> Checked<Vec<String>> {
    let names: Vec<String> = serde_json::from_str(text)
        .map_err(|error| format!("metadata \"riverrun.inputs\" is not a JSON list of names: {error}"))?;
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(format!("metadata \"riverrun.inputs\" lists \"{}\" twice", twice[0])),
        None => Ok(names),
    }
}

impl Samples {
    /// Reads `{"rows": [[1.5, null], ..], "scores": [0.25, ..], "output": "probability OF 1"}`; null in a row is a
    /// missing value, and `output` may be left out. Values of a column are numbers, texts, booleans or lists of them.
    pub fn read(text: &str, features: usize) -> Checked<Samples> {
        let wrong = |what: String| format!("metadata \"riverrun.samples\": {what}");
        let json: Value = serde_json::from_str(text).map_err(|error| wrong(format!("not JSON: {error}")))?;
        let list = |name: &str| {
            json.get(name)
                .and_then(Value::as_array)
                .ok_or_else(|| wrong(format!("\"{name}\" is not there, expected a list")))
        };
        let (rows, scores) = (list("rows")?, list("scores")?);
        if rows.len() != scores.len() || rows.len() > SAMPLE_ROWS_MAX {
            return Err(wrong(format!(
                "{} rows and {} scores, expected as many of both and at most {SAMPLE_ROWS_MAX}",
                rows.len(),
                scores.len()
            )));
        }
        let mut columns: Vec<Vec<&Value>> = vec![Vec::new(); features];
        for (at, row) in rows.iter().enumerate() {
            let row = row.as_array().ok_or_else(|| wrong(format!("row {at} is not a list")))?;
            if row.len() != features {
                return Err(wrong(format!("row {at} has {} values, expected {features}", row.len())));
            }
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let scores = scores.iter().enumerate().map(|(at, score)| {
            number(score).ok_or_else(|| wrong(format!("score {at} is {score}, expected a number or null")))
        });
        let output = match json.get("output") {
            None => None,
            Some(Value::String(output)) => Some(output.clone()),
            Some(other) => return Err(wrong(format!("\"output\" is {other}, expected a text"))),
        };
        let columns = columns.iter().enumerate();
        let columns = columns.map(|(at, values)| array(values).map_err(|fault| wrong(format!("column {at} {fault}"))));
        Ok(Samples { columns: columns.collect::<Checked<_>>()?, scores: scores.collect::<Checked<_>>()?, output })
    }

    /// Compares what an output gives with what the file expects.
    pub fn compare(&self, found: impl Iterator<Item = Option<f64>>) -> Checked<()> {
        for (at, (found, expected)) in found.zip(&self.scores).enumerate() {
            let agree = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() <= SAMPLE_TOLERANCE * expected.abs().max(1.0),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            if !agree {
                let show = |score: Option<f64>| score.map_or("NULL".to_string(), |score| score.to_string());
                return Err(format!(
                    "sample row {at} scores {}, expected {} as metadata \"riverrun.samples\" says",
                    show(found),
                    show(*expected)
                ));
            }
        }
        Ok(())
    }
}

/// A column of values of one kind.
fn array(values: &[&Value]) -> Checked<ArrayRef> {
    let all = |kind: fn(&Value) -> bool| values.iter().all(|value| value.is_null() || kind(value));
    if all(Value::is_i64) && values.iter().any(|value| value.is_i64()) {
        return Ok(Arc::new(values.iter().map(|value| value.as_i64()).collect::<Int64Array>()));
    }
    if all(Value::is_number) {
        return Ok(Arc::new(values.iter().map(|value| value.as_f64()).collect::<Float64Array>()));
    }
    if all(Value::is_string) {
        return Ok(Arc::new(values.iter().map(|value| value.as_str()).collect::<StringArray>()));
    }
    if all(Value::is_boolean) {
        return Ok(Arc::new(values.iter().map(|value| value.as_bool()).collect::<BooleanArray>()));
    }
    if all(Value::is_array) {
        let lists = || values.iter().map(|value| value.as_array());
        let inner: Vec<&Value> = lists().flatten().flatten().collect();
        let inner = array(&inner)?;
        let lengths = OffsetBuffer::from_lengths(lists().map(|list| list.map_or(0, Vec::len)));
        let nulls = lists().map(|list| list.is_some()).collect();
        let field = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
        return Ok(Arc::new(ListArray::new(field, lengths, inner, Some(nulls))));
    }
    let odd =
        values.iter().find(|value| !value.is_number() && !value.is_null()).map_or(String::new(), ToString::to_string);
    Err(format!("has {odd}, expected values of one kind: numbers, texts, booleans or lists of them"))
}

/// A number or null; None for anything else.
fn number(value: &Value) -> Option<Option<f64>> {
    match value {
        Value::Null => Some(None),
        Value::Number(number) => Some(number.as_f64()),
        _ => None,
    }
}
