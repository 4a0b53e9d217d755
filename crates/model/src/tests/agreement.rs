//! Every fixture scores as onnxruntime scored it. `tests/fixtures/generate.py` makes them.

use super::build;
use crate::{Model, Output, OutputSelector};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use dataflow::Scorer;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const TOLERANCE: f64 = 1e-6;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

/// The rows of a fixture as columns; a missing value is NULL.
fn columns(rows: &Value) -> Vec<ArrayRef> {
    let rows = rows.as_array().unwrap();
    (0..rows[0].as_array().unwrap().len())
        .map(|at| Arc::new(rows.iter().map(|row| row[at].as_f64()).collect::<Float64Array>()) as ArrayRef)
        .collect()
}

fn texts(labels: &ArrayRef) -> Vec<String> {
    match labels.as_primitive_opt::<Int64Type>() {
        Some(labels) => labels.iter().map(|label| label.unwrap().to_string()).collect(),
        None => labels.as_string::<i32>().iter().map(|label| label.unwrap().to_string()).collect(),
    }
}

/// Scores through every output and compares each number. `relative` is for values far from 1.
fn check_outputs(model: &Model, columns: &[ArrayRef], expected: &Value, relative: bool) {
    let mut scores_seen = 0;
    for output in model.outputs() {
        let selector = match output {
            Output::Probability { label } => OutputSelector::Probability { label: label.clone() },
            Output::Label => OutputSelector::Label,
            Output::Value { .. } => OutputSelector::Value,
            Output::Named { name } => OutputSelector::Probability { label: name.clone() },
        };
        let found = model.select(&selector).unwrap().score(columns).unwrap();
        if *output == Output::Label {
            let labels = expected["labels"].as_array().unwrap().iter();
            let labels: Vec<String> = labels.map(|label| label.to_string().trim_matches('"').to_string()).collect();
            assert_eq!(texts(&found), labels, "{model:?}");
            continue;
        }
        let rows = expected["scores"].as_array().unwrap();
        assert_eq!(found.len(), rows.len());
        for (row, (found, expected)) in found.as_primitive::<Float64Type>().iter().zip(rows).enumerate() {
            let (found, expected) = (found.unwrap(), expected[scores_seen].as_f64().unwrap());
            let scale = if relative { expected.abs().max(1.0) } else { 1.0 };
            assert!(
                (found - expected).abs() <= TOLERANCE * scale,
                "{model:?} {output} row {row}: {found}, onnxruntime says {expected}"
            );
        }
        scores_seen += 1;
    }
    assert_eq!(scores_seen, expected["scores"][0].as_array().unwrap().len());
}

fn check(name: &str, relative: bool) {
    let model = Model::load(name, &fixture(&format!("{name}.onnx"))).unwrap();
    let expected = json(&format!("{name}.json"));
    check_outputs(&model, &columns(&expected["rows"]), &expected, relative);
}

/// The sample rows in the file are for class 1, so only that output can be chosen here.
#[test]
fn binary_classifier_agrees_and_so_do_its_sample_rows() {
    let model = Model::load("binary", &fixture("binary.onnx")).unwrap();
    let expected = json("binary.json");
    let scorer = model.select(&OutputSelector::Probability { label: "1".into() }).unwrap();
    let names: Vec<&str> = scorer.inputs().iter().map(|input| input.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["feature_0", "feature_1", "feature_2", "feature_3", "feature_4", "feature_5"]);
    let found = scorer.score(&columns(&expected["rows"])).unwrap();
    for (row, found) in found.as_primitive::<Float64Type>().iter().enumerate() {
        let expected = expected["scores"][row][1].as_f64().unwrap();
        assert!((found.unwrap() - expected).abs() <= TOLERANCE, "row {row}: {found:?}, onnxruntime says {expected}");
    }
    let error = model.select(&OutputSelector::Probability { label: "0".into() }).unwrap_err().to_string();
    assert!(error.contains("binary.onnx") && error.contains("sample row 0 scores") && error.contains("expected 0."));
}

#[test]
fn missing_values_agree() {
    check("missing", false);
}

#[test]
fn multiclass_agrees() {
    check("multiclass", false);
}

#[test]
fn text_labels_through_zip_map_agree() {
    check("multiclass_text", false);
}

#[test]
fn regression_agrees() {
    check("regression", true);
}

#[test]
fn regression_with_exponential_link_agrees() {
    check("poisson", true);
}

#[test]
fn splits_by_sets_of_categories_agree() {
    check("categorical", true);
}

#[test]
fn one_input_per_feature_agrees_and_names_the_features() {
    check("columns", false);
    let model = Model::load("columns", &fixture("columns.onnx")).unwrap();
    let names: Vec<_> = model.signature().inputs.iter().map(|input| input.name.clone().unwrap()).collect();
    assert_eq!(names, ["amount", "age", "count", "share"]);
}

#[test]
fn every_comparison_missing_rule_and_transform_agrees() {
    let fixture = json("operators.json");
    let rows: Vec<f32> =
        fixture["rows"].as_array().unwrap().iter().map(|row| row.as_str().unwrap().parse().unwrap()).collect();
    let columns = [Arc::new(Float32Array::from(rows)) as ArrayRef];
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 26);
    for case in cases {
        let hex = case["model"].as_str().unwrap();
        let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        let model = Model::from_bytes(case["name"].as_str().unwrap(), bytes).unwrap();
        check_outputs(&model, &columns, case, false);
    }
}

#[test]
fn outputs_are_named_and_a_wrong_name_lists_them() {
    let model = Model::load("mail", &fixture("multiclass_text.onnx")).unwrap();
    let names: Vec<String> = model.outputs().iter().map(Output::to_string).collect();
    assert_eq!(names, ["label", "probability OF ham", "probability OF spam", "probability OF scam"]);
    let error = model.select(&OutputSelector::Probability { label: "junk".into() }).unwrap_err().to_string();
    assert!(error.contains("model \"mail\""), "{error}");
    assert!(
        error.contains("has no output probability OF \"junk\", expected one of: label, probability OF ham"),
        "{error}"
    );
    let all = model.select(&OutputSelector::Only).unwrap();
    assert_eq!(all.chosen(), None);
    let DataType::Struct(fields) = all.output() else { panic!("{}", all.output()) };
    let fields: Vec<(&str, &DataType)> = fields.iter().map(|field| (&**field.name(), field.data_type())).collect();
    let real = &DataType::Float64;
    let classes = [("probability_ham", real), ("probability_spam", real), ("probability_scam", real)];
    assert_eq!(fields, [&[("label", &DataType::Utf8)][..], &classes].concat());
    let regression = Model::load("regression", &fixture("regression.onnx")).unwrap();
    assert_eq!(regression.select(&OutputSelector::Only).unwrap().chosen().unwrap().to_string(), "value");
}

#[test]
fn integers_booleans_and_nulls_are_features() {
    let model = Model::load("columns", &fixture("columns.onnx")).unwrap();
    let scorer = model.select(&OutputSelector::Probability { label: "1".into() }).unwrap();
    let typed: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(2), None, Some(0)])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(Float64Array::from(vec![0.25, -1.0, 0.5])),
        Arc::new(Float32Array::from(vec![Some(1.5), None, Some(-0.5)])),
    ];
    let nan = f32::NAN;
    let plain = [[2.0, nan, 0.0], [1.0, 0.0, nan], [0.25, -1.0, 0.5], [1.5, nan, -0.5]];
    let plain = plain.map(|column| Arc::new(Float32Array::from(column.to_vec())) as ArrayRef);
    assert_eq!(&scorer.score(&typed).unwrap(), &scorer.score(&plain).unwrap());
    let text: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["a", "b", "c"]));
    let error = scorer.score(&[text, typed[1].clone(), typed[2].clone(), typed[3].clone()]).unwrap_err().to_string();
    assert!(error.contains("input \"amount\" is Utf8, expected a number or a boolean"), "{error}");
    let error = scorer.score(&typed[..3]).unwrap_err().to_string();
    assert!(error.contains("3 input columns, expected 4"), "{error}");
}

/// onnxruntime compares the bare sum with 0.5 when no vote is negative, and here says class 0 beside its probability
/// of 0.43. The label here is the likelier class, as XGBoost has it.
#[test]
fn the_label_of_two_classes_is_the_likelier_one() {
    let mut model = build::classifier();
    for attribute in &mut model.graph.as_mut().unwrap().node[0].attribute {
        match attribute.name.as_str() {
            "classlabels_int64s" => attribute.ints = vec![0, 1],
            "class_ids" => attribute.ints.fill(0),
            "class_weights" => attribute.floats.fill(0.15),
            "post_transform" => attribute.s = "LOGISTIC".into(),
            _ => {}
        }
    }
    let model = Model::from_bytes("sure", build::bytes(&model)).unwrap();
    let columns: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(vec![0.0])), Arc::new(Float64Array::from(vec![0.0]))];
    let score = |selector| model.select(&selector).unwrap().score(&columns).unwrap();
    let probability = score(OutputSelector::Probability { label: "1".into() });
    assert!((probability.as_primitive::<Float64Type>().value(0) - 0.574_442_5).abs() < 1e-6);
    assert_eq!(score(OutputSelector::Label).as_primitive::<Int64Type>().value(0), 1);
}

#[test]
fn a_score_that_is_not_finite_is_null_and_no_rows_give_no_scores() {
    let mut model = build::classifier();
    let attributes = &mut model.graph.as_mut().unwrap().node[0].attribute;
    for attribute in attributes.iter_mut().filter(|attribute| attribute.name == "class_weights") {
        attribute.floats = vec![f32::MAX, -0.5, 1.0, f32::MAX, 2.0];
    }
    let model = Model::from_bytes("huge", build::bytes(&model)).unwrap();
    // The first row stays below 0.5 and so gets small votes; the second gets the greatest float twice.
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Float64Array::from(vec![0.0, 1.0])), Arc::new(Float64Array::from(vec![5.0, 0.0]))];
    for selector in [OutputSelector::Label, OutputSelector::Probability { label: "0".into() }] {
        let scorer = model.select(&selector).unwrap();
        let scores = scorer.score(&columns).unwrap();
        assert!(scores.is_valid(0) && scores.is_null(1), "{selector}: {scores:?}");
        assert_eq!(scorer.output(), *scores.data_type());
        let none: Vec<ArrayRef> = columns.iter().map(|column| column.slice(0, 0)).collect();
        assert_eq!(scorer.score(&none).unwrap().len(), 0);
    }
}

#[test]
fn a_score_does_not_depend_on_the_batch() {
    let model = Model::load("missing", &fixture("missing.onnx")).unwrap();
    let scorer = model.select(&OutputSelector::Probability { label: "1".into() }).unwrap();
    let columns = columns(&json("missing.json")["rows"]);
    let whole = scorer.score(&columns).unwrap();
    for batch_rows in [1, 2, 7, 8, 9, 63, 64, 65, 130] {
        for from in (0..whole.len()).step_by(batch_rows) {
            let rows = batch_rows.min(whole.len() - from);
            let part: Vec<ArrayRef> = columns.iter().map(|column| column.slice(from, rows)).collect();
            assert_eq!(&scorer.score(&part).unwrap(), &whole.slice(from, rows), "{batch_rows} rows from {from}");
        }
    }
}
