//! Rows with expected scores that a model's file carries, so that a model that scores otherwise here is refused.

use crate::node::Checked;
use serde_json::Value;

/// The most sample rows that a file may carry.
const SAMPLE_ROWS_MAX: usize = 10_000;

/// How far a score may be from the one that the file expects.
pub const SAMPLE_TOLERANCE: f64 = 1e-5;

/// Sample rows by column, and what the chosen output gives for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    pub columns: Vec<Vec<f32>>,
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
        Some(twice) => Err(format!("metadata \"riverrun.inputs\" lists {:?} twice", twice[0])),
        None => Ok(names),
    }
}

impl Samples {
    /// Reads `{"rows": [[1.5, null], ..], "scores": [0.25, ..], "output": "probability OF 1"}`; null in a row is a
    /// missing value, and `output` may be left out.
    pub fn read(text: &str, features: usize) -> Checked<Samples> {
        let wrong = |what: String| format!("metadata \"riverrun.samples\": {what}");
        let json: Value = serde_json::from_str(text).map_err(|error| wrong(format!("not JSON: {error}")))?;
        let list = |name: &str| {
            json.get(name)
                .and_then(Value::as_array)
                .ok_or_else(|| wrong(format!("{name:?} is not there, expected a list")))
        };
        let (rows, scores) = (list("rows")?, list("scores")?);
        if rows.len() != scores.len() || rows.len() > SAMPLE_ROWS_MAX {
            return Err(wrong(format!(
                "{} rows and {} scores, expected as many of both and at most {SAMPLE_ROWS_MAX}",
                rows.len(),
                scores.len()
            )));
        }
        let mut columns = vec![Vec::new(); features];
        for (at, row) in rows.iter().enumerate() {
            let row = row.as_array().ok_or_else(|| wrong(format!("row {at} is not a list")))?;
            if row.len() != features {
                return Err(wrong(format!("row {at} has {} values, expected {features}", row.len())));
            }
            for (column, value) in columns.iter_mut().zip(row) {
                let value = number(value).ok_or_else(|| wrong(format!("row {at} has {value}, expected a number")))?;
                column.push(value.map_or(f32::NAN, |value| value as f32));
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
        Ok(Samples { columns, scores: scores.collect::<Checked<_>>()?, output })
    }

    /// Compares what an output gives with what the file expects.
    pub fn compare(&self, found: impl Iterator<Item = Option<f64>>) -> Checked<()> {
        for (at, (found, expected)) in found.zip(&self.scores).enumerate() {
            let agree = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() <= SAMPLE_TOLERANCE,
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

/// A number or null; None for anything else.
fn number(value: &Value) -> Option<Option<f64>> {
    match value {
        Value::Null => Some(None),
        Value::Number(number) => Some(number.as_f64()),
        _ => None,
    }
}
