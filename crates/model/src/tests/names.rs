//! Which names the outputs of a graph get, and the sample rows that a file may carry.

use super::build::{self, int, ints, node, texts, value};
use crate::onnx::{ModelProto, StringStringEntryProto, TensorProto, element};
use crate::{Model, Output, OutputSelector};
use arrow::array::{ArrayRef, AsArray, Float32Array, Int64Array};
use arrow::datatypes::{Float64Type, Int64Type};
use dataflow::Scorer;
use std::sync::Arc;

fn load(model: &ModelProto) -> Model {
    Model::from_bytes("m", build::bytes(model)).unwrap()
}

fn names(model: &ModelProto) -> Vec<String> {
    load(model).outputs().iter().map(Output::to_string).collect()
}

/// The three classes of `classifier`, behind another output that is three numbers wide.
fn behind(declare_first: bool) -> ModelProto {
    let mut model = build::classifier();
    let graph = model.graph.as_mut().unwrap();
    let one = TensorProto {
        name: "one".into(),
        data_type: element::INT64,
        dims: vec![3],
        int64_data: vec![0, 1, 1],
        ..Default::default()
    };
    graph.initializer.push(one);
    graph.node.push(node("", "Gather", &["x", "one"], &["wide"], vec![int("axis", 1)]));
    graph.output.insert(if declare_first { 0 } else { 2 }, value("wide", element::FLOAT, Some(3)));
    model
}

#[test]
fn probabilities_are_those_of_the_classifier_wherever_an_output_as_wide_stands() {
    let inputs: Vec<ArrayRef> = [0.1, -0.7].map(|number| Arc::new(Float32Array::from(vec![number])) as ArrayRef).into();
    let score = |model: &ModelProto| {
        let scorer = load(model).select(&OutputSelector::Probability { label: "1".into() }).unwrap();
        scorer.score(&inputs).unwrap().as_primitive::<Float64Type>().value(0)
    };
    let expected = score(&build::classifier());
    for declare_first in [true, false] {
        let model = behind(declare_first);
        assert_eq!(score(&model).to_bits(), expected.to_bits(), "{declare_first}");
        let mut names = names(&model);
        names.sort_unstable();
        let classes = ["label", "probability OF 0", "probability OF 1", "probability OF 2"];
        assert_eq!(names, [&classes[..], &["wide_0", "wide_1", "wide_2"]].concat());
    }
}

#[test]
fn where_scores_do_not_say_whose_they_are_their_name_does_and_else_each_keeps_its_own() {
    let model = |name: &str| {
        let mut model = behind(true);
        let graph = model.graph.as_mut().unwrap();
        // Numbers that are put in another place do not say whose they are.
        graph.node.push(node("", "Gather", &["scores", "places"], &[name], vec![int("axis", 1)]));
        let places = TensorProto {
            name: "places".into(),
            data_type: element::INT64,
            dims: vec![3],
            int64_data: vec![0, 1, 2],
            ..Default::default()
        };
        graph.initializer.push(places);
        graph.output[2] = value(name, element::FLOAT, Some(3));
        model
    };
    let named = names(&model("output_probability"));
    assert!(named.contains(&"probability OF 2".to_owned()) && named.contains(&"wide_0".to_owned()), "{named:?}");
    assert_eq!(names(&model("other")), ["wide_0", "wide_1", "wide_2", "label", "other_0", "other_1", "other_2"]);
}

#[test]
fn a_second_classifier_keeps_its_label_and_its_classes() {
    let mut model = build::classifier();
    let graph = model.graph.as_mut().unwrap();
    let mut second = graph.node[0].clone();
    second.output = vec!["kind".into(), "kinds".into()];
    second.attribute.retain(|attribute| attribute.name != "classlabels_int64s");
    second.attribute.push(texts("classlabels_strings", &["cold", "mild", "hot"]));
    graph.node.push(second.clone());
    graph.output.extend([value("kind", element::STRING, None), value("kinds", element::FLOAT, Some(3))]);
    let classes = ["label", "probability OF 0", "probability OF 1", "probability OF 2"];
    let second_classes = ["kind", "probability OF cold", "probability OF mild", "probability OF hot"];
    assert_eq!(names(&model), [classes, second_classes].concat());
    // The same classes twice: the second one's go by the name of their output.
    let graph = model.graph.as_mut().unwrap();
    let second = &mut graph.node[1];
    second.attribute.pop();
    second.attribute.push(ints("classlabels_int64s", vec![0, 1, 2]));
    graph.output[2] = value("kind", element::INT64, None);
    assert_eq!(names(&model), [&classes[..], &["kind", "kinds_0", "kinds_1", "kinds_2"]].concat());
}

fn sampled(model: &mut ModelProto, samples: &str) {
    let entry = StringStringEntryProto { key: "riverrun.samples".into(), value: samples.into() };
    model.metadata_props.retain(|entry| entry.key != "riverrun.samples");
    model.metadata_props.push(entry);
}

#[test]
fn large_scores_may_be_off_by_a_share_and_small_ones_by_a_number() {
    let mut model = build::model(
        vec![node("", "Add", &["x", "x"], &["y"], vec![])],
        vec![value("x", element::FLOAT, Some(1))],
        vec![value("y", element::FLOAT, Some(1))],
    );
    let mut agrees = |scores: &str| {
        sampled(&mut model, &format!("{{\"rows\": [[100000.0], [0.5]], \"scores\": {scores}}}"));
        Model::from_bytes("m", build::bytes(&model)).and_then(|model| model.select_all()).is_ok()
    };
    assert!(agrees("[200001.0, 1.000005]"));
    assert!(!agrees("[200003.0, 1.0]"));
    assert!(!agrees("[200000.0, 1.00002]"));
}

#[test]
fn sample_rows_may_hold_lists() {
    let mut model = build::model(
        vec![
            node("", "Concat", &["x", "z"], &["both"], vec![int("axis", 1)]),
            node("", "ReduceSum", &["both", "axes"], &["y"], vec![int("keepdims", 1)]),
        ],
        vec![value("x", element::FLOAT, Some(3)), value("z", element::FLOAT, Some(1))],
        vec![value("y", element::FLOAT, Some(1))],
    );
    model.opset_import[0].domain = String::new();
    model.opset_import[0].version = 18;
    let axes = TensorProto {
        name: "axes".into(),
        data_type: element::INT64,
        dims: vec![1],
        int64_data: vec![1],
        ..Default::default()
    };
    model.graph.as_mut().unwrap().initializer.push(axes);
    // One name for the three numbers of x.
    model.metadata_props =
        vec![StringStringEntryProto { key: "riverrun.inputs".into(), value: "[\"x\", \"z\"]".into() }];
    let mut refusal = |samples: &str| {
        sampled(&mut model, samples);
        let loaded = Model::from_bytes("m", build::bytes(&model)).and_then(|model| model.select_all());
        loaded.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(refusal("{\"rows\": [[[1, 2.5, 3], 1], [null, 1]], \"scores\": [7.5, null]}"), "");
    assert!(refusal("{\"rows\": [[[1, 2.5, 3], 1]], \"scores\": [7]}").contains("sample row 0 scores 7.5"));
    assert!(refusal("{\"rows\": [[[1, \"a\"], 1]], \"scores\": [7]}").contains("values of one kind"));
}

#[test]
fn sample_rows_may_miss_all_texts_of_a_column() {
    let mut model = build::model(
        vec![node(
            "ai.onnx.ml",
            "LabelEncoder",
            &["t"],
            &["y"],
            vec![texts("keys_strings", &["a", ""]), build::floats("values_floats", vec![1.0, 2.0])],
        )],
        vec![value("t", element::STRING, Some(1))],
        vec![value("y", element::FLOAT, Some(1))],
    );
    sampled(&mut model, "{\"rows\": [[null], [null]], \"scores\": [2.0, 2.0]}");
    load(&model).select_all().unwrap();
}

#[test]
fn a_number_that_is_no_int32_fails_its_row() {
    let model = build::model(
        vec![node("", "Add", &["x", "x"], &["y"], vec![])],
        vec![value("x", element::INT32, Some(1))],
        vec![value("y", element::INT32, Some(1))],
    );
    let inputs: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some((1 << 33) + 1), None]));
    let scores = load(&model).select(&OutputSelector::Only).unwrap().score(&[inputs]).unwrap();
    assert_eq!(scores.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(14), None, None]);
}
