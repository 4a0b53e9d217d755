//! What columns a model takes: lists of lists as flat lists, texts of every encoding, and what fails a row.

use super::agreement::fixture;
use super::build;
use crate::onnx::{AttributeProto, TensorProto, element};
use crate::{Model, OutputSelector};
use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array, ListArray, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type};
use dataflow::Scorer;
use std::sync::Arc;

fn export(name: &str) -> Model {
    Model::load(name, &fixture(&format!("../exports/{name}.onnx"))).unwrap()
}

fn field(of: &ArrayRef) -> Arc<Field> {
    Arc::new(Field::new("item", of.data_type().clone(), true))
}

/// The network takes six steps of four numbers.
#[test]
fn lists_of_lists_score_as_flat_lists_and_other_lengths_fail_the_row() {
    let scorer = export("torch_lstm").select(&OutputSelector::Only).unwrap();
    let rows = 70;
    let numbers: ArrayRef =
        Arc::new((0..rows * 24).map(|at| Some((at % 37) as f32 / 9.0 - 2.0)).collect::<Float32Array>());
    let flat: ArrayRef = Arc::new(FixedSizeListArray::new(field(&numbers), 24, numbers.clone(), None));
    let steps: ArrayRef = Arc::new(FixedSizeListArray::new(field(&numbers), 4, numbers.clone(), None));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(6, rows));
    let nested: ArrayRef = Arc::new(ListArray::new(field(&steps), offsets, steps, None));
    let scores = scorer.score(&[flat]).unwrap();
    assert_eq!(scores.null_count(), 0);
    assert_eq!(&scorer.score(&[nested]).unwrap(), &scores);
    // A list of 23 numbers, one of 24, and none.
    let offsets = OffsetBuffer::from_lengths([23, 24, 24]);
    let present = NullBuffer::from(vec![true, true, false]);
    let odd: ArrayRef = Arc::new(ListArray::new(field(&numbers), offsets, numbers.slice(1, 71), Some(present)));
    let found = scorer.score(&[odd]).unwrap();
    let found: Vec<Option<f64>> = found.as_primitive::<Float64Type>().iter().collect();
    assert_eq!(found, [None, Some(scores.as_primitive::<Float64Type>().value(1)), None]);
    let error = scorer.score(&[numbers]).unwrap_err().to_string();
    assert!(error.contains("input \"x\" is Float32, expected a list, each value a number or a boolean"), "{error}");
}

#[test]
fn texts_of_every_encoding_score_alike_and_an_unknown_one_is_no_category() {
    let scorer = export("mixed_one_hot").select(&OutputSelector::Probability { label: "1".into() }).unwrap();
    let number: ArrayRef = Arc::new(Float32Array::from(vec![0.5; 5]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("de"), Some("fr"), Some("elsewhere"), None, Some("")]));
    let score =
        |texts: &ArrayRef| scorer.score(&[number.clone(), number.clone(), texts.clone(), texts.clone()]).unwrap();
    let scores = score(&texts);
    let encodings = [
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
    ];
    for encoding in encodings {
        assert_eq!(&score(&cast(&texts, &encoding).unwrap()), &scores, "{encoding}");
    }
    let scores = scores.as_primitive::<Float64Type>();
    assert!(
        scores.value(0) != scores.value(1) && scores.value(2) == scores.value(4) && scores.value(3) == scores.value(4)
    );
    let keys: ArrayRef = Arc::new(arrow::array::PrimitiveArray::<Int32Type>::from(vec![1; 5]));
    let error = scorer.score(&[number.clone(), number.clone(), keys, texts]).unwrap_err().to_string();
    assert!(error.contains("input \"country\" is Int32, expected a text"), "{error}");
}

#[test]
fn doubles_are_normalized_as_doubles() {
    let list = |name: &str, numbers: [f64; 2]| TensorProto {
        name: name.into(),
        data_type: element::DOUBLE,
        dims: vec![2],
        double_data: numbers.to_vec(),
        ..Default::default()
    };
    let epsilon = AttributeProto { name: "epsilon".into(), r#type: 1, f: 0.25, ..Default::default() };
    let normalize = build::node("", "BatchNormalization", &["x", "s", "b", "m", "v"], &["y"], vec![epsilon]);
    let (x, y) = (build::value("x", element::DOUBLE, Some(2)), build::value("y", element::DOUBLE, Some(2)));
    let mut model = build::model(vec![normalize], vec![x], vec![y]);
    let parts = [list("s", [1.5, 2.0]), list("b", [0.1, 0.2]), list("m", [0.3, 0.4]), list("v", [2.0, 6.0])];
    model.graph.as_mut().unwrap().initializer = parts.into();
    let model = Model::from_bytes("m", build::bytes(&model)).unwrap();
    let inputs: Vec<ArrayRef> = [1.7, -2.3].map(|x| Arc::new(Float64Array::from(vec![x])) as ArrayRef).into();
    let scores = model.select_all().unwrap().score(&inputs).unwrap();
    let found: Vec<f64> =
        scores.as_struct().columns().iter().map(|c| c.as_primitive::<Float64Type>().value(0)).collect();
    for (found, expected) in found.iter().zip([(1.7 - 0.3) / 1.5 * 1.5 + 0.1, (-2.3 - 0.4) / 2.5 * 2.0 + 0.2]) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}
