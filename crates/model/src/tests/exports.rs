//! What the usual exporters write scores as onnxruntime scores it, and the same in any batch.
//! `tests/exports/make.py` makes the fixtures.

use crate::{Model, OutputScorer};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, StructArray,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use dataflow::Scorer;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ROWS: usize = 1000;
const WORDS: [&str; 6] = ["de", "fr", "us", "jp", "", "xx"];
const PARTS: [&str; 12] = [
    "free",
    "Money",
    "meeting",
    "notes",
    "WIN",
    "now",
    "Tomorrow",
    "x",
    "caf\u{e9}",
    "\u{130}zmir",
    "42",
    "unheard_of",
];
const GAPS: [&str; 6] = [" ", "  ", ", ", "! ", "-", ""];
const EXTREMES: [f64; 8] = [f64::INFINITY, f64::NEG_INFINITY, 1e30, -1e30, 3.4028235e38, 1e-40, -0.0, 0.0];

/// One entry of `exports.json`.
#[derive(Deserialize)]
pub struct Fixture {
    pub name: String,
    seed: u64,
    tolerance: f64,
    inputs: Vec<String>,
    columns: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    name: String,
    labels: Option<Vec<String>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports")
}

pub fn fixtures() -> Vec<Fixture> {
    serde_json::from_slice(&std::fs::read(folder().join("exports.json")).unwrap()).unwrap()
}

/// The finaliser of splitmix64.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

impl Fixture {
    pub fn path(&self) -> PathBuf {
        folder().join(format!("{}.onnx", self.name))
    }

    fn bits(&self, row: usize, column: usize) -> u64 {
        mix((self.seed << 40) + ((row as u64) << 16) + column as u64)
    }

    /// A number of the rows, as `value` of the script makes it.
    fn number(&self, kind: &str, row: usize, column: usize) -> Option<f64> {
        let (bits, odd) = (self.bits(row, column), self.bits(row, 0xFFFF));
        if kind.contains("extreme") && odd % 16 == 0 && (odd >> 8) % self.inputs.len() as u64 == column as u64 {
            return Some(EXTREMES[((odd >> 32) % 8) as usize]);
        }
        if kind.contains("missing") && bits % 10 == 0 {
            return None;
        }
        Some(((bits >> 40) as f64 / (1u64 << 24) as f64 - 0.5) * 8.0)
    }

    pub fn columns(&self) -> Vec<ArrayRef> {
        let column = |(at, kind): (usize, &String)| -> ArrayRef {
            let rows = 0..ROWS;
            match kind.as_str() {
                "word" => {
                    Arc::new(StringArray::from_iter_values(rows.map(|row| WORDS[(self.bits(row, at) % 6) as usize])))
                }
                "known word" => {
                    Arc::new(StringArray::from_iter_values(rows.map(|row| WORDS[(self.bits(row, at) % 3) as usize])))
                }
                "sentence" => Arc::new(StringArray::from_iter_values(rows.map(|row| self.sentence(row, at)))),
                "count" => Arc::new(rows.map(|row| Some((self.bits(row, at) % 10) as i64)).collect::<Int64Array>()),
                kind if kind.starts_with("list") => Arc::new(self.lists(kind, at)),
                "truth" => Arc::new(rows.map(|row| Some(self.bits(row, at) % 2 == 1)).collect::<BooleanArray>()),
                kind => Arc::new(rows.map(|row| self.number(kind, row, at)).collect::<Float64Array>()),
            }
        };
        self.inputs.iter().enumerate().map(column).collect()
    }

    /// A text of several words, known and unknown, of both cases and with signs between them.
    fn sentence(&self, row: usize, column: usize) -> String {
        let bits = self.bits(row, column);
        let part = |at: u64| {
            let bits = mix(bits.wrapping_add(at));
            PARTS[(bits % PARTS.len() as u64) as usize].to_owned() + GAPS[((bits >> 32) % GAPS.len() as u64) as usize]
        };
        (0..bits % 12).map(part).collect()
    }

    /// A column of lists of numbers: "list 24" has 24 in each.
    fn lists(&self, kind: &str, column: usize) -> ListArray {
        let width: usize = kind.split(' ').nth(1).unwrap().parse().unwrap();
        let list =
            |row: usize| (0..width).map(move |at| self.number("float", row, column * 512 + at)).collect::<Vec<_>>();
        ListArray::from_iter_primitive::<Float64Type, _, _>((0..ROWS).map(|row| Some(list(row))))
    }

    /// What onnxruntime answers, column by column.
    fn expected(&self) -> Vec<Vec<f32>> {
        let bytes = std::fs::read(folder().join(format!("{}.scores", self.name))).unwrap();
        let floats: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        floats.chunks(ROWS).map(<[f32]>::to_vec).collect()
    }

    fn scorer(&self) -> Result<OutputScorer, String> {
        let model = Model::load(&self.name, &self.path()).map_err(|error| error.to_string())?;
        model.select_all().map_err(|error| error.to_string())
    }

    /// The first difference to what onnxruntime answers.
    fn check(&self) -> Result<(), String> {
        let scorer = self.scorer()?;
        let found = scorer.score(&self.columns()).map_err(|error| error.to_string())?;
        let found = found.as_struct();
        let names: Vec<String> = scorer.model().outputs().iter().map(ToString::to_string).collect();
        if names.len() != self.columns.len() {
            return Err(format!("gives {names:?}, expected {} columns", self.columns.len()));
        }
        let expected = self.expected();
        let finite: Vec<bool> = (0..ROWS)
            .map(|row| {
                self.columns
                    .iter()
                    .zip(&expected)
                    .all(|(column, found)| column.labels.is_some() || found[row].is_finite())
            })
            .collect();
        for (at, (column, expected)) in self.columns.iter().zip(&expected).enumerate() {
            let told = column.name == "label" || column.name.starts_with("probability OF ");
            if told && column.name != names[at] {
                return Err(format!("column {at} is {:?}, expected {:?}", names[at], column.name));
            }
            match &column.labels {
                Some(labels) => self.check_labels(found.column(at), labels, expected, &finite)?,
                None => self.check_numbers(found.column(at), expected, &finite)?,
            }
        }
        Ok(())
    }

    fn check_labels(
        &self,
        found: &ArrayRef,
        labels: &[String],
        expected: &[f32],
        finite: &[bool],
    ) -> Result<(), String> {
        for row in 0..ROWS {
            let label = match found.data_type() {
                _ if found.is_null(row) => None,
                DataType::Int64 => Some(found.as_primitive::<Int64Type>().value(row).to_string()),
                _ => Some(found.as_string::<i32>().value(row).to_string()),
            };
            // A row without a score has no label here.
            let expected = &labels[expected[row] as usize];
            if finite[row] && label.as_ref() != Some(expected) {
                return Err(format!("row {row}: label {label:?}, onnxruntime says {expected:?}"));
            }
        }
        Ok(())
    }

    fn check_numbers(&self, found: &ArrayRef, expected: &[f32], finite: &[bool]) -> Result<(), String> {
        for (row, found) in found.as_primitive::<Float64Type>().iter().enumerate() {
            let expected = f64::from(expected[row]);
            let agree = match found {
                Some(found) => (found - expected).abs() <= self.tolerance * expected.abs().max(1.0),
                None => !finite[row],
            };
            if !agree {
                return Err(format!("row {row}: {found:?}, onnxruntime says {expected}"));
            }
        }
        Ok(())
    }
}

#[test]
fn what_exporters_write_scores_as_onnxruntime_scores_it() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 80);
    let faults: Vec<String> = fixtures
        .iter()
        .filter_map(|fixture| fixture.check().err().map(|fault| format!("{}: {fault}", fixture.name)))
        .collect();
    assert!(faults.is_empty(), "{} of {} differ:\n{}", faults.len(), fixtures.len(), faults.join("\n"));
}

/// The exporter lets the trees of all targets add to the first one.
#[test]
fn an_export_that_mixes_its_targets_is_refused() {
    let error = Model::load("pair", &folder().join("refused/xgboost_two_targets.onnx")).unwrap_err().to_string();
    assert!(error.contains("is declared 1 numbers wide, but has 2: train and export a model for each"), "{error}");
}

/// The same bits, alone and in any batch and position.
#[test]
fn a_row_scores_the_same_bits_in_any_batch() {
    for fixture in fixtures() {
        let scorer = fixture.scorer().unwrap();
        let columns = fixture.columns();
        let whole = scorer.score(&columns).unwrap();
        for (rows, step) in [(1, 7), (2, 31), (63, 64), (64, 64), (65, 97), (300, 333)] {
            for from in (0..ROWS - rows).step_by(step) {
                let part: Vec<ArrayRef> = columns.iter().map(|column| column.slice(from, rows)).collect();
                let found = scorer.score(&part).unwrap();
                assert_eq!(bits(found.as_struct()), bits(whole.slice(from, rows).as_struct()), "{}", fixture.name);
            }
        }
    }
}

/// The bits of the numbers, and the other columns as they are.
fn bits(rows: &StructArray) -> Vec<String> {
    let column = |column: &ArrayRef| match column.as_primitive_opt::<Float64Type>() {
        Some(numbers) => format!("{:?}", numbers.iter().map(|number| number.map(f64::to_bits)).collect::<Vec<_>>()),
        None => format!("{column:?}"),
    };
    rows.columns().iter().map(column).collect()
}
